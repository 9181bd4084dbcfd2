"""Mapping the start of a database's WAL index into memory, without releasing SQLite's locks.

Reading it neither locks nor writes anything. But POSIX has a trap: closing *any* descriptor of a
file releases all locks that the process has on it, SQLite's included, and then two processes might
write at once: https://www.sqlite.org/howtocorrupt.html (2.2). So a descriptor stays open until our
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
import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

try:  # now, because a process may drop privileges before it opens a store
    import ctypes
except ImportError:  # a Python built without it
    ctypes = None  # type: ignore[assignment]  # the usual marker for a missing module

__all__ = ["MAPPINGS", "SIZE", "Mapping", "Memory"]

SIZE = 96
"""Bytes that are mapped: both copies of the header."""
_LINGERING = 32
"""No more indexes are mapped while this many remain that only other processes use."""
_FAILED = 2 ** (8 * struct.calcsize("P")) - 1  # the address that signals failure


class Memory(Protocol):
    """Bytes that other processes write."""

    @property
    def raw(self) -> bytes:
        """A copy of them."""


@dataclass(slots=True, eq=False)
class Mapping:
    """An index in our memory, at *address* (0 if mapping failed), with the number of its users.

    *inode* includes the device.
    """

    inode: tuple[int, int]
    descriptor: int
    address: int
    users: int = 0

    def memory(self) -> Memory:
        """Return the bytes that are mapped."""
        return (ctypes.c_char * SIZE).from_address(self.address)


class _Mappings:
    """The indexes that this process has mapped."""

    def __init__(self) -> None:
        self.all: list[Mapping] = []
        self._left: deque[Mapping] = deque()
        self.renew_lock()

    def renew_lock(self) -> None:
        """Make the lock usable in a child that was forked while a thread held it."""
        self.lock: threading.Lock = threading.Lock()

    def take(self, connection: sqlite3.Connection) -> Mapping | None:
        """Return the index of a connection's database, with one more user.

        Return None if it has none, or it cannot be mapped.
        """
        path = None if _LIBRARY is None else _index_path(connection)
        try:
            return None if path is None else self._take(path)
        except OSError:
            return None

    def _take(self, path: str) -> Mapping | None:
        with self.lock:
            self._sweep()
            found = os.stat(path)
            inode = found.st_dev, found.st_ino
            mapping = next((item for item in self.all if item.inode == inode), None)
            if mapping is None:
                lingering = sum(not item.users for item in self.all)
                if found.st_size < SIZE or lingering >= _LINGERING:
                    return None
                mapping = self._map(path)
            mapping.users += bool(mapping.address)
            return mapping if mapping.address else None

    def leave(self, mapping: Mapping) -> None:
        """Count one user less, at the next `take` or `sweep`.

        The garbage collector may call this at any time, so it must not wait for the lock.
        """
        self._left.append(mapping)

    def sweep(self) -> None:
        """Release the indexes that nobody uses, as far as that releases no locks of SQLite's."""
        if self.lock.locked():  # the holder sweeps, or the next caller
            return
        with self.lock:  # not `acquire()`: an interrupt behind that would leave it locked for good
            self._sweep()

    def _map(self, path: str) -> Mapping:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        mapping = Mapping((0, 0), descriptor, 0)
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
MAPPINGS = _Mappings()
if _LIBRARY is not None:
    os.register_at_fork(after_in_child=MAPPINGS.renew_lock)


def _index_path(connection: sqlite3.Connection) -> str | None:
    """Return the path of the index of a connection's database; None if it has no such file."""
    [[journal]] = connection.execute("PRAGMA journal_mode").fetchall()
    [[locking]] = connection.execute("PRAGMA locking_mode").fetchall()
    listed = connection.execute("PRAGMA database_list").fetchall()
    path = next(row[2] for row in listed if row[1] == "main")
    return f"{path}-shm" if path and (journal, locking) == ("wal", "normal") else None


def _look_at(mapping: Mapping) -> tuple[bool, int]:
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
    found = _LIBRARY.mmap(None, SIZE, read, shared, descriptor, 0)
    return 0 if found in (None, _FAILED) else int(found)


def _unmap(address: int) -> None:
    assert _LIBRARY is not None
    if address:
        _LIBRARY.munmap(address, SIZE)
