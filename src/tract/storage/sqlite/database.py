"""Opening and closing a SQLite database: its connections, their options, and the schema version."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit
from weakref import ref

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from tract.exceptions import ForkedProcessError, StorageError, StoreReadOnlyError
from tract.models.config import TractConfig
from tract.running.forking import PROCESS, keep_for_ever
from tract.running.lifecycle import ended, to_the_end
from tract.running.waiting import from_thread
from tract.storage.repositories import BranchName, Residue, StoreFacts
from tract.storage.sql.configs.querying import ConfigQueries
from tract.storage.sql.freshness import Freshness, State
from tract.storage.sql.grouping import Groups
from tract.storage.sql.searching import SearchIndex
from tract.storage.sql.statements.compiled import Statement, written
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.backing_up import back_up, back_up_file
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.errors import translate
from tract.storage.sqlite.file import DatabaseFile
from tract.storage.sqlite.freshness.wal_index import WalIndex
from tract.storage.sqlite.json import SqliteConfigLanguage
from tract.storage.sqlite.options import options_of, set_options
from tract.storage.sqlite.preparing import prepare, prepare_first
from tract.storage.sqlite.search import SqliteSearch
from tract.storage.sqlite.targets import Target, parse_target
from tract.storage.sqlite.thread.reader import GroupReader
from tract.storage.sqlite.thread.worker import OwnConnection, Worker
from tract.storage.sqlite.thread.writer import GroupWriter, Transactions
from tract.storage.sqlite.upkeep import facts, vacuum

if TYPE_CHECKING:  # its import takes an eighth of that of this package
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["Database", "now_microseconds", "open_database", "open_engine"]

T = TypeVar("T")

_LOST_AFTER = 1.0  # seconds between checks whether an interrupt has lost a callback
_STUCK = 10.0
"""Seconds that an opening in a forked child waits for locks that were held at the fork."""


def now_microseconds() -> int:
    """Return the time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


_INDEXES_OF_ERASURES = [
    written("CREATE INDEX IF NOT EXISTS ix_commits_content_hash ON commits (content_hash)"),
    written(
        "CREATE INDEX IF NOT EXISTS ix_commits_key ON commits (tract_id, key) WHERE key IS NOT NULL"
    ),
]


class Database:
    """One writer connection and some readers, all open until `aclose()`.

    *read_only* says why nothing can be written, or is None; if set, the writer stays idle.
    """

    def __init__(
        self,
        path: str,
        file: DatabaseFile,
        freshness: Freshness,
        workers: Sequence[Worker],
        closers: Sequence[Callable[[], Awaitable[None]]],
        clock: Callable[[], int],
        read_only: str | None = None,
    ) -> None:
        self.path = path
        self._read_only = read_only
        self._file = file
        self._index = file.index
        self._workers = workers
        self._closers = closers
        self.closed: bool = False
        self.clock: Callable[[], int] = clock
        self.queries: ConfigQueries = ConfigQueries(SqliteConfigLanguage())
        self.search: SearchIndex = SqliteSearch()
        self.freshness: Freshness = freshness
        transactions = Transactions(file, freshness, path, clock)
        self._writer = GroupWriter(workers[0], transactions, freshness)
        self._reader = GroupReader(workers[1:] or workers, freshness.index, file)
        self._groups: tuple[Groups[Any], ...] = (self._writer.groups, self._reader.groups)
        self._loop = asyncio.get_running_loop()
        self._watching: asyncio.TimerHandle | None = None
        self._is_indexed = False

    @property
    def writes(self) -> Groups[Any]:
        """The groups in which writes leave."""
        return self._writer.groups

    def write(
        self,
        job: Callable[[WriteTransaction], T],
        tracts: Sequence[str] = (),
        size: int = 1,
        *,
        exclusive: bool = False,
        traced: bool = True,
    ) -> Coroutine[Any, Any, T]:
        """Run *job* in a transaction that it may share; see `GroupWriter.write`.

        A SQLite database has one lock for all *tracts*, so every write is exclusive. One that has to
        be asks which commits refer to contents or were made under keys, and first adds the indexes
        that answer, each in a transaction of its own: in a long table one takes a while. Kept from a
        store's beginning, they would cost each commit more pages of the log.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
        """
        if self._read_only is not None:
            self.check_writable()
        if self._watching is None:
            self._watch()
        return self._write_indexed(job, size) if exclusive else self._writer.write(job, size)

    async def _write_indexed(self, job: Callable[[WriteTransaction], T], size: int) -> T:
        """Run *job* where commits can be found by their contents, and by keys that they once had."""
        if not self._is_indexed:
            for statement in _INDEXES_OF_ERASURES:
                await self._writer.write(partial(_run, statement))
            self._is_indexed = True
        return await self._writer.write(job, size)

    async def scrub(self) -> Residue | None:
        """Empty the log: erased bytes may be in it, and pages as they were before.

        In the file, `secure_delete` has overwritten them, but not the copies that SQLite leaves in
        unused parts of pages when it moves rows.
        """
        is_empty = await self._workers[0].run(lambda _: self._file.log.shorten())
        if not self._file.path:
            return None
        return "vacuum" if is_empty else "log"

    async def vacuum(self) -> Residue | None:
        """Write the file anew; see `upkeep.vacuum`. If the caller is cancelled, it ends soon."""
        stop = Event()
        run = partial(vacuum, file=self._file, stopped=stop.is_set)
        work = asyncio.create_task(self._workers[0].run(run))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await ended(work)
            raise

    async def facts(self) -> StoreFacts:
        """See `StoreRepository.facts`."""
        look = partial(facts, file=self._file, read_only=self._read_only is not None)
        return await self.read(look)

    def check_writable(self) -> None:
        """See `CommitRepository.check_writable`."""
        if self._read_only is not None:
            raise StoreReadOnlyError(self._read_only, self.path)

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """See `ArrivalRepository.on_move`."""
        self._writer.on_move(callback)

    def read(self, function: Callable[[SqliteConnection], T]) -> Coroutine[Any, Any, T]:
        """Run *function* on a trip of its own; see `GroupReader.read`."""
        if self._watching is None:
            self._watch()
        return self._reader.read(function)

    def glance(self, function: Callable[[SqliteConnection], T]) -> Coroutine[Any, Any, T]:
        """Run a quick *function*, sharing the trip with others; see `GroupReader.glance`."""
        if self._watching is None:
            self._watch()
        return self._reader.glance(function)

    def observe(
        self, function: Callable[[SqliteConnection], T], head: BranchName | None = None
    ) -> Coroutine[Any, Any, tuple[T, State | None]]:
        """Do what `glance` does, and return the state that was read, too; see `GroupReader`."""
        if self._watching is None:
            self._watch()
        return self._reader.observe(function)

    @property
    def interval(self) -> float:
        """SQLite notifies nobody; a look at the log's index costs next to nothing."""
        return 0.05

    def listen(self) -> None:
        """Do nothing: SQLite notifies nobody."""

    def check_path(self) -> None:
        """Raise a `StorageError` if others' commits go to another file; for any thread."""
        self._file.check_path()

    @property
    def trips(self) -> int:
        """Trips made so far to the connections' threads: the measure of what a verb costs."""
        return sum(worker.trips for worker in self._workers)

    def _watch(self) -> None:
        """Schedule a check that whatever callers wait for is still on its way."""
        flights = [groups.flight for groups in self._groups]
        self._watching = self._loop.call_later(_LOST_AFTER, _look_at, ref(self), flights)

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _look(self, flights: Sequence[Any]) -> None:
        """Recover *flights* that have not landed although no trip is under way.

        A KeyboardInterrupt is raised wherever the event loop is. Raised just before a callback, it
        loses the callback; the caller would wait for ever, and so would closing.
        """
        self._watch()  # first, as another interrupt may come in the middle of this
        for worker in self._workers:
            worker.recover()
        parts: tuple[Groups[Any] | Worker, ...] = (*self._groups, *self._workers)
        if all(part.is_quiet for part in parts):
            self._stop_watching()
            return
        passed: set[Worker] = set()
        for worker in self._workers:
            if not worker.is_at_work:
                worker.send(_nothing, partial(self._passed, worker, passed, flights))
                worker.trips -= 1  # no verb's

    def _passed(
        self, worker: Worker, passed: set[Worker], flights: Sequence[Any], *_: object
    ) -> None:
        """Note that *worker* has done its earlier trips; after the last one, recover flights."""
        passed.add(worker)
        if len(passed) == len(self._workers):
            for groups, flight in zip(self._groups, flights, strict=True):
                groups.recover(flight)

    async def back_up(self, to: os.PathLike[str], step: Callable[[int, int], None]) -> None:
        """See `Database.back_up`. In memory, where there is one connection, writers wait for it."""
        path = self._file.path
        if not path:
            await self._workers[0].run(lambda raw: back_up(raw, to, step))
            return
        executor = ThreadPoolExecutor(1, "tract-backup")
        try:
            may_be_fixed = self._read_only is not None
            work = executor.submit(
                back_up_file, path, to, step, self.check_path, may_be_fixed=may_be_fixed
            )
            await from_thread(work)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        finally:
            executor.shutdown(wait=False)

    async def aclose(self) -> None:
        """Close every connection; no call may be under way.

        The writer is closed last: the last connection to a database moves the log into it and
        leaves a single file.
        """
        writer, *readers = self._closers
        failures = await _close([*readers, writer])
        self._index.close()
        self._stop_watching()
        if failures:
            raise translate(failures[0], self.path) from failures[0]
        self.closed = True

    def abandon(self) -> None:
        """Release everything without waiting; for when there is no event loop."""
        self._index.disown()
        remaining = deque(self._workers)

        def closed() -> None:
            remaining.pop()
            if not remaining:
                self._index.drop()  # not earlier: a transaction under way holds locks on its file

        for worker in self._workers:
            worker.abandon(closed)


async def _close(closers: Iterable[Callable[[], Awaitable[None]]]) -> list[Exception]:
    """Close connections in turn; an error of one, which is returned, does not keep the others open."""
    failures: list[Exception] = []
    for close in closers:
        try:
            await close()
        except Exception as error:
            failures.append(error)
    return failures


def _look_at(database: ref[Database], flights: Sequence[Any]) -> None:
    """Let a database check its flights; the weak reference keeps no dropped one alive."""
    found = database()
    if found is not None:
        found._look(flights)


def _nothing(connection: sqlite3.Connection) -> None:
    """Do nothing on the connection's thread."""


def _connect(target: Target) -> sqlite3.Connection:
    """Connect; call this on the connection's thread, because it touches the file system."""
    name, is_uri = target.arguments()
    if not target.is_in_memory:
        PROCESS.check_file(target.path, target.path)
    try:
        if PROCESS.forks:
            _try_sqlite()
        connection: sqlite3.Connection = sqlite3.connect(name, uri=is_uri)
    except sqlite3.Error as error:
        raise translate(error, target.path) from error
    return connection


def _try_sqlite() -> None:
    """Take the locks that SQLite shares among all files; hangs if a fork left one locked."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t AS SELECT randomblob(10000)")


def _connect_or_stand_in(target: Target, failures: list[Exception]) -> sqlite3.Connection:
    """Connect, or note the failure: aiosqlite only waits for a thread to end after a success."""
    try:
        return _connect(target)
    except Exception as error:
        failures.append(error)
        return sqlite3.connect(":memory:")


async def open_database(
    target: str | os.PathLike[str],
    config: TractConfig,
    clock: Callable[[], int] = now_microseconds,
    *,
    remembers: bool = True,
) -> Database:
    """Open a SQLite file, creating it and its tables if needed, or a new `:memory:` database.

    A file that cannot be written is opened read-only, and so is one whose URI asks for that. For
    *remembers*, see `Freshness`.

    Raises:
        StorageError: the file cannot be opened, is damaged, or has a newer schema.
        StoreReadOnlyError: opening the file would have to write to it, and cannot.
    """
    named = parse_target(target)
    path = named.path
    opened: list[OwnConnection] = []
    index = WalIndex()

    async def connect() -> Worker:
        failures: list[Exception] = []
        connection = OwnConnection(partial(_connect_or_stand_in, named, failures))
        opened.append(connection)
        try:
            async with asyncio.timeout(_STUCK if PROCESS.forks else None):
                await connection
        except TimeoutError:
            raise ForkedProcessError("another thread was inside SQLite", path) from None
        if failures:
            raise failures[0]
        return Worker(connection, path)

    try:
        workers = [await connect()]
        read_only = await workers[0].run(lambda raw: prepare_first(raw, config, named))
        look = partial(_look, index=index, target=named, read_only=read_only is not None)
        file = await workers[0].run(look)
        opened[0].before_closing = file.release
        for _ in range(0 if named.is_in_memory else config.readers):
            workers.append(await connect())
            opened[-1].before_closing = file.is_superseded
            await workers[-1].run(lambda raw: prepare(raw, config, path))
    except BaseException:
        try:
            await to_the_end(_close([connection.close for connection in opened]))
        finally:
            index.close()
        raise
    closers = [connection.close for connection in opened]
    freshness = Freshness(index, remembers=remembers)
    return Database(path, file, freshness, workers, closers, clock, read_only)


async def open_engine(
    engine: AsyncEngine,
    config: TractConfig,
    clock: Callable[[], int] = now_microseconds,
    *,
    remembers: bool = True,
) -> Database:
    """Borrow connections from *engine*'s pool, and return them as they were when closing.

    For *remembers*, see `Freshness`.

    Raises:
        StorageError: the engine is not of sqlite+aiosqlite, or its pool has no connection left.
    """
    if engine.dialect.name != "sqlite" or engine.dialect.driver != "aiosqlite":
        raise StorageError(
            f"An engine of {engine.dialect.name}+{engine.dialect.driver} cannot be used. "
            "Create it with `create_async_engine('sqlite+aiosqlite:///path')`."
        )
    named = Target(engine.url.database or ":memory:", _given(engine.url))
    path = named.path
    held: list[_Held] = []
    index = WalIndex()
    shared = isinstance(engine.pool, StaticPool) or not SQLiteDialect_aiosqlite._is_url_file_db(
        engine.url
    )
    count = 1 if shared else 1 + config.readers
    read_only: str | None = None
    if PROCESS.inherited:  # before waiting for a connection whose thread is the parent's
        await asyncio.get_running_loop().run_in_executor(None, _check_engine, engine, path)
    try:
        for number in range(count):
            held.append(await _Held.take(engine, path))
            await held[-1].set_up()
            if number == 0:
                read_only = await held[0].worker.run(lambda raw: prepare_first(raw, config, named))
            else:
                await held[-1].worker.run(lambda raw: prepare(raw, config, path))
        look = partial(_look, index=index, target=named, read_only=read_only is not None)
        file = await held[0].worker.run(look)
        held[0].file = file
    except BaseException as error:
        try:
            await to_the_end(_close([item.give_back for item in held]))
        finally:
            index.close()
        if isinstance(error, (SQLAlchemyError, AssertionError)):  # an AssertionPool's
            raise StorageError(f"the engine gave no connection: {error}", path) from error
        raise
    workers = [item.worker for item in held]
    closers = [item.give_back for item in held]
    # without an index: the owner may close the connections, and then it must not be read
    freshness = Freshness(remembers=remembers)
    return Database(path, file, freshness, workers, closers, clock, read_only)


def _given(url: URL) -> dict[str, str]:
    """Return the parameters of an engine's URL; its owner answers for them."""
    return {name: values[-1] for name, values in url.normalized_query.items()}


def _look(
    connection: sqlite3.Connection, *, index: WalIndex, target: Target, read_only: bool
) -> DatabaseFile:
    """Return what the first connection has open, with its index attached to *index*.

    A read-only connection leaves its index behind and may have no log, so neither is checked.
    """
    if read_only:
        return DatabaseFile(connection, index, has_log=False)
    file = DatabaseFile(connection, index, shares_index=not target.has_vfs)
    if not target.has_vfs and target.parameters.get("cache") != "shared":
        index.attach(connection)
    return file


def _check_engine(engine: AsyncEngine, path: str) -> None:
    """Raise a ForkedProcessError if the file of an engine was inherited open."""
    [file], given = SQLiteDialect_aiosqlite().create_connect_args(engine.url)
    PROCESS.check_file(unquote(urlsplit(file).path) if given.get("uri") else file, path)


class _Held:
    """A connection on loan from an engine's pool."""

    def __init__(self, connection: AsyncConnection, worker: Worker) -> None:
        self._connection = connection
        PROCESS.lent(connection)  # no child may clean it up
        self.worker = worker
        self._found: dict[str, int] = {}
        self._factories: tuple[Any, Any] = (None, str)
        self.file: DatabaseFile | None = None
        """The file that this connection writes to, if it is the writer."""

    @classmethod
    async def take(cls, engine: AsyncEngine, path: str) -> _Held:
        connection = await engine.connect()
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        if PROCESS.forks and not driver._thread.is_alive():  # the thread did not survive the fork
            raise ForkedProcessError("the engine was connected", path)
        return cls(connection, Worker(driver, path, borrowed=True))

    async def set_up(self) -> None:
        """Remember the connection's settings, for `give_back`."""
        self._factories = await self.worker.run(lambda raw: _set_factories(raw, (None, str)))
        self._found = await self.worker.run(options_of)

    async def give_back(self) -> None:
        PROCESS.closed(self._connection)
        if self.worker.is_gone:  # a closed connection has no settings to restore
            await self._connection.close()
        elif not self._connection.closed:
            superseded = False
            try:
                if self.file is not None:
                    file = self.file
                    superseded = await self.worker.run(lambda _: file.release())
                await self.worker.run(lambda raw: set_options(raw, self._found))
                await self.worker.run(lambda raw: _set_factories(raw, self._factories))
            finally:
                if superseded:  # never closed; while it is open, the pool's others move no log
                    keep_for_ever(self._connection)
                else:
                    await self._connection.close()


def _set_factories(connection: sqlite3.Connection, factories: tuple[Any, Any]) -> tuple[Any, Any]:
    """Set the row and text factories, and return the previous ones."""
    found = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = factories
    return found


def _run(statement: Statement, transaction: WriteTransaction) -> None:
    transaction.connection.run(statement)
