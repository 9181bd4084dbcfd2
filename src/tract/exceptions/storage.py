"""Errors of the database behind a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tract.exceptions.base import TractError, bare, listed, shown

__all__ = [
    "ForkedProcessError",
    "SchemaVersionError",
    "StorageError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreCopyError",
    "StoreCorruptError",
    "StoreFullError",
    "StoreReadOnlyError",
]


class StorageError(TractError):
    """An operation on the database failed; `path` names the database."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem, path)
        self.problem = problem
        self.path: str = path

    def locate(self, path: str) -> None:
        """Set the path of the database if it was not known when the error was raised."""
        if not self.path:
            self.path = path
            self.args: tuple[object, ...] = (*self.args[:-1], path)

    def __str__(self) -> str:
        if not self.path:
            return self.problem
        place = "the database in memory" if self.path == ":memory:" else self.path
        return f"{place}: {self.problem}"


class StoreClosedError(StorageError):
    """The store, or a handle on it, was used after `aclose()`."""

    def __init__(self, path: str = "") -> None:
        super().__init__(
            "the store, or this handle on it, is closed. Open it again with `open()`, or get "
            "another handle.",
            path,
        )
        self.args: tuple[object, ...] = (path,)


class StoreBusyError(StorageError):
    """Another process held the database for longer than `TractConfig.busy_timeout`."""


class StoreFullError(StorageError):
    """There is no space left on the disk; the call wrote nothing."""


class StoreCorruptError(StorageError):
    """The file is damaged, or is not a SQLite database."""


class StoreReadOnlyError(StorageError):
    """The store is read-only: it was opened so, or the file is not writable."""


class StoreCopyError(StorageError):
    """Some tracts could not be copied whole; all others were.

    `faults` holds a `CopyFault` for each reason. Of these tracts the target may have the first
    commits, and no new branches. `path` names the target.
    """

    def __init__(self, faults: Iterable[Any], path: str = "") -> None:
        self.faults: tuple[Any, ...] = tuple(faults)
        count = len({fault.tract_id for fault in self.faults})
        named = [
            f"{shown(each.tract_id)}: "
            + (f"{bare(each.commit_hash)}: " if each.commit_hash else "")
            + each.problem
            for each in self.faults
        ]
        super().__init__(f"{count} tracts were not copied whole. {listed(named)}", path)
        self.args: tuple[object, ...] = (self.faults, path)


class ForkedProcessError(StorageError):
    """The process was forked while the database was open; `cause` says what was open at the time.

    Neither SQLite's locks nor connections to a server survive a fork, so commits made in the child
    could be lost. Nothing was written.
    """

    def __init__(self, cause: str = "the database was open", path: str = "") -> None:
        super().__init__(
            f"this process was forked while {cause}, and neither SQLite's locks nor connections to a "
            "server survive a fork: commits made here could be lost. Nothing was written. Open stores "
            "after forking, in the process that uses them: start processes with multiprocessing's "
            "`spawn` or `forkserver`, run gunicorn without `preload_app` or open in its `post_fork`, "
            "and in Celery on `worker_process_init`.",
            path,
        )
        self.args: tuple[object, ...] = (cause, path)
        self.cause = cause


class SchemaVersionError(StorageError):
    """The database was written by a newer release than this one can read.

    It is also raised for a database of an older release that was opened read-only, and so cannot
    be brought up to date.
    """

    def __init__(self, found: int, supported: int, path: str = "") -> None:
        if found < supported:
            problem = (
                f"the database has schema version {found}, and this release of asynctract reads "
                f"{supported}. It was opened read-only; open it for writing once, which brings it "
                "up to date."
            )
        else:
            problem = (
                f"the database has schema version {found}, and this release of asynctract reads up "
                f"to {supported}. Upgrade asynctract to open it."
            )
        super().__init__(problem, path)
        self.args: tuple[object, ...] = (found, supported, path)
        self.found = found
        self.supported = supported
