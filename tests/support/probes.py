"""What a call costs the database, and the parts of an open store: the one look behind the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

from support.rows import TABLES
from tract import AsyncTract, TractStore
from tract.runtime import Runtime
from tract.storage.postgres.connections.links import Raw
from tract.storage.postgres.database import PostgresDatabase
from tract.storage.repositories import RefRepository
from tract.storage.sql.database import Database
from tract.storage.sql.repositories import repositories_over
from tract.storage.sqlite.database import Database as SqliteDatabase
from tract.storage.sqlite.thread.worker import Worker

__all__ = ["Probe", "probe", "workers_of"]


class Probe:
    """Looks into an open store."""

    def __init__(self, parts: Runtime) -> None:
        self.parts = parts
        """For tests that combine parts in their own way, such as a reader over slow commits."""

    @property
    def refs(self) -> RefRepository:
        """The store's refs, for moves that no verb makes."""
        return repositories_over(self.parts.database).refs

    @property
    def trips(self) -> int:
        """Trips to the database's threads, or to its server, so far; the difference is a cost."""
        return self.parts.database.trips

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[list[str]]:
        """Record the statements that all connections run meanwhile, as their driver tells them."""
        ran: list[str] = []
        database = self.parts.database
        if isinstance(database, PostgresDatabase):
            with ExitStack() as listening:
                for raw in _connections_of(database):
                    listening.enter_context(raw.query_logger(lambda sent: ran.append(sent.query)))
                yield ran
            return
        workers = workers_of(database)
        for worker in workers:
            await worker.run(lambda raw: raw.set_trace_callback(ran.append))
        try:
            yield ran
        finally:
            for worker in workers:
                await worker.run(lambda raw: raw.set_trace_callback(None))

    async def row_counts(self) -> dict[str, int]:
        """Return the number of rows by table, as `support.rows` does for a file."""
        return {table: await self._count(f"SELECT count(*) FROM {table}") for table in TABLES}

    async def _count(self, query: str) -> int:
        database = self.parts.database
        if isinstance(database, PostgresDatabase):
            async with database._links.lent() as raw:
                return int(await raw.fetchval(query))
        assert isinstance(database, SqliteDatabase)
        [found] = await database.read(lambda to: to.raw.execute(query).fetchone())
        return int(found)


def _connections_of(database: PostgresDatabase) -> list[Raw]:
    """Return a server's connections: the one that writes, and those for reading that are idle."""
    writing = database.writer._raw
    return [raw for raw, _ in database._links._idle] + ([] if writing is None else [writing])


def probe(opened: TractStore | AsyncTract) -> Probe:
    """Return a probe of a store, given directly or by a handle on one of its branches."""
    return Probe(opened._runtime)


def workers_of(database: Database) -> Sequence[Worker]:
    """Return what runs functions on the connections to a file; the first of them writes."""
    assert isinstance(database, SqliteDatabase)
    return database._workers
