"""The write-ahead log, kept from growing without bound.

SQLite restarts the log when everything in it is in the database and no connection reads from it. It
never waits for that. If the reads of several processes overlap, some connection is always reading,
and the log grows with every commit. So a store waits for the readers once its log is long.

https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
"""

from __future__ import annotations

import os
import sqlite3

from tract.storage.sqlite.options import options_of, set_options

__all__ = ["WriteAheadLog"]

_LONG = 16 * 1024 * 1024
"""Bytes; four times the size at which SQLite tries to restart the log."""
_LOOK_EVERY = 16  # transactions
_PATIENCE = 1.0


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
            self.is_long = self._size() > self._limit

    def shorten(self) -> None:
        """Move the log into the database and truncate it, once the reads under way have ended.

        If they do not end in time, this is not tried again until the log is twice as long: a reader
        that has stopped must not keep writers waiting over and over.
        """
        self.is_long = False
        usual = options_of(self._connection)
        try:
            set_options(self._connection, {"busy_timeout": self._patience})
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            pass  # the next write reports what is wrong, if anything is
        finally:
            set_options(self._connection, usual)
        self._limit = max(self._least_limit, 2 * self._size())

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size
        except OSError:
            return 0
