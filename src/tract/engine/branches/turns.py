"""Turns of merges that ask a function to resolve conflicts.

The answer of one merge changes the question of the next. If eighty merges asked at once,
seventy-nine would have to ask again each time. Turns only save questions: merges are correct
without them, so a merge may lose its turn to the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, ContextVar
from typing import Self
from weakref import WeakValueDictionary

from tract.running.waiting import Waiter

__all__ = ["Turn", "Turns"]

_LONGEST = 60.0  # seconds for one question: most models answer in less

_within: ContextVar[Turn | None] = ContextVar("_within", default=None)
"""The newest turn that this task has had, or the task that started it."""


class Turns:
    """The turns at the branches of one store, first come, first served.

    Args:
        longest: seconds after which a turn passes to the next merge, unless it is taken again. So
            a function that awaits another merge into the branch waits no longer than that.
    """

    def __init__(self, longest: float = _LONGEST) -> None:
        self._longest = longest
        self._queues = _Queues()

    def at(self, branch: tuple[str, str]) -> Turn:
        """Return a turn at a branch, to be entered; it is not taken yet.

        Merges made within a turn take turns only among each other. The turn's holder awaits them,
        so they must not wait for the holder, nor for a merge that does.
        """
        outer = _within.get()
        queues = self._queues if outer is None or not outer.held else outer.inner
        return Turn(queues.setdefault((id(self), *branch), _Queue(self._longest)))


class _Place:
    """A merge's place in a queue."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.waiter: Waiter[None] = Waiter(loop=asyncio.get_running_loop())
        self.is_served: bool = False


class _Queue:
    """The holder of the turn at one branch, and the merges that wait for it.

    An interrupt from the keyboard may come while the turn is passed on, or lose the callback that
    would do that. So a waiting merge checks each second whether the turn is its own or free.
    """

    def __init__(self, longest: float) -> None:
        self.holder: Turn | None = None
        self.given: int = 0
        self._longest = longest
        self._until = 0.0
        self._waiting: deque[_Place] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def give(self, turn: Turn) -> None:
        """Give the turn."""
        self.holder = turn
        self.given += 1
        self.prolong(turn)

    def prolong(self, turn: Turn) -> None:
        """Restart the time limit of the turn."""
        self._stop()
        loop = asyncio.get_running_loop()  # in a context of its own, so that it keeps none alive
        self._until = loop.time() + self._longest
        self._timer = loop.call_later(self._longest, self.pass_on, turn, context=Context())

    async def wait(self, turn: Turn) -> None:
        """Wait until the turn, which another merge has now, is given to *turn*.

        If cancelled just then, it is passed on when the turn is left.
        """
        place = _Place(turn)
        self._waiting.append(place)
        try:
            while not place.is_served:
                place.waiter = Waiter(loop=asyncio.get_running_loop())
                await place.waiter.done_or_look()
                self._check_holder()
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def pass_on(self, turn: Turn) -> None:
        """If *turn* is the holder, give the turn to the next merge in the queue."""
        if self.holder is not turn:
            return
        self._stop()
        self.holder = None
        self._serve_next()

    def _serve_next(self) -> None:
        if self._waiting:
            place = self._waiting[0]
            place.is_served = True  # first: it may go on without the turn, but not wait for ever
            self.give(place.turn)
            self._waiting.popleft()
            place.waiter.settle()

    def _check_holder(self) -> None:
        """Pass the turn on if an interrupt has kept its holder from doing so."""
        holder, now = self.holder, asyncio.get_running_loop().time()
        if holder is None:
            self._serve_next()
        elif holder.is_over or now > self._until:
            self.pass_on(holder)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_Queues = WeakValueDictionary[tuple[int, str, str], _Queue]


class Turn:
    """One merge's turn at its branch; leaving the block passes it on."""

    def __init__(self, queue: _Queue) -> None:
        self.inner: _Queues = _Queues()
        """The queues of merges made within this turn."""
        self._queue: _Queue | None = queue
        self._task = asyncio.current_task()
        self._last = queue.given - (queue.holder is not None)

    @property
    def held(self) -> bool:
        """Whether this merge has the turn."""
        return self._queue is not None and self._queue.holder is self

    @property
    def is_over(self) -> bool:
        """Whether this merge has ended, and so has no use for the turn."""
        return self._queue is None or self._task is None or self._task.done()

    async def take(self) -> bool:
        """Wait for the turn; return True if other merges had it, which may have changed things.

        Only turns count that were given since this one was taken last, or created. Taking the turn
        again restarts its time limit.
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

    def __exit__(self, *_: object) -> None:
        queue, self._queue = self._queue, None  # a task that lives on may keep this turn
        self._task = None
        if queue is not None:
            queue.pass_on(self)
