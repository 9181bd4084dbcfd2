"""The file that a connection writes to, and whether its path still names it.

SQLite does not notice that its file was deleted or replaced: it goes on writing to the file that it
opened, which nobody can open again. So every transaction checks the file, the log and its index
before it is committed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

from tract.exceptions import StorageError, StoreCorruptError
from tract.storage.sqlite.companions import Companions
from tract.storage.sqlite.freshness.wal_index import WalIndex, least_log
from tract.storage.sqlite.log import WriteAheadLog

__all__ = ["DatabaseFile", "main_file"]


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
        self._path: str = main_file(connection)
        self.log: WriteAheadLog = WriteAheadLog(connection, self._path)
        self._version = self._others_version()
        self._opened: os.stat_result | None = None
        self._opened = self._look()
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
        header = None if log is None else self.index.header()
        if log is not None and header is not None and log.st_size < least_log(header):
            return _truncated("log")
        return None

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

    def check_place(self) -> None:
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
        if self._opened is not None and not os.path.samestat(found, self._opened):
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
