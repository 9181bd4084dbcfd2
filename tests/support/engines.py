"""Every engine that keeps the contract of storage: the only module that knows how to open each."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from support.repositories import EngineUnderTest, Repositories
from tract import TractConfig
from tract.storage.opening import open_database, open_engine
from tract.storage.repositories import BranchName
from tract.storage.sql.repositories import repositories_over
from tract.storage.sqlite.database import Database
from tract.storage.sqlite.database import open_database as open_sqlite
from tract.storage.sqlite.database import open_engine as open_sqlite_engine

__all__ = ["ENGINES", "SHARED"]


class SqliteDamage:
    """Damages a database through the connection that writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lose_blob(self, content_hash: str) -> None:
        await self._do("DELETE FROM blobs WHERE content_hash = ?", bytes.fromhex(content_hash))

    async def lose_commit(self, commit_hash: str) -> None:
        await self._do("DELETE FROM commits WHERE commit_hash = ?", bytes.fromhex(commit_hash))

    async def misplace(self, branch: BranchName, other: BranchName) -> None:
        segment = "SELECT segment FROM refs WHERE tract_id = ? AND name = ?"
        await self._do(
            f"UPDATE refs SET segment = ({segment}) WHERE tract_id = ? AND name = ?",
            *(other.tract_id, f"refs/heads/{other.branch}"),
            *(branch.tract_id, f"refs/heads/{branch.branch}"),
        )

    async def misfile(self, commit_hash: str, other: str) -> None:
        segment = "SELECT segment FROM commits WHERE commit_hash = ?"
        await self._do(
            f"UPDATE commits SET segment = ({segment}) WHERE commit_hash = ?",
            bytes.fromhex(other),
            bytes.fromhex(commit_hash),
        )

    async def _do(self, statement: str, *parameters: object) -> None:
        def harm(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute(statement, parameters)
            connection.commit()
            connection.execute("PRAGMA foreign_keys = ON")

        await self._database._workers[0].run(harm)


def over(database: Database) -> Repositories:
    return Repositories(*repositories_over(database), SqliteDamage(database))


class SqliteFile:
    """A SQLite file, whose openings may answer from what they know without asking it."""

    place = "db_path"
    is_shared = True

    def __init__(self, *, remembers: bool = True) -> None:
        self.name = "file" if remembers else "file, nothing remembered"
        self._remembers = remembers

    @asynccontextmanager
    async def opened(
        self, place: str, clock: Callable[[], int], *, read_only: bool = False
    ) -> AsyncIterator[Repositories]:
        target = f"file:{place}?mode=ro" if read_only else place
        database = await open_sqlite(target, TractConfig(), clock, remembers=self._remembers)
        try:
            yield over(database)
        finally:
            await database.aclose()


class SqliteMemory:
    """A SQLite database in memory."""

    name = "memory"
    place = "db_path"
    is_shared = False

    @asynccontextmanager
    async def opened(
        self, place: str, clock: Callable[[], int], *, read_only: bool = False
    ) -> AsyncIterator[Repositories]:
        database = await open_sqlite(":memory:", TractConfig(), clock)
        try:
            yield over(database)
        finally:
            await database.aclose()


class SqliteFromEngine:
    """A SQLAlchemy engine of the application's, in memory."""

    name = "from_engine"
    place = "db_path"
    is_shared = False

    @asynccontextmanager
    async def opened(
        self, place: str, clock: Callable[[], int], *, read_only: bool = False
    ) -> AsyncIterator[Repositories]:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        database = await open_sqlite_engine(engine, TractConfig(), clock)
        try:
            yield over(database)
        finally:
            await database.aclose()
            await engine.dispose()


class PostgresDamage:
    """Damages a database on a server, over a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def lose_blob(self, content_hash: str) -> None:
        await self._do("DELETE FROM blobs WHERE content_hash = $1", bytes.fromhex(content_hash))

    async def lose_commit(self, commit_hash: str) -> None:
        await self._do("DELETE FROM commits WHERE commit_hash = $1", bytes.fromhex(commit_hash))

    async def misplace(self, branch: BranchName, other: BranchName) -> None:
        segment = "SELECT segment FROM refs WHERE tract_id = $1 AND name = $2"
        await self._do(
            f"UPDATE refs SET segment = ({segment}) WHERE tract_id = $3 AND name = $4",
            *(other.tract_id, f"refs/heads/{other.branch}"),
            *(branch.tract_id, f"refs/heads/{branch.branch}"),
        )

    async def misfile(self, commit_hash: str, other: str) -> None:
        segment = "SELECT segment FROM commits WHERE commit_hash = $1"
        await self._do(
            f"UPDATE commits SET segment = ({segment}) WHERE commit_hash = $2",
            bytes.fromhex(other),
            bytes.fromhex(commit_hash),
        )

    async def _do(self, statement: str, *parameters: object) -> None:
        raw = await asyncpg.connect(self._url)
        try:
            await raw.execute(statement, *parameters)
        finally:
            await raw.close()


class PostgresServer:
    """A database on a PostgreSQL server."""

    name = "postgres"
    place = "postgres_url"
    is_shared = True

    @asynccontextmanager
    async def opened(
        self, place: str, clock: Callable[[], int], *, read_only: bool = False
    ) -> AsyncIterator[Repositories]:
        target = f"{place}?mode=ro" if read_only else place
        database = await open_database(target, TractConfig(), clock)
        try:
            yield Repositories(*repositories_over(database), PostgresDamage(place))
        finally:
            await database.aclose()


class PostgresFromEngine:
    """A SQLAlchemy engine of the application's, over a PostgreSQL server."""

    name = "postgres, from_engine"
    place = "postgres_url"
    is_shared = False

    @asynccontextmanager
    async def opened(
        self, place: str, clock: Callable[[], int], *, read_only: bool = False
    ) -> AsyncIterator[Repositories]:
        engine = create_async_engine(place.replace("postgresql", "postgresql+asyncpg", 1))
        database = await open_engine(engine, TractConfig(), clock)
        try:
            yield Repositories(*repositories_over(database), PostgresDamage(place))
        finally:
            await database.aclose()
            await engine.dispose()


class Split:
    """Calls some methods on one repository, and all others on that of another opening."""

    def __init__(self, here: object, there: object, of_here: Collection[str]) -> None:
        self._here, self._there, self._of_here = here, there, of_here

    def __getattr__(self, name: str) -> Any:
        return getattr(self._here if name in self._of_here else self._there, name)


class ReadElsewhere:
    """A shared engine whose database is written by one opening and read by another.

    So nothing that is read can come from what the writing opening remembers.
    """

    is_shared = True
    _WRITES = frozenset(
        {
            *("write", "merge", "check_writable", "create_config_index", "fork", "move", "delete"),
            *("tag", "untag", "record", "record_at", "save", "drop", "on_move", "add", "settle"),
            *("copy_within", "erase"),
        }
    )

    def __init__(self, inner: EngineUnderTest) -> None:
        self.name = f"{inner.name}, read elsewhere"
        self.place = inner.place
        self._inner = inner

    @asynccontextmanager
    async def opened(
        self, place: str, clock: Callable[[], int], *, read_only: bool = False
    ) -> AsyncIterator[Repositories]:
        async with (
            self._inner.opened(place, clock, read_only=read_only) as here,
            self._inner.opened(place, clock, read_only=read_only) as there,
        ):
            pairs = zip(here, there, strict=True)
            split: list[Any] = [Split(one, other, self._WRITES) for one, other in pairs]
            yield Repositories(*split)._replace(damage=here.damage)


FILE = SqliteFile()
POSTGRES = PostgresServer()
FORGETFUL = SqliteFile(remembers=False)
ENGINES: list[EngineUnderTest] = [
    *(FILE, FORGETFUL, SqliteMemory(), SqliteFromEngine(), ReadElsewhere(FILE)),
    *(POSTGRES, PostgresFromEngine()),
]
SHARED = [engine for engine in ENGINES if engine.is_shared]
