"""The file that a connection writes to, its log and the log's index, and whether they are still there.

SQLite does not notice that one of its files was deleted or replaced: it opens each once and goes on
with the file that it has, which nobody can open again. What is committed to such a log is lost when
the process is killed, and a process that opens the database meanwhile makes new companions. So
every transaction checks the three files before it is committed.

SQLite restarts the log when everything in it is in the database and no connection reads from it. It
never waits for that. If the reads of several processes overlap, some connection is always reading,
and the log grows with every commit. So a store waits for the readers once its log is long.

https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

from tract.exceptions import StorageError, StoreCorruptError
from tract.running.forking import Inode, inode_of, open_files
from tract.storage.sqlite.freshness.wal_index import WalIndex, least_log
from tract.storage.sqlite.options import options_of, set_options

__all__ = ["Companions", "DatabaseFile", "WriteAheadLog", "main_file"]

_LONG = 16 * 1024 * 1024
"""Bytes; four times the size at which SQLite tries to restart the log."""
_LOOK_EVERY = 16  # transactions
_PATIENCE = 1.0
_LISTED = os.path.isdir("/proc/self/fd")
"""Whether the system lists the files that this process has open."""


def main_file(connection: sqlite3.Connection) -> str:
    """Return the path that a connection has open; empty for a database in memory."""
    listed = connection.execute("PRAGMA database_list").fetchall()
    return next(str(row[2]) for row in listed if row[1] == "main")


class DatabaseFile:
    """The file that was opened at a path; use it on its connection's thread.

    Raises:
        StorageError: it is gone already.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: WalIndex | None = None,
        *,
        has_log: bool = True,
        shares_index: bool = True,
    ) -> None:
        self._connection = connection
        self.index: WalIndex = index or WalIndex()
        """Says how long the log must be, once it is attached."""
        self.path: str = main_file(connection)
        """Empty for a database in memory."""
        self._path = self.path
        self.log: WriteAheadLog = WriteAheadLog(connection, self._path)
        self._version = self._others_version()
        self._opened: Inode | None = None
        found = self._look()
        self._opened = None if found is None else inode_of(found)
        self._companions = Companions(
            connection, self._path if has_log else "", shares_index=shares_index
        )
        self._size = 0

    def fault(self, *, alone: bool = False) -> StorageError | None:
        """Return why the current transaction must not be committed, or None.

        *alone* says that no other connection has written since the last call. Other kinds of damage
        are left to SQLite, which reports them where it meets them.
        """
        try:
            found = self._look()
            log = self._companions.look()
        except StorageError as moved:
            return moved
        if found is not None:
            if found.st_size < self._size and not self._is_whole():
                return _truncated("file")
            self._size = found.st_size
            if not alone:
                self._version = self._others_version()
        header = None if log is None else self.index.state()
        if log is not None and header is not None and log.st_size < least_log(header):
            return _truncated("log")
        return None

    def resized(self) -> None:
        """Take the size that the file has now for sound; call this after changing it."""
        found = self._look()
        self._size = 0 if found is None else found.st_size

    def rescue(self) -> None:
        """Move what was committed into the database if the log has lost its name."""
        try:
            self._companions.look()
        except StorageError:
            if self._companions.may_be_emptied(others_have_written=self.others_have_written()):
                self.log.shorten()

    def check_reading(self) -> None:
        """Raise a StorageError if reads may come from another's file; callable from any thread."""
        problem = self._companions.problem()
        if problem is not None:
            raise StorageError(problem)

    def others_have_written(self) -> bool:
        """Return True if another connection has written since `fault` was called."""
        return self._others_version() != self._version

    def check_path(self) -> None:
        """Raise a `StorageError` if the path now names another file, or none; for any thread.

        Nobody else can open the file that we have, so other processes' commits never arrive in it.
        """
        self._look("Other processes' commits no longer arrive here.")

    def release(self) -> bool:
        """Leave no log behind that would apply to another's file; call this before closing.

        If another file has our path, the log is emptied, unless another connection wrote last: it
        may then be the other file's own. Return True if the connection must never be closed,
        because that would move a log into the database that others have gone on without.
        """
        with suppress(sqlite3.Error):  # closing must succeed even if nothing can be saved
            try:
                self._look()
            except StorageError:
                if not self.others_have_written():
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                return False
            self.rescue()
        return self.is_superseded()

    def is_superseded(self) -> bool:
        """Return True if others have gone on without our log; callable from any thread."""
        return not self._companions.may_be_emptied(others_have_written=True)

    def _look(self, so: str = "Nothing was written.") -> os.stat_result | None:
        """Return the stat result of the path; None if there is none or it cannot be looked at.

        *so* is the consequence that the error names.
        """
        if not self._path:
            return None
        try:
            found = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            raise StorageError(
                f"the file was deleted while it was open. {so} What was committed before can be "
                "read until the store is closed, and is lost then."
            ) from None
        except OSError:  # we may have dropped the privileges that opened it
            return None
        if self._opened is not None and (found.st_dev, found.st_ino) != self._opened:
            raise StorageError(
                f"the file was replaced by another while it was open. {so} Close the store and "
                "open it again."
            )
        return found

    def _others_version(self) -> int:
        """Return a number that changes when another connection writes."""
        [[version]] = self._connection.execute("PRAGMA data_version").fetchall()
        return int(version)

    def _is_whole(self) -> bool:
        """Return True if a file that has shrunk was vacuumed and not truncated."""
        try:
            self._connection.execute("PRAGMA shrink_memory").fetchall()  # read no cache
            [[told]] = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.Error:
            return False
        return bool(told == "ok")


def _truncated(what: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"the {what} was truncated while it was open. Nothing was written. Close the store and "
        "restore the file from a backup."
    )


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


class WriteAheadLog:
    """The log of the database at *path*, which is empty for one in memory.

    The log is long from *limit* bytes on. *patience* is how many seconds writers are kept waiting
    for reads under way.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        *,
        limit: int = _LONG,
        patience: float = _PATIENCE,
    ) -> None:
        self._connection = connection
        self._path = f"{path}-wal" if path else ""
        self._least_limit = self._limit = limit
        self._patience = round(1000 * patience)
        self._transactions = 0
        self.is_long: bool = False
        """Whether `shorten` should be called."""

    def look(self) -> None:
        """Check the size of the log now and then; call this once per transaction."""
        self._transactions += 1
        if self._path and self._transactions % _LOOK_EVERY == 0:
            self.is_long = self.size() > self._limit

    def shorten(self) -> bool:
        """Move the log into the database and truncate it, once the reads under way have ended.

        Return True if that was done. If they do not end in time, no writer tries again until the
        log is twice as long: a reader that has stopped must not keep writers waiting over and over.
        """
        self.is_long = is_done = False
        usual = options_of(self._connection)
        try:
            set_options(self._connection, {"busy_timeout": self._patience})
            [[busy, *_]] = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            is_done = not busy
        except sqlite3.Error:
            pass  # the next write reports what is wrong, if anything is
        finally:
            set_options(self._connection, usual)
        self._limit = max(self._least_limit, 2 * self.size())
        return is_done

    def size(self) -> int:
        """Return how many bytes the log has; callable from any thread."""
        try:
            return os.stat(self._path).st_size
        except OSError:
            return 0
