"""Group commit: writes that arrive while a transaction runs share the next one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from tract.exceptions import StoreBusyError, TractError
from tract.storage.errors import translate
from tract.storage.groups import Deliver, Groups, Outcome, Wakings
from tract.storage.place import DatabaseFile
from tract.storage.repositories import BranchName
from tract.storage.transaction import WriteTransaction
from tract.storage.worker import Worker

__all__ = ["GroupWriter"]

T = TypeVar("T")
Job = Callable[[WriteTransaction], Any]

_MAX_GROUP = 512  # commits; bounds how long a transaction of many keeps other processes waiting


class GroupWriter:
    """The one way in for writes of a store."""

    def __init__(
        self,
        worker: Worker,
        file: DatabaseFile,
        path: str,
        clock: Callable[[], int],
        wakings: Wakings | None = None,
    ) -> None:
        self._worker = worker
        self._log = file.log
        self._run_group = partial(_run_group, file=file, path=path, clock=clock)
        self._groups: Groups[Job] = Groups(self._send, _MAX_GROUP, wakings)
        self._moved: Callable[[Iterable[BranchName]], None] | None = None

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """See `ArrivalRepository.on_move`."""
        self._moved = callback

    def write(self, job: Callable[[WriteTransaction], T], size: int = 1) -> Coroutine[Any, Any, T]:
        """Run *job*, of *size* commits, in a transaction; give its result once that is committed.

        *job* must check before it writes: a `TractError` that it raises leaves its group intact.
        It may be run again, in a transaction of its own, if the group's transaction fails. A
        caller that is cancelled before its group left has written nothing.
        """
        return self._groups.run(job, size)

    def _send(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        moved: set[BranchName] = set()
        run = partial(self._run_group, jobs=jobs, moved=moved)
        self._worker.send(run, partial(self._back, moved, deliver))
        if self._log.is_long:  # after this group, which does not wait for it
            self._log.is_long = False  # else groups that come before it is done would ask again
            self._worker.send(lambda _: self._log.shorten(), lambda _, __: None)

    def _back(
        self,
        moved: set[BranchName],
        deliver: Deliver,
        outcomes: Sequence[Outcome] | None,
        error: BaseException | None,
    ) -> None:
        if moved and self._moved is not None:
            self._moved(moved)
        deliver(outcomes, error)


def _run_group(
    connection: sqlite3.Connection,
    *,
    jobs: Sequence[Job],
    file: DatabaseFile,
    path: str,
    clock: Callable[[], int],
    moved: set[BranchName],
) -> list[Outcome]:
    """Run *jobs* in one transaction; where that fails as a whole, each in its own.

    What they have moved is added to *moved*.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        return [Outcome(None, translate(error, path)) for _ in jobs]
    try:
        transaction = WriteTransaction(connection, clock)
        outcomes = [_attempt(job, transaction) for job in jobs]
        transaction.finish()
        fault = file.fault()
        if fault is not None:
            _roll_back(connection)
            return [Outcome(None, type(fault)(fault.problem, path)) for _ in jobs]
        connection.execute("COMMIT")
    except BaseException as error:  # whatever it was, it must not outlive its transaction
        _roll_back(connection)
        if len(jobs) == 1:
            return [Outcome(None, _explained(error, path))]
        return _run_singly(connection, jobs, file, path, clock, moved)
    moved.update(transaction.moved)
    file.log.look()
    return outcomes


def _run_singly(
    connection: sqlite3.Connection,
    jobs: Sequence[Job],
    file: DatabaseFile,
    path: str,
    clock: Callable[[], int],
    moved: set[BranchName],
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for job in jobs:
        before = outcomes[-1].error if outcomes else None
        if isinstance(before, StoreBusyError):  # else each would wait as long as this one did
            outcomes.append(Outcome(None, StoreBusyError(before.problem, before.path)))
        else:
            outcomes += _run_group(
                connection, jobs=[job], file=file, path=path, clock=clock, moved=moved
            )
    return outcomes


def _attempt(job: Job, transaction: WriteTransaction) -> Outcome:
    try:
        return Outcome(job(transaction), None)
    except TractError as error:
        return Outcome(None, error)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # some errors have already rolled back
        connection.execute("ROLLBACK")


def _explained(error: BaseException, path: str) -> BaseException:
    if not isinstance(error, sqlite3.Error):
        return error
    explained = translate(error, path)
    explained.__cause__ = error
    return explained
