"""The log and its index, the files that SQLite keeps beside a database, and their names.

SQLite has both open and never looks at their paths again. Where one is deleted or replaced, a
process goes on with files that nobody else can open: what it commits is gone when it is killed,
and whoever opens the database meanwhile makes new ones.
"""

from __future__ import annotations

import os
import sqlite3

from tract.exceptions import StorageError
from tract.forking import Inode, inode_of, open_files

__all__ = ["Companions"]

_LISTED = os.path.isdir("/proc/self/fd")
"""Whether the system tells which files this process has open."""


class Companions:
    """The files beside the database at *path*; those that are looked at, and what they were.

    Raises:
        StorageError: a connection of this process goes on with one that has lost its name.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: str, *, shares_index: bool = True
    ) -> None:
        [[journal]] = connection.execute("PRAGMA journal_mode").fetchall()
        [[locking]] = connection.execute("PRAGMA locking_mode").fetchall()
        self._log: _Companion | None = None
        self._index: _Companion | None = None
        if path and journal == "wal":
            self._log = _Companion(f"{path}-wal", "log")
            if locking == "normal" and shares_index:
                self._index = _Companion(f"{path}-shm", "log's index")
        self._looked_at = tuple(item for item in (self._log, self._index) if item is not None)

    def look(self) -> os.stat_result | None:
        """Return what the log is like now; None where there is none, or it cannot be looked at.

        Raises:
            StorageError: it or its index has lost its name.
        """
        if self._index is not None:
            self._index.look()
        return None if self._log is None else self._log.look()

    def problem(self) -> str | None:
        """Return what is wrong with reading on: somebody else has made files of these names."""
        for item in self._looked_at:
            if item.is_replaced():
                return item.replaced
        return None

    def may_be_emptied(self, *, others_have_written: bool) -> bool:
        """Return True if moving our log into the database overwrites nothing of anybody's.

        An index that we share with those who have made another log keeps them from writing where
        they would have to read from ours; but what they have written is not in ours.
        """
        if self._index is not None and self._index.is_replaced():
            return False
        return self._log is None or not (others_have_written and self._log.is_replaced())


class _Companion:
    """A file beside a database, called *name* in what is told of it."""

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._name = name
        self._opened: Inode | None = None
        try:
            self._opened = inode_of(os.stat(path))
        except OSError:  # a database that can only be read needs none
            return
        if _LISTED and self._opened not in open_files():
            raise StorageError(
                f"the {name} that this process has open is not {path}, which was deleted or "
                "replaced meanwhile. Close everything that this process has open on the database, "
                "or start the process anew."
            )

    def look(self) -> os.stat_result | None:
        """Return what the path names; None if it cannot be looked at."""
        try:
            found = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            raise StorageError(
                f"the {self._name} ({self._path}) was deleted while the database was open. "
                "Nothing was written. What was committed before can be read and is kept when the "
                "store is closed. Close it in every process, and open it again."
            ) from None
        except OSError:
            return None
        if (found.st_dev, found.st_ino) != self._opened:
            raise StorageError(self.replaced)
        return found

    @property
    def replaced(self) -> str:
        """What is told where another file has the path."""
        return (
            f"the {self._name} ({self._path}) was replaced by another while the database was open. "
            "Nothing was written. Close the store in every process, and open it again."
        )

    def is_replaced(self) -> bool:
        """Return True if the path names another file."""
        try:
            found = os.stat(self._path)
            return (found.st_dev, found.st_ino) != self._opened
        except OSError:
            return False
