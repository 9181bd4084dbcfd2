"""Opening and closing a SQLite database: connections, their options, the schema's version."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import StaticPool

from tract.exceptions import StorageError
from tract.models.config import TractConfig
from tract.storage.errors import translate
from tract.storage.groups import Wakings
from tract.storage.heads import KnownHeads
from tract.storage.migrations import migrate, version
from tract.storage.options import options_of, set_options
from tract.storage.place import DatabaseFile
from tract.storage.reader import GroupReader
from tract.storage.repositories import BranchName
from tract.storage.transaction import WriteTransaction
from tract.storage.wal_index import Header, WalIndex
from tract.storage.worker import OwnConnection, Worker
from tract.storage.writer import GroupWriter, Transactions

__all__ = ["Database", "database_url", "now_microseconds", "open_database", "open_engine"]


T = TypeVar("T")

_OWN_INDEX = {"cache", "vfs"}
"""Options of a URL with which the index may be elsewhere, or reads see less than it tells of."""


def now_microseconds() -> int:
    """Return the time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


class Database:
    """One writer connection and some readers, all open until `aclose()`."""

    def __init__(
        self,
        path: str,
        file: DatabaseFile,
        index: WalIndex,
        workers: Sequence[Worker],
        closers: Sequence[Callable[[], Awaitable[None]]],
        clock: Callable[[], int],
    ) -> None:
        self.path = path
        self._index = index
        self._workers = workers
        self._closers = closers
        self.closed: bool = False
        self.heads: KnownHeads = KnownHeads(index)
        """Where branches point, as far as that need not be asked for."""
        wakings = Wakings()
        transactions = Transactions(file, index, path, clock)
        self._writer = GroupWriter(workers[0], transactions, self.heads, wakings)
        self._reader = GroupReader(workers[1:] or workers, index, wakings)

    def write(self, job: Callable[[WriteTransaction], T], size: int = 1) -> Coroutine[Any, Any, T]:
        """Run *job* in a transaction that it may share; see `GroupWriter.write`."""
        return self._writer.write(job, size)

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """See `ArrivalRepository.on_move`."""
        self._writer.on_move(callback)

    def read(self, function: Callable[[sqlite3.Connection], T]) -> Coroutine[Any, Any, T]:
        """Run *function* by itself; see `GroupReader.read`."""
        return self._reader.read(function)

    def glance(self, function: Callable[[sqlite3.Connection], T]) -> Coroutine[Any, Any, T]:
        """Run a quick *function*, together with others; see `GroupReader.glance`."""
        return self._reader.glance(function)

    def observe(
        self, function: Callable[[sqlite3.Connection], T]
    ) -> Coroutine[Any, Any, tuple[T, Header | None]]:
        """Do what `glance` does, and tell of which state; see `GroupReader.observe`."""
        return self._reader.observe(function)

    @property
    def trips(self) -> int:
        """Trips made so far to the connections' threads, the measure of what a verb costs."""
        return sum(worker.trips for worker in self._workers)

    async def aclose(self) -> None:
        """Close every connection; no call may be under way.

        The writer goes last, by itself: who is alone in closing the database moves the log into
        it and leaves one file.
        """
        writer, *readers = self._closers
        results = await asyncio.gather(*(close() for close in readers), return_exceptions=True)
        results += await asyncio.gather(writer(), return_exceptions=True)
        self._index.close()
        for failure in results:
            if isinstance(failure, BaseException):
                raise translate(failure, self.path) from failure
        self.closed = True

    def abandon(self) -> None:
        """Let go of everything without an event loop to wait on."""
        self._index.disown()
        remaining = deque(self._workers)

        def closed() -> None:
            remaining.pop()
            if not remaining:
                self._index.drop()  # no sooner: a transaction under way has locks on its file

        for worker in self._workers:
            worker.abandon(closed)


def database_url(target: str) -> URL:
    """Return the SQLAlchemy URL of a path, of `:memory:`, or of a URL given as such.

    Raises:
        StorageError: the URL is malformed, or names a database that is not SQLite.
    """
    if not target:
        raise StorageError("The path is empty. Give a path, ':memory:' or 'sqlite:///path'.")
    if "://" not in target:
        return URL.create("sqlite+aiosqlite", database=target)
    try:
        url = make_url(target)
    except (ArgumentError, ValueError):
        raise _no_url() from None
    if url.get_backend_name() != "sqlite":
        raise StorageError(
            f"Databases of the kind {url.get_backend_name()!r} are not supported yet. "
            "Give a path, ':memory:' or 'sqlite:///path'."
        )
    return url.set(drivername="sqlite+aiosqlite")


def _no_url() -> StorageError:
    return StorageError("This is no database URL. Give a path, ':memory:' or 'sqlite:///path'.")


def _connect(url: URL) -> sqlite3.Connection:
    """Connect; to be called on the connection's thread, for it looks at the file system."""
    if "\0" in (url.database or ""):
        raise StorageError("A path cannot contain a null character. Give another path.")
    try:
        os.fsencode(url.database or "")
    except UnicodeEncodeError:
        raise StorageError("A path cannot contain a lone surrogate. Give another path.") from None
    try:
        [file], given = SQLiteDialect_aiosqlite().create_connect_args(url)
    except (ArgumentError, TypeError, ValueError):  # a host or a password; an option mistyped
        raise _no_url() from None
    options: dict[str, Any] = {**given, "check_same_thread": True}
    try:
        connection: sqlite3.Connection = sqlite3.connect(file, **options)
    except sqlite3.Error as error:
        raise translate(error, url.database or ":memory:") from error
    return connection


def _connect_or_stand_in(url: URL, failures: list[Exception]) -> sqlite3.Connection:
    """Connect, or note the failure: aiosqlite waits for a thread's end only after a success."""
    try:
        return _connect(url)
    except Exception as error:
        failures.append(error)
        return sqlite3.connect(":memory:")


async def open_database(
    target: str, config: TractConfig, clock: Callable[[], int] = now_microseconds
) -> Database:
    """Open a SQLite file, creating it and its tables if need be, or a new `:memory:` database.

    Raises:
        StorageError: it cannot be opened, is damaged, is read-only or of a newer schema.
    """
    url = database_url(target)
    in_memory = not SQLiteDialect_aiosqlite._is_url_file_db(url)
    path = url.database or ":memory:"
    opened: list[OwnConnection] = []
    index = WalIndex()

    async def connect() -> Worker:
        failures: list[Exception] = []
        connection = OwnConnection(partial(_connect_or_stand_in, url, failures))
        opened.append(connection)
        await connection
        if failures:
            raise failures[0]
        return Worker(connection, path)

    try:
        workers = [await connect()]
        await workers[0].run(lambda raw: _prepare(raw, config, path, migrating=True))
        file = await workers[0].run(DatabaseFile)
        opened[0].before_closing = file.release
        if not url.query.keys() & _OWN_INDEX:
            await workers[0].run(index.attach)
        for _ in range(0 if in_memory else config.readers):
            workers.append(await connect())
            await workers[-1].run(lambda raw: _prepare(raw, config, path, migrating=False))
    except BaseException:
        try:
            await asyncio.gather(*(item.close() for item in opened), return_exceptions=True)
        finally:
            index.close()
        raise
    closers = [connection.close for connection in opened]
    return Database(path, file, index, workers, closers, clock)


async def open_engine(
    engine: AsyncEngine, config: TractConfig, clock: Callable[[], int] = now_microseconds
) -> Database:
    """Use connections of *engine*'s pool, held until closing and given back as they were.

    Raises:
        StorageError: the engine is not of sqlite+aiosqlite, or its pool has no connection left.
    """
    if engine.dialect.name != "sqlite" or engine.dialect.driver != "aiosqlite":
        raise StorageError(
            f"An engine of {engine.dialect.name}+{engine.dialect.driver} cannot be used. "
            "Create it with `create_async_engine('sqlite+aiosqlite:///path')`."
        )
    path = engine.url.database or ":memory:"
    held: list[_Held] = []
    index = WalIndex()  # their owner may close the connections, and then none must be read
    shared = isinstance(engine.pool, StaticPool) or not SQLiteDialect_aiosqlite._is_url_file_db(
        engine.url
    )
    count = 1 if shared else 1 + config.readers
    try:
        for number in range(count):
            held.append(await _Held.take(engine, path))
            await held[-1].prepare(config, path, migrating=number == 0)
        file = await held[0].worker.run(DatabaseFile)
        held[0].file = file
    except BaseException as error:
        await asyncio.gather(*(item.give_back() for item in held), return_exceptions=True)
        if isinstance(error, (SQLAlchemyError, AssertionError)):  # an AssertionPool's
            raise StorageError(f"the engine gave no connection: {error}", path) from error
        raise
    workers = [item.worker for item in held]
    return Database(path, file, index, workers, [item.give_back for item in held], clock)


class _Held:
    """A connection on loan from an engine's pool."""

    def __init__(self, connection: AsyncConnection, worker: Worker) -> None:
        self._connection = connection
        self.worker = worker
        self._found: dict[str, int] = {}
        self._factories: tuple[Any, Any] = (None, str)
        self.file: DatabaseFile | None = None
        """Where this connection writes, if it is the one that does."""

    @classmethod
    async def take(cls, engine: AsyncEngine, path: str) -> _Held:
        connection = await engine.connect()
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        return cls(connection, Worker(driver, path, borrowed=True))

    async def prepare(self, config: TractConfig, path: str, *, migrating: bool) -> None:
        self._factories = await self.worker.run(lambda raw: _set_factories(raw, (None, str)))
        self._found = await self.worker.run(options_of)
        await self.worker.run(lambda raw: _prepare(raw, config, path, migrating=migrating))

    async def give_back(self) -> None:
        if self.worker.is_gone:  # there is nothing to leave as it was
            await self._connection.close()
        elif not self._connection.closed:
            try:
                if self.file is not None:
                    file = self.file
                    await self.worker.run(lambda _: file.release())
                await self.worker.run(lambda raw: set_options(raw, self._found))
                await self.worker.run(lambda raw: _set_factories(raw, self._factories))
            finally:
                await self._connection.close()


def _set_factories(connection: sqlite3.Connection, factories: tuple[Any, Any]) -> tuple[Any, Any]:
    """Set what rows and texts are read as, and return what they were read as before."""
    found = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = factories
    return found


def _prepare(
    connection: sqlite3.Connection, config: TractConfig, path: str, *, migrating: bool
) -> None:
    """Set a connection's options and, on the first one, bring the schema up to date."""
    set_options(
        connection,
        {
            "busy_timeout": round(config.busy_timeout * 1000),
            "foreign_keys": 1,
            "synchronous": 2 if config.durability == "full" else 1,
        },
    )
    if migrating:
        version(connection, path)  # a file that is refused is left as it was found
        _use_wal(connection, config.busy_timeout)
        migrate(connection, path)


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Switch to the write-ahead log; the busy timeout does not cover that, so wait here."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return
