"""Sharing trips: jobs that arrive while a group of others is away go together in the next one.

There is no background task. The first job is sent off, and whatever comes while it is away
waits for its return. Where the last trip was shared, the next is sent off only once everybody
who is ready has put theirs in; where it was not, waiting for others would be in vain.
Callbacks of the event loop do all this, so that nobody's cancellation can take another's job
along.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["Groups", "Outcome"]

Job = TypeVar("Job")

_AT_ONCE = 8
"""Callers that one turn of the loop wakes: each of them may have a tenth of a millisecond of
work to do, and everything else in the process waits for all of them."""


class Outcome(NamedTuple):
    """What became of one job."""

    result: Any
    error: BaseException | None


class _Pending(NamedTuple, Generic[Job]):
    job: Job
    future: asyncio.Future[Any]
    size: int


Deliver = Callable[[Sequence[Outcome] | None, BaseException | None], None]


class Groups(Generic[Job]):
    """Puts jobs together and hands each caller the outcome of theirs.

    *send* takes the jobs of a group away, and calls what it is given with their outcomes, or with
    the error of all. A group has jobs of *room* sizes together, or a single one.
    """

    def __init__(self, send: Callable[[Sequence[Job], Deliver], None], room: int) -> None:
        self._send = send
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._pending: deque[_Pending[Job]] = deque()
        self._scheduled = False
        self._away = False
        self._lonely = True

    async def run(self, job: Job, size: int = 1) -> Any:
        """Return what *job* gives. A caller cancelled before its group left has done nothing."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending.append(_Pending(job, future, size))
        self._schedule()
        return await future

    def _schedule(self) -> None:
        if self._scheduled or self._away:
            return
        if self._lonely:
            self._dispatch()
        else:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        group = self._next_group()
        self._lonely = len(group) < 2
        if group:
            self._away = True
            waiting = [item.future for item in group]
            self._send([item.job for item in group], partial(self._landed, waiting))

    def _next_group(self) -> list[_Pending[Job]]:
        group: list[_Pending[Job]] = []
        room = self._room
        while self._pending and (room >= self._pending[0].size or not group):
            item = self._pending.popleft()
            if not item.future.cancelled():
                group.append(item)
                room -= item.size
        return group

    def _landed(
        self,
        waiting: Sequence[asyncio.Future[Any]],
        outcomes: Sequence[Outcome] | None,
        error: BaseException | None,
    ) -> None:
        if outcomes is None:
            outcomes = [Outcome(None, error)] * len(waiting)
        self._hand_out(waiting, outcomes, 0)

    def _hand_out(
        self, waiting: Sequence[asyncio.Future[Any]], outcomes: Sequence[Outcome], start: int
    ) -> None:
        """Wake some callers, and the rest in the next turns of the loop; then others may leave."""
        end = start + _AT_ONCE
        for index in range(start, min(end, len(waiting))):
            _settle(waiting[index], outcomes[index])
        if end < len(waiting):
            self._loop.call_soon(self._hand_out, waiting, outcomes, end)
            return
        self._away = False
        if self._pending:
            self._schedule()


def _settle(future: asyncio.Future[Any], outcome: Outcome) -> None:
    if future.done():
        return
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.result)
