"""Group commit: writes that arrive while a transaction runs share the next one.

There is no background task. The first write is sent off, and whatever comes while it is away
goes with the next transaction. Where the last one was shared, the next is sent off only once
everybody who is ready has put theirs in; where it was not, waiting for others would be in
vain. Callbacks of the event loop do all this, so that nobody's cancellation can take
another's write along.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from tract.exceptions import StoreBusyError, TractError
from tract.storage.errors import translate
from tract.storage.transaction import WriteTransaction
from tract.storage.worker import Worker

__all__ = ["GroupWriter"]

T = TypeVar("T")
Job = Callable[[WriteTransaction], Any]

_MAX_GROUP = 512  # commits; bounds how long a transaction of many keeps other processes waiting


class _Pending(NamedTuple):
    job: Job
    future: asyncio.Future[Any]
    size: int


class _Outcome(NamedTuple):
    result: Any
    error: BaseException | None


class GroupWriter:
    """The one way in for writes of a store."""

    def __init__(self, worker: Worker, path: str, clock: Callable[[], int]) -> None:
        self._worker = worker
        self._run_group = partial(_run_group, path=path, clock=clock)
        self._loop = asyncio.get_running_loop()
        self._pending: deque[_Pending] = deque()
        self._scheduled = False
        self._away = False
        self._lonely = True

    async def write(self, job: Callable[[WriteTransaction], T], size: int = 1) -> T:
        """Run *job*, of *size* commits, in a transaction; return its result once that is committed.

        *job* must check before it writes: a `TractError` that it raises leaves its group intact.
        It may be run again, in a transaction of its own, if the group's transaction fails. A
        caller that is cancelled before its group left has written nothing.
        """
        future: asyncio.Future[T] = self._loop.create_future()
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
            jobs = [item.job for item in group]
            waiting = [item.future for item in group]
            self._worker.send(partial(self._run_group, jobs=jobs), partial(self._landed, waiting))

    def _next_group(self) -> list[_Pending]:
        group: list[_Pending] = []
        room = _MAX_GROUP
        while self._pending and (room >= self._pending[0].size or not group):
            item = self._pending.popleft()
            if not item.future.cancelled():
                group.append(item)
                room -= item.size
        return group

    def _landed(
        self,
        waiting: Sequence[asyncio.Future[Any]],
        outcomes: Sequence[_Outcome] | None,
        error: BaseException | None,
    ) -> None:
        self._away = False
        for index, future in enumerate(waiting):
            outcome = outcomes[index] if outcomes is not None else _Outcome(None, error)
            if future.done():
                continue
            if outcome.error is not None:
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome.result)
        if self._pending:
            self._schedule()


def _run_group(
    connection: sqlite3.Connection, *, jobs: Sequence[Job], path: str, clock: Callable[[], int]
) -> list[_Outcome]:
    """Run *jobs* in one transaction; where that fails as a whole, each in its own."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        return [_Outcome(None, translate(error, path)) for _ in jobs]
    try:
        transaction = WriteTransaction(connection, clock)
        outcomes = [_attempt(job, transaction) for job in jobs]
        transaction.finish()
        connection.execute("COMMIT")
    except BaseException as error:  # whatever it was, it must not outlive its transaction
        _roll_back(connection)
        if len(jobs) == 1:
            return [_Outcome(None, _explained(error, path))]
        return _run_singly(connection, jobs, path, clock)
    return outcomes


def _run_singly(
    connection: sqlite3.Connection, jobs: Sequence[Job], path: str, clock: Callable[[], int]
) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for job in jobs:
        before = outcomes[-1].error if outcomes else None
        if isinstance(before, StoreBusyError):  # else each would wait as long as this one did
            outcomes.append(_Outcome(None, StoreBusyError(before.problem, before.path)))
        else:
            outcomes += _run_group(connection, jobs=[job], path=path, clock=clock)
    return outcomes


def _attempt(job: Job, transaction: WriteTransaction) -> _Outcome:
    try:
        return _Outcome(job(transaction), None)
    except TractError as error:
        return _Outcome(None, error)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # some errors have already rolled back
        connection.execute("ROLLBACK")


def _explained(error: BaseException, path: str) -> BaseException:
    if not isinstance(error, sqlite3.Error):
        return error
    explained = translate(error, path)
    explained.__cause__ = error
    return explained
