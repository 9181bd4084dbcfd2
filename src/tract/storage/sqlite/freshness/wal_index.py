"""The WAL index of a SQLite database, which says what state it is in.

Every process that has the database open shares the WAL index, a file beside it that SQLite maps
into memory. Every commit, by any process, changes the index's header last and thereby becomes
visible. So while the header stays the same, what was read from the database still holds, and
checking costs no more than copying 96 bytes:
https://www.sqlite.org/walformat.html#the_wal_index_header
"""

from __future__ import annotations

import sqlite3
import struct
import sys
from collections import deque
from contextlib import suppress

from tract.storage.sql.freshness import State
from tract.storage.sqlite.freshness import mapping

__all__ = ["WalIndex", "least_log"]

_HEADER = mapping.SIZE // 2  # the two copies differ while a commit is being published
_VERSION = 3007000
_CHANGES = struct.Struct("=I")
_CHANGES_AT = 8
_FRAMES = struct.Struct("=HI")
_FRAMES_AT = 14  # the page size, and the number of frames in the log


class WalIndex:
    """The header of one database's index; it says no state until it is attached."""

    def __init__(self) -> None:
        self._mappings: deque[mapping.Mapping] = deque()
        """The mapping to release, for the first to take it out."""
        self._memory: mapping.Memory | None = None
        self._dropped = False

    def attach(self, connection: sqlite3.Connection) -> None:
        """Start reading the index of a connection's database; call this on the connection's thread.

        Does nothing if the database has no readable index. The connection must stay open as long as
        headers are read: it keeps other processes from truncating the file.
        """
        found = mapping.MAPPINGS.take(connection)
        if found is None:
            return
        memory = found.memory()
        if int.from_bytes(memory.raw[:4], sys.byteorder) == _VERSION:
            self._memory = memory
        self._mappings.append(found)
        if self._dropped:  # by a caller that was cancelled while this was on its way
            self.drop()

    def state(self) -> State | None:
        """Return the current state of the database; None if it is not known."""
        memory = self._memory
        if memory is None:
            return None
        both = memory.raw
        header = both[:_HEADER]
        return header if both[_HEADER:] == header else None

    def is_now(self, header: State) -> bool:
        """Return True if the database is still in a state."""
        memory = self._memory
        return memory is not None and memory.raw == header + header

    def is_next(self, before: State, after: State) -> bool:
        """Return True if exactly one commit lies between two states."""
        [old] = _CHANGES.unpack_from(before, _CHANGES_AT)
        [new] = _CHANGES.unpack_from(after, _CHANGES_AT)
        return bool((old + 1) & 0xFFFFFFFF == new)

    def disown(self) -> None:
        """Stop reading headers; `close` releases what was attached."""
        self._memory = None

    def drop(self) -> None:
        """Stop reading headers; the file is released when a store next opens or closes."""
        self._dropped = True
        self._memory = None
        with suppress(IndexError):
            mapping.MAPPINGS.leave(self._mappings.popleft())

    def close(self) -> None:
        """Stop reading headers and release the file; its connections must be closed."""
        self.drop()
        mapping.MAPPINGS.sweep()


def least_log(header: State) -> int:
    """Return the least size of the log in a state, in bytes: the frames that count."""
    page, frames = _FRAMES.unpack_from(header, _FRAMES_AT)
    size = 65536 if page == 1 else page
    return 32 + frames * (24 + size) if frames else 0
