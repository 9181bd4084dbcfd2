"""An open PostgreSQL store: one connection that writes, some that read, one that brings news."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from tract.exceptions import StorageError, StoreReadOnlyError
from tract.models.config import TractConfig
from tract.storage.postgres.clock import ServerClock
from tract.storage.postgres.connections.connection import PostgresConnection, Trips, running
from tract.storage.postgres.connections.links import Links, Pool, Raw, Server, until
from tract.storage.postgres.connections.sharing import Heads, InformedConnection, NeedsConnection
from tract.storage.postgres.errors import DRIVER_ERRORS, LOSSES, explained, is_passing
from tract.storage.postgres.json import PostgresConfigLanguage
from tract.storage.postgres.migrations import prepare
from tract.storage.postgres.news import News
from tract.storage.postgres.search import PostgresSearch
from tract.storage.postgres.targets import parse_target
from tract.storage.postgres.upkeep import facts, vacuum
from tract.storage.postgres.writer import MAX_GROUP, Job, Writer
from tract.storage.repositories import BranchName, Residue, StoreFacts
from tract.storage.sql.configs.querying import ConfigQueries
from tract.storage.sql.freshness import Freshness, State
from tract.storage.sql.grouping import Groups
from tract.storage.sql.port import Connection
from tract.storage.sql.searching import SearchIndex
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["PostgresDatabase", "open_database", "open_engine"]

T = TypeVar("T")


class PostgresDatabase:
    """A `Database` over a server."""

    def __init__(
        self,
        links: Links,
        clock: Callable[[], int],
        news: News | None,
        read_only: str | None = None,
        *,
        remembers: bool = True,
    ) -> None:
        self.path: str = links.path
        self.closed: bool = False
        self.clock: Callable[[], int] = clock
        self.freshness: Freshness = Freshness(remembers=remembers)
        self.queries: ConfigQueries = ConfigQueries(PostgresConfigLanguage())
        self.search: SearchIndex = PostgresSearch()
        self._links = links
        self._news = news
        self._read_only = read_only
        self._trips = Trips()
        self._heads = Heads(links, self._trips)
        self.writer: Writer = Writer(links, clock, self.freshness, self._trips)

    @property
    def trips(self) -> int:
        """Round trips to the server so far: the measure of what a verb costs."""
        return self._trips.count

    @property
    def writes(self) -> Groups[Job]:
        """The groups in which writes leave."""
        return self.writer.groups

    async def write(
        self,
        job: Callable[[WriteTransaction], T],
        tracts: Sequence[str],
        size: int = 1,
        *,
        exclusive: bool = False,
        traced: bool = True,
    ) -> T:
        """Run *job* in a transaction that it may share; see `Database.write`."""
        self.check_writable()
        if exclusive or not tracts:  # it shares its transaction with nobody
            size = MAX_GROUP
        result: T = await self.writer.groups.run(Job(job, tracts, exclusive, traced), size)
        return result

    async def scrub(self) -> Residue | None:
        """Do nothing: former versions of rows stay until the server's `VACUUM`."""
        return "vacuum"

    async def vacuum(self) -> Residue | None:
        """See `upkeep.vacuum`."""
        return await self._asked(vacuum)

    async def facts(self) -> StoreFacts:
        """See `StoreRepository.facts`."""
        return await self._asked(partial(facts, read_only=self._read_only is not None))

    async def _asked(self, ask: Callable[[Raw], Awaitable[T]]) -> T:
        """Ask the server something outside of a transaction."""
        try:
            async with self._links.lent() as raw:
                return await ask(raw)
        except DRIVER_ERRORS as error:
            raise explained(error, self.path) from error

    async def read(self, function: Callable[[Connection], T], head: BranchName | None = None) -> T:
        """Run *function*, which must not write; if the connection proves lost, on another.

        A function that needs nothing but *head* runs without a greenlet.
        """
        deadline = time.monotonic() + self._links.patience
        while True:
            connection: PostgresConnection | None = None
            try:
                rows = None
                if head is not None:
                    rows = await self._heads.find(head)
                    with suppress(NeedsConnection):
                        return function(InformedConnection(None, self._trips, head, rows))
                async with self._links.lent() as raw:
                    if head is None or rows is None:
                        connection = PostgresConnection(raw, self._trips)
                    else:
                        connection = InformedConnection(raw, self._trips, head, rows)
                    return await running(function, connection)
            except LOSSES as error:
                problem = explained(error, self.path)
                has_read = connection is not None and connection.has_read
                if has_read or not is_passing(problem):  # *function* may remember what it read
                    raise problem from problem.__cause__
                await until(deadline, problem)

    def glance(self, function: Callable[[Connection], T]) -> Coroutine[Any, Any, T]:
        """Do what `read` does; trips to a server are not shared."""
        return self.read(function)

    async def observe(
        self, function: Callable[[Connection], T], head: BranchName | None = None
    ) -> tuple[T, State | None]:
        """Do what `read` does; the state of a server is not known."""
        return await self.read(function, head), None

    @property
    def interval(self) -> float:
        """The server notifies, but notifications get lost with a connection, and with a pooler."""
        return 1.0 if self._news is not None else 0.05

    def listen(self) -> None:
        """Learn of others' moves for a while; see `Database.listen`."""
        if self._news is not None:
            self._news.listen()

    def check_path(self) -> None:
        """Do nothing: whoever connects reaches the same database."""

    def check_writable(self) -> None:
        """See `CommitRepository.check_writable`."""
        if self._read_only is not None:
            raise StoreReadOnlyError(self._read_only, self.path)

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """See `ArrivalRepository.on_move`."""
        news = self._news
        if news is None:
            self.writer.on_move(callback)
            return
        news.on_move(callback)

        def moved(branches: Iterable[BranchName]) -> None:
            callback(branches)
            news.tell(branches)

        self.writer.on_move(moved)

    async def back_up(self, to: PathLike[str], step: Callable[[int, int], None]) -> None:
        """Say how a server is backed up."""
        raise StorageError(
            "a store on a server is backed up by the server's own programs: use `pg_dump` or "
            "`pg_basebackup`. `export()` writes its tracts to a file.",
            self.path,
        )

    async def aclose(self) -> None:
        """Close every connection; no call may be under way."""
        if self._news is not None:
            await self._news.aclose()
        await self._heads.aclose()
        await self._links.aclose()
        await self.writer.aclose()
        self.closed = True

    def abandon(self) -> None:
        """Close the connections without waiting."""
        if self._news is not None:
            self._news.abandon()
        self._links.abandon()
        self.writer.abandon()


async def open_database(
    target: str,
    config: TractConfig,
    clock: Callable[[], int] | None = None,
    *,
    remembers: bool = True,
) -> PostgresDatabase:
    """Connect to a server, creating the tables if needed.

    Times are the server's, unless *clock* returns microseconds since 1970-01-01 UTC.

    Raises:
        StorageError: the server cannot be reached, refuses, or holds a newer schema.
    """
    named = parse_target(target)
    links = Links(Server(named, config), config)
    opening = _Opening(links, clock, remembers=remembers)
    return await opening.database(
        named.schema, read_only=named.read_only, notifies=not named.pooled
    )


async def open_engine(
    engine: AsyncEngine,
    config: TractConfig,
    clock: Callable[[], int] | None = None,
    *,
    remembers: bool = True,
) -> PostgresDatabase:
    """Borrow connections from an engine's pool, and return them as they were when closing.

    Raises:
        StorageError: the pool has no connection left, or the server refuses.
    """
    links = Links(Pool(engine, config), config)
    opened = await _Opening(links, clock, remembers=remembers).database(None)
    try:
        async with links.lent():
            return opened  # it writes and reads over two connections
    except BaseException:
        await opened.aclose()
        raise


_STARTING = "57P03"


class _Opening:
    """What is needed to open a database."""

    def __init__(self, links: Links, clock: Callable[[], int] | None, *, remembers: bool) -> None:
        self._links = links
        self._clock = clock
        self._remembers = remembers

    async def database(
        self, schema: str | None, *, read_only: bool = False, notifies: bool = True
    ) -> PostgresDatabase:
        links = self._links
        raw = await self._connected()
        try:
            if schema is None:
                schema = str(await raw.fetchval("SELECT current_schema()"))
            problem = await prepare(raw, schema, links.path, read_only=read_only)
            clock = self._clock
            if clock is None:
                clock = ServerClock()
                await clock.set(raw)
        except BaseException as error:
            await links.close(raw)
            if isinstance(error, DRIVER_ERRORS):
                raise explained(error, links.path) from error
            raise
        news = News(links, schema) if notifies else None
        opened = PostgresDatabase(links, clock, news, problem, remembers=self._remembers)
        opened.writer.adopt(raw)
        return opened

    async def _connected(self) -> Raw:
        """Connect, waiting for a server that is starting. One that is not there is not waited for."""
        deadline = time.monotonic() + self._links.patience
        while True:
            try:
                return await self._links.connect()
            except StorageError as error:
                if getattr(error.__cause__, "sqlstate", None) != _STARTING:
                    raise
                await until(deadline, error)
