"""The header of a database's WAL index, which shows whether anything was committed.

Every process that has the database open shares the index, a file beside it that SQLite maps into
memory. Every commit, by any process, changes the header last and thereby becomes visible. So while
the header stays the same, what was read from the database still holds, and checking costs no more
than copying 96 bytes: https://www.sqlite.org/walformat.html#the_wal_index_header

That neither locks nor writes anything. But POSIX has a trap: closing *any* descriptor of a file
releases all locks that the process has on it, SQLite's included, and then two processes might write
at once: https://www.sqlite.org/howtocorrupt.html (2.2). So a descriptor stays open until our
connections are closed and the index is deleted, as SQLite does when its last user closes; after
that nobody has locks on it. Nor may an object close a descriptor when it is finalised at Python's
exit while a thread is still committing. So the file is mapped with the C library's own function,
since `mmap.mmap` holds a descriptor of its own.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
import struct
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

try:  # now, because a process may drop privileges before it opens a store
    import ctypes
except ImportError:  # a Python built without it
    ctypes = None  # type: ignore[assignment]  # the usual marker for a missing module

__all__ = ["Header", "WalIndex", "is_next", "least_log"]

_HEADER = 48  # bytes; there are two copies, and they differ while a commit is being published
_VERSION = 3007000
_CHANGES = struct.Struct("=I")
_CHANGES_AT = 8
_FRAMES = struct.Struct("=HI")
_FRAMES_AT = 14  # the page size, and the number of frames in the log
_LINGERING = 32
"""No more indexes are mapped while this many remain that only other processes use."""
_FAILED = 2 ** (8 * struct.calcsize("P")) - 1  # the address that signals failure

Header = bytes
"""The state of a database, to be compared."""


@dataclass(slots=True, eq=False)
class _Mapping:
    """An index in our memory, at *address* (0 if mapping failed), with the number of its users.

    *inode* includes the device.
    """

    inode: tuple[int, int]
    descriptor: int
    address: int
    users: int = 0


class _Mappings:
    """The indexes that this process has mapped."""

    def __init__(self) -> None:
        self.all: list[_Mapping] = []
        self._left: deque[_Mapping] = deque()
        self.renew_lock()

    def renew_lock(self) -> None:
        """Make the lock usable in a child that was forked while a thread held it."""
        self._lock = threading.Lock()

    def take(self, path: str) -> _Mapping | None:
        """Return the index at *path*, with one more user; None if it cannot be mapped."""
        with self._lock:
            self._sweep()
            found = os.stat(path)
            inode = found.st_dev, found.st_ino
            mapping = next((item for item in self.all if item.inode == inode), None)
            if mapping is None:
                lingering = sum(not item.users for item in self.all)
                if found.st_size < 2 * _HEADER or lingering >= _LINGERING:
                    return None
                mapping = self._map(path)
            mapping.users += bool(mapping.address)
            return mapping if mapping.address else None

    def leave(self, mapping: _Mapping) -> None:
        """Count one user less, at the next `take` or `sweep`.

        The garbage collector may call this at any time, so it must not wait for the lock.
        """
        self._left.append(mapping)

    def sweep(self) -> None:
        """Release the indexes that nobody uses, as far as that releases no locks of SQLite's."""
        if self._lock.acquire(blocking=False):  # otherwise the holder sweeps, or the next caller
            try:
                self._sweep()
            finally:
                self._lock.release()

    def _map(self, path: str) -> _Mapping:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        mapping = _Mapping((0, 0), descriptor, 0)
        self.all.append(mapping)  # before anything else can fail
        opened = os.fstat(descriptor)
        mapping.inode = opened.st_dev, opened.st_ino
        mapping.address = _mapped(descriptor)
        return mapping

    def _sweep(self) -> None:
        while self._left:
            self._left.popleft().users -= 1
        for mapping in [item for item in self.all if not item.users]:
            is_ours, links = _look_at(mapping)
            if not (is_ours and links):
                self.all.remove(mapping)
                _unmap(mapping.address)
                if is_ours:
                    os.close(mapping.descriptor)


def _library() -> ctypes.CDLL | None:
    """Return the C library with its functions typed, or None if that is not safe here."""
    if os.name != "posix" or ctypes is None:  # other systems lock files differently
        return None
    if struct.calcsize("P") != 8:  # the size of an offset depends on the library
        return None
    try:
        library = ctypes.CDLL(None)
        size, number = ctypes.c_size_t, ctypes.c_int
        library.mmap.argtypes = (ctypes.c_void_p, size, number, number, number, ctypes.c_long)
        library.mmap.restype = ctypes.c_void_p
        library.munmap.argtypes = (ctypes.c_void_p, size)
    except (OSError, AttributeError):  # a Python that cannot load libraries
        return None
    return library


_LIBRARY = _library()
_MAPPINGS = _Mappings()
if _LIBRARY is not None:
    os.register_at_fork(after_in_child=_MAPPINGS.renew_lock)


class WalIndex:
    """The header of one database's index; no state is known until it is attached."""

    def __init__(self) -> None:
        self._mappings: deque[_Mapping] = deque()
        """The mapping to release, for the first to take it out."""
        self._memory: ctypes.Array[ctypes.c_char] | None = None
        self._dropped = False

    def attach(self, connection: sqlite3.Connection) -> None:
        """Start reading the index of a connection's database; call this on the connection's thread.

        Does nothing if the database has no readable index. The connection must stay open as long as
        headers are read: it keeps other processes from truncating the file.
        """
        path = None if _LIBRARY is None else _index_path(connection)
        if path is None:
            return
        try:
            mapping = _MAPPINGS.take(path)
        except OSError:
            return
        if mapping is None:
            return
        memory = (ctypes.c_char * (2 * _HEADER)).from_address(mapping.address)
        if int.from_bytes(memory.raw[:4], sys.byteorder) == _VERSION:
            self._memory = memory
        self._mappings.append(mapping)
        if self._dropped:  # by a caller that was cancelled while this was on its way
            self.drop()

    def header(self) -> Header | None:
        """Return the current state of the database; None if it is not known."""
        memory = self._memory
        if memory is None:
            return None
        both = memory.raw
        header = both[:_HEADER]
        return header if both[_HEADER:] == header else None

    def is_now(self, header: Header) -> bool:
        """Return True if the database is still in a state."""
        memory = self._memory
        return memory is not None and memory.raw == header + header

    def disown(self) -> None:
        """Stop reading headers; `close` releases what was attached."""
        self._memory = None

    def drop(self) -> None:
        """Stop reading headers; the file is released when a store next opens or closes."""
        self._dropped = True
        self._memory = None
        with suppress(IndexError):
            _MAPPINGS.leave(self._mappings.popleft())

    def close(self) -> None:
        """Stop reading headers and release the file; its connections must be closed."""
        self.drop()
        _MAPPINGS.sweep()


def is_next(before: Header, after: Header) -> bool:
    """Return True if exactly one commit lies between two states."""
    [old] = _CHANGES.unpack_from(before, _CHANGES_AT)
    [new] = _CHANGES.unpack_from(after, _CHANGES_AT)
    return bool((old + 1) & 0xFFFFFFFF == new)


def least_log(header: Header) -> int:
    """Return the least size of the log in a state, in bytes: the frames that count."""
    page, frames = _FRAMES.unpack_from(header, _FRAMES_AT)
    size = 65536 if page == 1 else page
    return 32 + frames * (24 + size) if frames else 0


def _index_path(connection: sqlite3.Connection) -> str | None:
    """Return the path of the index of a connection's database; None if it has no such file."""
    [[journal]] = connection.execute("PRAGMA journal_mode").fetchall()
    [[locking]] = connection.execute("PRAGMA locking_mode").fetchall()
    listed = connection.execute("PRAGMA database_list").fetchall()
    path = next(row[2] for row in listed if row[1] == "main")
    return f"{path}-shm" if path and (journal, locking) == ("wal", "normal") else None


def _look_at(mapping: _Mapping) -> tuple[bool, int]:
    """Return whether a descriptor still belongs to its index, and how many names that file has.

    It does not if the program has closed all open descriptors, as daemons do when they start.
    """
    try:
        found = os.fstat(mapping.descriptor)
    except OSError:
        return False, 0
    return (found.st_dev, found.st_ino) == mapping.inode, found.st_nlink


def _mapped(descriptor: int) -> int:
    """Return the address at which the start of a file is mapped; 0 on failure."""
    assert _LIBRARY is not None
    shared, read = mmap.MAP_SHARED, mmap.PROT_READ
    found = _LIBRARY.mmap(None, 2 * _HEADER, read, shared, descriptor, 0)
    return 0 if found in (None, _FAILED) else int(found)


def _unmap(address: int) -> None:
    assert _LIBRARY is not None
    if address:
        _LIBRARY.munmap(address, 2 * _HEADER)
