"""Reads of a store: quick ones share a trip as writes do, the others go by themselves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from tract.storage.groups import Deliver, Groups, Outcome, Wakings
from tract.storage.wal_index import Header, WalIndex
from tract.storage.worker import Worker

__all__ = ["GroupReader"]

T = TypeVar("T")
Job = Callable[[sqlite3.Connection, Header | None], Any]

_MAX_GROUP = 64  # reads; bounds how long the first waits for the last


class GroupReader:
    """The ways in for reads of a store."""

    def __init__(
        self, workers: Sequence[Worker], index: WalIndex, wakings: Wakings | None = None
    ) -> None:
        self._workers = workers
        self._index = index
        self._groups: Groups[Job] = Groups(self._send, _MAX_GROUP, wakings)

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run *function* on the connection that has least to do; it must not write."""
        return await self._idlest().run(function)

    def glance(self, function: Callable[[sqlite3.Connection], T]) -> Coroutine[Any, Any, T]:
        """Do what `read` does for a *function* of a few rows, together with others of its kind.

        What it sees was in the database when this was called, or has been written since.
        """
        return self._groups.run(lambda connection, _: function(connection))

    def observe(
        self, function: Callable[[sqlite3.Connection], T]
    ) -> Coroutine[Any, Any, tuple[T, Header | None]]:
        """Do what `glance` does, and return the state that was seen, too, where it is known."""
        return self._groups.run(partial(_observed, self._index, function))

    def _send(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        worker = self._idlest()
        run = partial(_run_group, worker=worker, index=self._index, jobs=jobs)
        worker.send(run, deliver)

    def _idlest(self) -> Worker:
        return min(self._workers, key=_load)


def _load(worker: Worker) -> int:
    return worker.waiting


def _observed(
    index: WalIndex,
    function: Callable[[sqlite3.Connection], T],
    connection: sqlite3.Connection,
    before: Header | None,
) -> tuple[T, Header | None]:
    """Return what *function* gives and the state that it saw.

    Nothing was committed between *before*, when its transaction had not begun, and now, or else
    it may have seen either.
    """
    result = function(connection)
    return result, before if before is not None and index.is_now(before) else None


def _run_group(
    connection: sqlite3.Connection, *, worker: Worker, index: WalIndex, jobs: Sequence[Job]
) -> list[Outcome]:
    """Run *jobs* on one state of the database: looking whether it has changed is done once."""
    if connection.in_transaction:  # that of a shared connection's owner
        return [_attempt(job, connection, None, worker) for job in jobs]
    before = index.header()
    if len(jobs) == 1:
        return [_attempt(jobs[0], connection, before, worker)]
    connection.execute("BEGIN")
    try:
        return [_attempt(job, connection, before, worker) for job in jobs]
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _attempt(
    job: Job, connection: sqlite3.Connection, before: Header | None, worker: Worker
) -> Outcome:
    try:
        return Outcome(job(connection, before), None)
    except Exception as error:
        return Outcome(None, worker.explained(error))
