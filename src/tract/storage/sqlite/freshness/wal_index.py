"""The header of a database's WAL index, by which one sees whether anything was committed.

Every process that has the database open shares the index, a file beside it that SQLite maps into
memory. A commit, whoever makes it, changes the header last, and by that becomes visible. So while
the header stays the same, what was read from the database is still so, and to look costs no more
than to copy 96 bytes: https://www.sqlite.org/walformat.html#the_wal_index_header

Nothing is locked for that, and nothing written. But POSIX has a trap: to close *any* descriptor of
a file gives up all locks that the process has on it, SQLite's among them, and two processes might
write at once: https://www.sqlite.org/howtocorrupt.html (2.2). So a descriptor stays open until
our connections are closed and the index is deleted, as SQLite does when its last user closes; from
then on nobody has locks there. Nor may an object close one that is taken apart when Python ends,
while a thread is still within a commit; so the file is mapped by the C library's own function, for
`mmap.mmap` has a descriptor of its own.
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

try:  # now, for a process may give up its rights before it opens a store
    import ctypes
except ImportError:  # a Python that was built without it
    ctypes = None  # type: ignore[assignment]  # the usual way to say that it is not there

__all__ = ["Header", "WalIndex", "is_next", "least_log"]

_HEADER = 48  # bytes; it is there twice, and whoever finds two that differ meets a commit half-way
_VERSION = 3007000
_CHANGES = struct.Struct("=I")
_CHANGES_AT = 8
_FRAMES = struct.Struct("=HI")
_FRAMES_AT = 14  # the size of a page, and how many of them the log has
_LINGERING = 32
"""No more indexes are mapped once we are left with so many that only others still use."""
_FAILED = 2 ** (8 * struct.calcsize("P")) - 1  # the address that tells of it

Header = bytes
"""The state of a database, for comparing."""


@dataclass(slots=True, eq=False)
class _Mapping:
    """An index in our memory, at an *address* (0: that failed); `users` have it open.

    Its *inode* goes with the number of its device.
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
        """Be usable in a process that was forked while a thread had the lock."""
        self._lock = threading.Lock()

    def take(self, path: str) -> _Mapping | None:
        """Return the index at *path*, counted as used once more; None where it cannot be had."""
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
        """Count one user less, when next somebody comes or goes.

        The garbage collector calls this, at any time: so it must not wait for the lock.
        """
        self._left.append(mapping)

    def sweep(self) -> None:
        """Let go of what nobody uses any more, as far as that takes no locks away."""
        if self._lock.acquire(blocking=False):  # else who has it will sweep, or the next
            try:
                self._sweep()
            finally:
                self._lock.release()

    def _map(self, path: str) -> _Mapping:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        mapping = _Mapping((0, 0), descriptor, 0)
        self.all.append(mapping)  # before anything else may fail
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
    """Return the C library with the types of what is called there; None where that is not sure."""
    if os.name != "posix" or ctypes is None:  # files are locked otherwise, or nothing can be called
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
    """The header of one database's index; before it is attached, no state is known."""

    def __init__(self) -> None:
        self._mappings: deque[_Mapping] = deque()
        """The one that is to be left, for whoever takes it out first."""
        self._memory: ctypes.Array[ctypes.c_char] | None = None
        self._dropped = False

    def attach(self, connection: sqlite3.Connection) -> None:
        """Read the index of a connection's database; to be called on the connection's thread.

        Nothing happens where it has none that can be read. The connection must stay open for as
        long as headers are read: it keeps others from cutting the file off.
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
        if self._dropped:  # by whoever was cancelled while this was on its way
            self.drop()

    def header(self) -> Header | None:
        """Return the state of the database now; None where that is not known."""
        memory = self._memory
        if memory is None:
            return None
        both = memory.raw
        header = both[:_HEADER]
        return header if both[_HEADER:] == header else None

    def is_now(self, header: Header) -> bool:
        """Tell whether the database is still in a state."""
        memory = self._memory
        return memory is not None and memory.raw == header + header

    def disown(self) -> None:
        """Read no headers any more; what was attached is let go of by `close`."""
        self._memory = None

    def drop(self) -> None:
        """Read no headers any more; the file is let go of when next a store comes or goes."""
        self._dropped = True
        self._memory = None
        with suppress(IndexError):
            _MAPPINGS.leave(self._mappings.popleft())

    def close(self) -> None:
        """Read no headers any more, and let go of the file; its connections must be closed."""
        self.drop()
        _MAPPINGS.sweep()


def is_next(before: Header, after: Header) -> bool:
    """Tell whether exactly one commit lies between two states."""
    [old] = _CHANGES.unpack_from(before, _CHANGES_AT)
    [new] = _CHANGES.unpack_from(after, _CHANGES_AT)
    return bool((old + 1) & 0xFFFFFFFF == new)


def least_log(header: Header) -> int:
    """Return how many bytes the log has at least in a state: those of its frames that count."""
    page, frames = _FRAMES.unpack_from(header, _FRAMES_AT)
    size = 65536 if page == 1 else page
    return 32 + frames * (24 + size) if frames else 0


def _index_path(connection: sqlite3.Connection) -> str | None:
    """Return where the index of a connection's database is; None where it has none in a file."""
    [[journal]] = connection.execute("PRAGMA journal_mode").fetchall()
    [[locking]] = connection.execute("PRAGMA locking_mode").fetchall()
    listed = connection.execute("PRAGMA database_list").fetchall()
    path = next(row[2] for row in listed if row[1] == "main")
    return f"{path}-shm" if path and (journal, locking) == ("wal", "normal") else None


def _look_at(mapping: _Mapping) -> tuple[bool, int]:
    """Tell whether a descriptor is still that of its index, and how many names that has.

    It is not where a program has closed all that it found open, as those do that become daemons.
    """
    try:
        found = os.fstat(mapping.descriptor)
    except OSError:
        return False, 0
    return (found.st_dev, found.st_ino) == mapping.inode, found.st_nlink


def _mapped(descriptor: int) -> int:
    """Return the address of the beginning of a file; 0 where it cannot be mapped."""
    assert _LIBRARY is not None
    shared, read = mmap.MAP_SHARED, mmap.PROT_READ
    found = _LIBRARY.mmap(None, 2 * _HEADER, read, shared, descriptor, 0)
    return 0 if found in (None, _FAILED) else int(found)


def _unmap(address: int) -> None:
    assert _LIBRARY is not None
    if address:
        _LIBRARY.munmap(address, 2 * _HEADER)
