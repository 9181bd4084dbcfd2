"""Group commit: writes that arrive while a transaction runs share the next one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from tract.exceptions import StoreBusyError, TractError
from tract.storage.repositories import BranchName
from tract.storage.sql.freshness import Freshness
from tract.storage.sql.grouping import Deliver, Groups, Outcome
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.errors import explained, translate
from tract.storage.sqlite.file import DatabaseFile, WriteAheadLog
from tract.storage.sqlite.thread.worker import Worker

__all__ = ["GroupWriter", "Transactions"]

T = TypeVar("T")
Job = Callable[[WriteTransaction], Any]

_MAX_GROUP = 512  # commits; bounds how long one transaction keeps other processes waiting


class GroupWriter:
    """The only entry point for writes of a store."""

    def __init__(
        self,
        worker: Worker,
        transactions: Transactions,
        freshness: Freshness,
    ) -> None:
        self._worker = worker
        self._transactions = transactions
        self._log = transactions.log
        self._freshness = freshness
        self.groups: Groups[Job] = Groups(self._send, _MAX_GROUP)
        self._moved: Callable[[Iterable[BranchName]], None] | None = None

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """See `ArrivalRepository.on_move`."""
        self._moved = callback

    def write(self, job: Callable[[WriteTransaction], T], size: int = 1) -> Coroutine[Any, Any, T]:
        """Run *job*, of *size* commits, in a transaction; return its result once that is committed.

        *job* must check before it writes: a `TractError` that it raises leaves its group intact. It
        may run again, in a transaction of its own, if the group's transaction fails. A caller that
        is cancelled before its group left has written nothing.
        """
        return self.groups.run(job, size)

    def _send(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        run = partial(self._transactions.run, jobs=jobs)
        self._worker.send(run, partial(self._back, deliver))
        if self._log.is_long:  # after this group, which does not wait for it
            self._log.is_long = False  # else groups that leave before it is done would ask again
            self._worker.send(lambda _: self._log.shorten(), lambda _, __: None)

    def _back(
        self,
        deliver: Deliver,
        outcomes: Sequence[Outcome] | None,
        error: BaseException | None,
    ) -> None:
        try:
            self._note()
        except Exception:  # its callers must still learn what became of their jobs
            deliver(outcomes, error)
            raise
        deliver(outcomes, error)

    def _note(self) -> None:
        moved = self._freshness.landed()
        if moved and self._moved is not None:
            self._moved(moved)


class Transactions:
    """Runs groups of jobs, one transaction per group; use it on the connection's thread."""

    def __init__(
        self, file: DatabaseFile, freshness: Freshness, path: str, clock: Callable[[], int]
    ) -> None:
        self.log: WriteAheadLog = file.log
        self._file = file
        self._freshness = freshness
        self._path = path
        self._clock = clock

    def run(self, connection: sqlite3.Connection, *, jobs: Sequence[Job]) -> list[Outcome]:
        """Run *jobs* in one transaction; if that fails as a whole, run each in its own."""
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            return [Outcome(None, translate(error, self._path)) for _ in jobs]
        port = SqliteConnection(connection)
        beginning = self._freshness.begin(port)
        try:
            transaction = WriteTransaction(port, self._clock, beginning.tips)
            outcomes = [_attempt(job, transaction) for job in jobs]
            transaction.finish()
            fault = self._file.fault(alone=beginning.alone)
            if fault is not None:
                _roll_back(connection)
                self._file.rescue()
                return [Outcome(None, type(fault)(fault.problem, self._path)) for _ in jobs]
            connection.execute("COMMIT")
        except BaseException as error:  # no error may outlive its transaction
            _roll_back(connection)
            if len(jobs) == 1:
                return [Outcome(None, explained(error, self._path))]
            return self._run_singly(connection, jobs)
        transaction.committed()
        self._freshness.committed(beginning, transaction, self._file.others_have_written)
        self.log.look()
        return outcomes

    def _run_singly(self, connection: sqlite3.Connection, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for job in jobs:
            before = outcomes[-1].error if outcomes else None
            if isinstance(before, StoreBusyError):  # else each would wait as long as this one did
                outcomes.append(Outcome(None, StoreBusyError(before.problem, before.path)))
            else:
                outcomes += self.run(connection, jobs=[job])
        return outcomes


def _attempt(job: Job, transaction: WriteTransaction) -> Outcome:
    try:
        return Outcome(job(transaction), None)
    except TractError as error:
        return Outcome(None, error)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # some errors have already rolled back
        connection.execute("ROLLBACK")
