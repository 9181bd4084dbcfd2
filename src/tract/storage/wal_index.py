"""The header of a database's WAL index, by which one sees whether anything was committed.

Every process that has the database open shares the index, a file beside it that SQLite maps into
memory. A commit, whoever makes it, changes the header last, and by that becomes visible. So while
the header stays the same, what was read from the database is still so, and to look costs no more
than to copy 96 bytes: https://www.sqlite.org/walformat.html#the_wal_index_header

Nothing is locked for that, and nothing written. But POSIX has a trap: to close *any* descriptor of
a file gives up all locks that the process has on it, SQLite's among them, and two processes might
write at once (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
So a descriptor stays open until SQLite has deleted the index, as the last of its users does when
it closes; from then on nobody has locks there.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
import struct
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field

try:  # now, for a process may give up its rights before it opens a store
    import ctypes
except ImportError:  # a Python that was built without it
    ctypes = None  # type: ignore[assignment]  # the usual way to say that it is not there

__all__ = ["Header", "WalIndex", "is_next"]

_HEADER = 48  # bytes; it is there twice, and whoever finds two that differ meets a commit half-way
_VERSION = 3007000
_CHANGES = struct.Struct("=I")
_CHANGES_AT = 8
_LINGERING = 32
"""Indexes that we may be left with, in use by others and no longer by us."""

_CAN_MAP = os.name == "posix" and sys.implementation.name == "cpython" and ctypes is not None
"""Elsewhere files are locked otherwise, or objects are taken apart otherwise."""

Header = bytes
"""The state of a database, for comparing."""


@dataclass(slots=True)
class _Mapping:
    """An index in our memory; `users` have it open."""

    descriptors: list[int]
    memory: mmap.mmap | None
    users: int = 0


@dataclass(slots=True)
class _Mappings:
    """The indexes that this process has mapped, by the numbers of their device and their inode."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    mapped: dict[tuple[int, int], _Mapping] = field(default_factory=dict)

    def take(self, path: str) -> _Mapping | None:
        """Return the index at *path*, counted as used once more; None where it cannot be had."""
        with self.lock:
            self._sweep()
            found = os.stat(path)
            mapping = self.mapped.get((found.st_dev, found.st_ino))
            if mapping is None:
                lingering = sum(not other.users for other in self.mapped.values())
                if found.st_size < 2 * _HEADER or lingering >= _LINGERING:
                    return None
                mapping = self._map(path)
            if mapping.memory is None:
                return None
            mapping.users += 1
            return mapping

    def leave(self, mapping: _Mapping) -> None:
        """Count one user less."""
        with self.lock:
            mapping.users -= 1
            self._sweep()

    def _map(self, path: str) -> _Mapping:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        opened = os.fstat(descriptor)
        key = opened.st_dev, opened.st_ino
        mapping = self.mapped.get(key)
        if mapping is not None:  # the file was exchanged while we looked
            mapping.descriptors.append(descriptor)
            return mapping
        mapping = self.mapped[key] = _Mapping([descriptor], None)
        with suppress(OSError, ValueError):
            mapping.memory = mmap.mmap(descriptor, 2 * _HEADER, mmap.MAP_SHARED, mmap.PROT_READ)
            _keep_for_ever(mapping.memory)
        return mapping

    def _sweep(self) -> None:
        """Close what nobody uses, where that takes no locks away: where the file is deleted."""
        for key, mapping in list(self.mapped.items()):
            if not mapping.users and not os.fstat(mapping.descriptors[0]).st_nlink:
                del self.mapped[key]
                if mapping.memory is not None:
                    mapping.memory.close()
                for descriptor in mapping.descriptors:
                    os.close(descriptor)


_MAPPINGS = _Mappings()


class WalIndex:
    """The header of one database's index; without an index there is nothing to see."""

    def __init__(self, mapping: _Mapping | None = None) -> None:
        self._mapping = mapping
        self._memory = None if mapping is None else mapping.memory
        self._lock = threading.Lock()

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> WalIndex:
        """Return the index of a connection's database; to be called on the connection's thread.

        The connection must stay open for as long as headers are read: it keeps others from
        cutting the file off.
        """
        path = _index_path(connection) if _CAN_MAP else None
        if path is None:
            return cls()
        try:
            index = cls(_MAPPINGS.take(path))
        except OSError:
            return cls()
        header = index.header()
        if header is None or int.from_bytes(header[:4], sys.byteorder) != _VERSION:
            index.close()
        return index

    def header(self) -> Header | None:
        """Return the state of the database now; None where that is not known."""
        memory = self._memory
        if memory is None:
            return None
        both = memory[:]
        header = both[:_HEADER]
        return header if both[_HEADER:] == header else None

    def is_now(self, header: Header) -> bool:
        """Tell whether the database is still in a state."""
        memory = self._memory
        return memory is not None and memory[:] == header + header

    def disown(self) -> None:
        """Read no headers any more."""
        self._memory = None

    def close(self) -> None:
        """Read no headers any more, and let go of the file; closing again does nothing."""
        with self._lock:
            mapping, self._mapping, self._memory = self._mapping, None, None
        if mapping is not None:
            _MAPPINGS.leave(mapping)


def is_next(before: Header, after: Header) -> bool:
    """Tell whether exactly one commit lies between two states."""
    [old] = _CHANGES.unpack_from(before, _CHANGES_AT)
    [new] = _CHANGES.unpack_from(after, _CHANGES_AT)
    return bool((old + 1) & 0xFFFFFFFF == new)


def _index_path(connection: sqlite3.Connection) -> str | None:
    """Return where the index of a connection's database is; None where it has none in a file."""
    [[journal]] = connection.execute("PRAGMA journal_mode").fetchall()
    [[locking]] = connection.execute("PRAGMA locking_mode").fetchall()
    listed = connection.execute("PRAGMA database_list").fetchall()
    path = next(row[2] for row in listed if row[1] == "main")
    return f"{path}-shm" if path and (journal, locking) == ("wal", "normal") else None


def _keep_for_ever(memory: mmap.mmap) -> None:
    """Keep a mapping from being closed where objects are taken apart, as when Python ends.

    It has a descriptor of its own, and a thread may still be within a commit then.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
