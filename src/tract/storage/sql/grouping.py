"""Sharing trips: jobs that arrive while a group is away go together in the next one.

There is no background task. The first job is sent off, and jobs that come meanwhile wait for its
return. If the last trip was shared, the next one leaves once every caller that is ready has added
its job; if it was not, waiting for others would be in vain. All this happens in callbacks of the
event loop, so that cancelling one caller cannot take another's job along.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from tract.exceptions import StorageError
from tract.running.waiting import Waiter

__all__ = ["Groups", "Outcome"]

Job = TypeVar("Job")

_AT_ONCE = 3
"""Callers that one turn of the event loop notifies. Each may have some tenths of a millisecond of
work to do, and everything else in the process waits for all of them."""
_PER_CALLER = 0.0005
"""Seconds that others must keep the loop for one more caller to be notified in a turn. Else 512
callers would wait for 171 turns of 5 ms, and now the turns hardly get longer."""


class Outcome(NamedTuple):
    """The result or error of one job."""

    result: Any
    error: BaseException | None


class _Pending(NamedTuple, Generic[Job]):
    job: Job
    future: Waiter[Any]
    size: int


Deliver = Callable[[Sequence[Outcome] | None, BaseException | None], None]


@dataclass(slots=True, eq=False)
class _Flight:
    """A group that is away, or whose callers are being notified."""

    waiting: Sequence[Waiter[Any]]
    outcomes: Sequence[Outcome] | None = None
    at_once: int = _AT_ONCE
    """Callers to notify in the next turn of the loop."""

    _kept: float | None = None
    """Seconds that others keep the loop in each turn."""

    def measure(self, loop: asyncio.AbstractEventLoop, since: float) -> None:
        """Note how long others have kept *loop*.

        The shortest of at least two turns counts: callers that were notified work in later turns,
        too, and their work must not make the turns longer and longer.
        """
        kept = loop.time() - since
        if self._kept is not None:
            kept = min(kept, self._kept)
            self.at_once = _AT_ONCE + int(kept / _PER_CALLER)
        self._kept = kept


class Groups(Generic[Job]):
    """Sends jobs in groups and gives each caller the outcome of its own.

    *send* takes the jobs of a group, and calls the given function with their outcomes or with an
    error for all of them. The sizes of a group's jobs add up to *room* at most, unless it is a
    single job.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Job], Deliver], None],
        room: int,
    ) -> None:
        self._send = send
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._pending: deque[_Pending[Job]] = deque()
        self._waiting: set[Waiter[Any]] = set()
        self._scheduled = False
        self.flight: _Flight | None = None
        """The group that is away; the next one leaves once all of its callers are notified."""
        self.on_leave: Callable[[int], object] | None = None
        """Called with the number of jobs in each group."""
        self._lonely = True

    async def run(self, job: Job, size: int = 1) -> Any:
        """Return the result of *job*. A caller cancelled before its group left has done nothing."""
        future: Waiter[Any] = Waiter(loop=self._loop)
        try:
            self._waiting.add(future)
            self._pending.append(_Pending(job, future, size))
            self._schedule()
            return await future
        except BaseException:
            future.cancel()  # an interrupt leaves it pending, and the caller takes it as not done
            raise
        finally:
            self._waiting.discard(future)

    def _schedule(self) -> None:
        if self._scheduled or self.flight is not None:
            return
        if self._lonely:
            self._dispatch()
        else:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        if self.flight is not None:
            return
        jobs, waiting = self._next_group()
        self._lonely = len(jobs) < 2
        if jobs:
            if self.on_leave is not None:
                self.on_leave(len(jobs))
            flight = self.flight = _Flight(waiting)
            self._send(jobs, partial(self._landed, flight))

    @property
    def is_quiet(self) -> bool:
        """Whether no caller waits for anything here."""
        return self.flight is None and not self._waiting and not self._scheduled

    def recover(self, flight: _Flight | None) -> None:
        """Give up *flight* if it has not landed although no trip is under way.

        A KeyboardInterrupt is raised wherever the event loop is. Between two of our lines or just
        before a callback, it loses that callback, and other callers must not wait for it.
        """
        if flight is not None and flight is self.flight:
            outcomes = flight.outcomes or [Outcome(None, _unsent())] * len(flight.waiting)
            for future, outcome in zip(flight.waiting, outcomes, strict=True):
                _settle(future, outcome)
            self.flight = None
        self._give_up_lost()
        if self._pending or self._scheduled:
            self._dispatch()
        for future in [*self._waiting]:
            if future.done():
                future.settle()  # it was settled, but its task was not woken

    def _give_up_lost(self) -> None:
        """Settle callers whose jobs an interrupt lost on the way from `_pending` to a flight.

        Such a job was not sent: a flight is recorded first, and kept until its callers are settled.
        """
        kept = {item.future for item in self._pending}
        if self.flight is not None:
            kept.update(self.flight.waiting)
        for future in self._waiting - kept:
            if not future.done():
                future.settle(error=_unsent())

    def _next_group(self) -> tuple[list[Job], list[Waiter[Any]]]:
        jobs: list[Job] = []
        waiting: list[Waiter[Any]] = []
        room = self._room
        while self._pending and (room >= self._pending[0].size or not jobs):
            job, future, size = self._pending.popleft()
            if not future.cancelled():
                jobs.append(job)
                waiting.append(future)
                room -= size
        return jobs, waiting

    def _landed(
        self,
        flight: _Flight,
        outcomes: Sequence[Outcome] | None,
        error: BaseException | None,
    ) -> None:
        if outcomes is None:
            outcomes = [Outcome(None, error)] * len(flight.waiting)
        flight.outcomes = outcomes
        self._hand_out(flight, outcomes, 0)

    def _hand_out(self, flight: _Flight, outcomes: Sequence[Outcome], start: int) -> None:
        """Notify some callers now and the rest in later turns of the loop, then start a group."""
        if flight is not self.flight:  # it was recovered from an interrupt
            return
        waiting = flight.waiting
        end = min(start + flight.at_once, len(waiting))
        if end < len(waiting):  # called before the callers run that are notified now
            self._loop.call_soon(flight.measure, self._loop, self._loop.time())
        try:
            for index in range(start, end):
                _settle(waiting[index], outcomes[index])
        except BaseException:  # a KeyboardInterrupt: some of them may not know yet
            self._loop.call_soon(self._hand_out, flight, outcomes, start)
            raise
        if end < len(waiting):
            self._loop.call_soon(self._hand_out, flight, outcomes, end)
        else:
            self.flight = None
            if self._pending:
                self._schedule()


def _settle(future: Waiter[Any], outcome: Outcome) -> None:
    try:
        future.settle(*outcome)
    except Exception as error:  # an outcome that no future takes
        future.settle(error=error)


def _unsent() -> StorageError:
    return StorageError("an interrupt came before this was done. Nothing was written.")
