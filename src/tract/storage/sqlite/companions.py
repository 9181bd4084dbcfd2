"""The companions of a database, SQLite's log and the log's index, and their names.

SQLite opens both once and never looks at their paths again. If one is deleted or replaced, a
process goes on with files that no other process can open: what it commits is lost when it is
killed, and a process that opens the database meanwhile makes new companions.
"""

from __future__ import annotations

import os
import sqlite3

from tract.exceptions import StorageError
from tract.forking import Inode, inode_of, open_files

__all__ = ["Companions"]

_LISTED = os.path.isdir("/proc/self/fd")
"""Whether the system lists the files that this process has open."""


class Companions:
    """The companions of the database at *path* that are checked, as they were when it was opened.

    Raises:
        StorageError: a connection of this process still uses one that has lost its name.
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
        """Return the log's current stat result; None if there is no log or it cannot be looked at.

        Raises:
            StorageError: the log or its index has lost its name.
        """
        if self._index is not None:
            self._index.look()
        return None if self._log is None else self._log.look()

    def problem(self) -> str | None:
        """Return why reads may miss commits: another process has made files of these names."""
        for item in self._looked_at:
            if item.is_replaced():
                return item.replaced
        return None

    def may_be_emptied(self, *, others_have_written: bool) -> bool:
        """Return True if moving our log into the database overwrites nothing that others wrote.

        As long as we share the index with a process that has made another log, it cannot write
        where it would need to read from our log; but what it has written is not in ours.
        """
        if self._index is not None and self._index.is_replaced():
            return False
        return self._log is None or not (others_have_written and self._log.is_replaced())


class _Companion:
    """A file beside a database; *name* is what errors call it."""

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
                "or restart the process."
            )

    def look(self) -> os.stat_result | None:
        """Return the stat result of the path; None if it cannot be looked at."""
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
        """The error text for a path that another file has taken."""
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
