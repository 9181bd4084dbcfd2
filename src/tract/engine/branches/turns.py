"""Turns of merges that ask a function what to decide.

What one of them decides is part of the next one's question, so that of eighty that go on at once
seventy-nine would ask in vain each time. A turn saves questions and guards nothing: merges are right
without it, so it may be lost to whoever comes next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, ContextVar
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from tract.waiting import Waiter

__all__ = ["Turn", "Turns"]

_LONGEST = 60.0  # seconds for one question: most models answer within them

_within: ContextVar[Turn | None] = ContextVar("_within", default=None)
"""The newest turn that this task has had, or the task that started it."""


class Turns:
    """The turns at the branches of one store, first come, first served.

    Args:
        longest: seconds after which a turn passes to the next merge, unless it is taken again. So a
            function that awaits another merge into the branch awaits it no longer than that.
    """

    def __init__(self, longest: float = _LONGEST) -> None:
        self._longest = longest
        self._queues = _Queues()

    def at(self, branch: tuple[str, str]) -> Turn:
        """Return a turn at a branch, to be entered; it is not taken yet.

        Merges made within a turn take turns only with each other: its holder awaits them, so they must
        not wait for it, nor for a merge that does.
        """
        outer = _within.get()
        queues = self._queues if outer is None or not outer.held else outer.inner
        return Turn(queues.setdefault((id(self), *branch), _Queue(self._longest)))


class _Queue:
    """The holder of the turn at one branch, and the merges that wait for it."""

    def __init__(self, longest: float) -> None:
        self.holder: Turn | None = None
        self.given: int = 0
        self._longest = longest
        self._waiting: deque[tuple[Turn, Waiter[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def give(self, turn: Turn) -> None:
        """Give the turn."""
        self.holder = turn
        self.given += 1
        self.prolong(turn)

    def prolong(self, turn: Turn) -> None:
        """Have the turn last as long as it may from now on."""
        self._stop()
        loop = asyncio.get_running_loop()  # in a context of its own, so that it keeps none alive
        self._timer = loop.call_later(self._longest, self.pass_on, turn, context=Context())

    async def wait(self, turn: Turn) -> None:
        """Return once the turn is given to *turn*; another has it now."""
        given: Waiter[None] = Waiter(loop=asyncio.get_running_loop())
        self._waiting.append((turn, given))
        await given  # cancelled: passed over, or passed on when the turn is left

    def pass_on(self, turn: Turn) -> None:
        """If *turn* is the holder, take the turn from it and give it to the next in line."""
        if self.holder is not turn:
            return
        self._stop()
        self.holder = None
        while self._waiting:
            after, given = self._waiting.popleft()
            if not given.done():
                self.give(after)
                given.settle()
                return

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_Queues = WeakValueDictionary[tuple[int, str, str], _Queue]


class Turn:
    """One merge's turn at its branch; leaving it passes it on."""

    def __init__(self, queue: _Queue) -> None:
        self.inner: _Queues = _Queues()
        """The queues of merges made within it."""
        self._queue: _Queue | None = queue
        self._last = queue.given - (queue.holder is not None)

    @property
    def held(self) -> bool:
        """Whether it is this one's turn."""
        return self._queue is not None and self._queue.holder is self

    async def take(self) -> bool:
        """Wait for the turn; return True if others have had it, who may have changed things.

        That is since this one had it, or was made. Taken again, it lasts longer.
        """
        queue = self._queue
        assert queue is not None
        if self.held:
            queue.prolong(self)
            return False
        if queue.holder is None:
            queue.give(self)
        else:
            await queue.wait(self)
        others = queue.given - self._last > 1
        self._last = queue.given
        _within.set(self)
        return others

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        queue, self._queue = self._queue, None  # a task that lives on may keep this turn
        if queue is not None:
            queue.pass_on(self)
