"""Protection against process forks, after which SQLite's locks cannot be trusted.

SQLite keeps one table of the files and locks of a process. A forked child inherits the table, but
not the locks. A file that the parent had open counts as locked in the child, so a new connection
there acquires no lock at all. The table cannot be reset, so the child must not open such a file:
https://www.sqlite.org/howtocorrupt.html (2.6). It must not close an inherited connection either,
which would checkpoint the write-ahead log while the parent uses it.

A lock that a thread holds at the moment of the fork stays locked in the child for ever, SQLite's
own mutexes included. So a fork waits for the threads that hold a `new_lock()`.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from weakref import WeakSet, WeakValueDictionary

from tract.exceptions import ForkedProcessError

try:
    import ctypes
except ImportError:  # a Python that was built without it
    ctypes = None  # type: ignore[assignment]  # the usual mark of a missing module

__all__ = ["PROCESS", "Inode", "keep_for_ever", "open_files"]

_MAGIC = b"SQLite format 3\0"
_PATIENCE = 1.0  # seconds that a fork waits for threads
_MOST = 65536  # descriptors to probe where the system does not list them

Inode = tuple[int, int]
"""The device and inode numbers that identify a file."""


class _Process:
    """This process, and the files that it inherited by a fork."""

    def __init__(self) -> None:
        self.forks: int = 0
        """Forks between this process and the one that imported the package."""
        self.inherited: frozenset[Inode] = frozenset()
        """Databases that SQLite wrongly regards as locked by this process."""
        self._connections: dict[int, object] = {}
        self._lent: WeakValueDictionary[int, object] = WeakValueDictionary()
        self._pid = os.getpid()
        self._renew()

    def _renew(self) -> None:
        self._turn = threading.Lock()
        self._locks: WeakSet[threading.RLock] = WeakSet()
        self._held: list[threading.RLock] = []
        self.loading: threading.RLock = self.new_lock()
        """Held while loading what the first store needs."""
        self.building: threading.RLock = self.new_lock()
        """Held while building a validator; pydantic has one lock for all of them."""

    def new_lock(self) -> threading.RLock:
        """Return a lock that delays forks: hold it while other locks are held."""
        lock = threading.RLock()
        with self._turn:
            self._locks.add(lock)
        return lock

    def opened(self, connection: object) -> None:
        """Note a connection that a child must not close."""
        self._connections[id(connection)] = connection

    def lent(self, connection: object) -> None:
        """Note a connection borrowed from a pool, which returns to it if it is dropped."""
        self._lent[id(connection)] = connection

    def closed(self, connection: object) -> None:
        """Forget a connection."""
        self._connections.pop(id(connection), None)
        self._lent.pop(id(connection), None)

    def check(self, forks: int, path: str) -> None:
        """Raise a ForkedProcessError if a store of *forks* was opened before a fork."""
        if forks != self.forks:
            raise ForkedProcessError(path=path)

    def check_file(self, file: str | os.PathLike[str], path: str) -> None:
        """Raise a ForkedProcessError if this process inherited *file* open.

        The error names the database by *path*.
        """
        if self._pid != os.getpid():  # forked by something that calls none of Python's hooks
            self.after_in_child()
        if self.inherited:
            with suppress(OSError, ValueError):  # a file that is not there was not inherited
                if inode_of(os.stat(file)) in self.inherited:
                    raise ForkedProcessError(path=path)

    def before(self) -> None:
        """Wait, for a limited time, for the threads that a fork would interrupt."""
        self._turn.acquire()
        deadline = monotonic() + _PATIENCE
        for lock in list(self._locks):
            if lock.acquire(timeout=max(0.0, deadline - monotonic())):
                self._held.append(lock)

    def after_in_parent(self) -> None:
        """Let the threads go on."""
        while self._held:
            self._held.pop().release()
        self._turn.release()

    def after_in_child(self) -> None:
        """Note what the child inherited; open stores belong to the parent."""
        self.forks += 1
        self._pid = os.getpid()
        self._renew()
        for connection in (*self._connections.values(), *self._lent.values()):
            keep_for_ever(connection)
        self._connections = {}
        self._lent = WeakValueDictionary()
        self.inherited |= open_files(databases=True)


_kept: list[object] = []


def keep_for_ever(connection: object) -> None:
    """Prevent a connection from being closed, even when the interpreter exits."""
    _kept.append(connection)
    if ctypes is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def inode_of(found: os.stat_result) -> Inode:
    """Return the identity of a file."""
    return found.st_dev, found.st_ino


def open_files(*, databases: bool = False) -> frozenset[Inode]:
    """Return the regular files that this process has open; with *databases*, only databases."""
    files: set[Inode] = set()
    for descriptor in _descriptors():
        with suppress(OSError):  # it was closed meanwhile, or is unreadable
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and not (databases and _is_other(descriptor, found)):
                files.add(inode_of(found))
    return frozenset(files)


def _descriptors() -> Iterable[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError, ValueError):
            listed = [int(name) for name in os.listdir(folder)]
            if max(listed, default=0) > 2:  # some systems list only the first three
                return listed
    return range(_most_descriptors())  # there is no such folder, or no descriptor left to read it


def _most_descriptors() -> int:
    """Return how many descriptors a process may have, up to the number worth probing."""
    with suppress(OSError, ValueError, AttributeError):
        allowed = os.sysconf("SC_OPEN_MAX")
        return min(allowed, _MOST) if allowed > 0 else _MOST
    return _MOST


def _is_other(descriptor: int, found: os.stat_result) -> bool:
    """Return True if a file is not a database; an empty one may be about to become one."""
    return found.st_size > 0 and os.pread(descriptor, len(_MAGIC), 0) != _MAGIC


PROCESS = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=PROCESS.before,
        after_in_parent=PROCESS.after_in_parent,
        after_in_child=PROCESS.after_in_child,
    )
