"""Reads of a store: quick ones share a trip as writes do, the others have trips of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from tract.storage.sql.freshness import State, StateIndex
from tract.storage.sql.grouping import Deliver, Groups, Outcome
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.errors import explained
from tract.storage.sqlite.file import DatabaseFile
from tract.storage.sqlite.thread.worker import Worker

__all__ = ["GroupReader"]

T = TypeVar("T")


class Job(Protocol):
    """A read, told the state of the database *before* it."""

    def __call__(self, connection: SqliteConnection, before: State | None) -> Any: ...


_MAX_GROUP = 64  # reads; bounds how long the first one waits for the last


class GroupReader:
    """The entry points for reads of a store."""

    def __init__(
        self,
        workers: Sequence[Worker],
        index: StateIndex,
        file: DatabaseFile,
    ) -> None:
        self._workers = workers
        self._index = index
        self._file = file
        self.groups: Groups[Job] = Groups(self._send, _MAX_GROUP)

    async def read(self, function: Callable[[SqliteConnection], T]) -> T:
        """Run *function*, which must not write, on the least busy connection."""
        return await self._idlest().run(partial(_read, self._file, function))

    def glance(self, function: Callable[[SqliteConnection], T]) -> Coroutine[Any, Any, T]:
        """Do what `read` does for a *function* that reads a few rows, sharing the trip with others.

        It sees at least what was in the database when this was called.
        """
        return self.groups.run(lambda connection, before: function(connection))

    def observe(
        self, function: Callable[[SqliteConnection], T]
    ) -> Coroutine[Any, Any, tuple[T, State | None]]:
        """Do what `glance` does, and also return the state that was read, or None if not known."""
        return self.groups.run(partial(_observed, self._index, function))

    def _send(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        worker = self._idlest()
        run = partial(_run_group, worker=worker, index=self._index, file=self._file, jobs=jobs)
        worker.send(run, deliver)

    def _idlest(self) -> Worker:
        return min(self._workers, key=_load)


def _load(worker: Worker) -> int:
    return worker.waiting


def _read(
    file: DatabaseFile,
    function: Callable[[SqliteConnection], T],
    connection: sqlite3.Connection,
) -> T:
    """Return the result of *function*, provided that all files it read from are still ours."""
    result = function(SqliteConnection(connection))
    file.check_reading()
    return result


def _observed(
    index: StateIndex,
    function: Callable[[SqliteConnection], T],
    connection: SqliteConnection,
    before: State | None,
) -> tuple[T, State | None]:
    """Return the result of *function* and the state that it saw.

    The state is only known if nothing was committed between *before*, ahead of the transaction,
    and now; otherwise the read may have seen either.
    """
    result = function(connection)
    return result, before if before is not None and index.is_now(before) else None


def _run_group(
    connection: sqlite3.Connection,
    *,
    worker: Worker,
    index: StateIndex,
    file: DatabaseFile,
    jobs: Sequence[Job],
) -> list[Outcome]:
    """Run *jobs* on one state of the database, which is checked for changes once for all."""
    attempt = partial(_attempt, connection=connection, file=file, worker=worker)
    if connection.in_transaction:  # a transaction of the shared connection's owner
        return [attempt(job, None) for job in jobs]
    before = index.state()
    if len(jobs) == 1:
        return [attempt(jobs[0], before)]
    connection.execute("BEGIN")
    try:
        return [attempt(job, before) for job in jobs]
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _attempt(
    job: Job,
    before: State | None,
    *,
    connection: sqlite3.Connection,
    file: DatabaseFile,
    worker: Worker,
) -> Outcome:
    try:
        return Outcome(_read(file, partial(job, before=before), connection), None)
    except Exception as error:
        return Outcome(None, explained(error, worker.path))
