"""What a call costs the database, and the parts of an open store: the one look behind the API."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from support.rows import TABLES
from tract import AsyncTract, TractStore
from tract.runtime import Runtime
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
        """Trips to the database's threads so far; the difference is what a verb costs."""
        return self.parts.database.trips

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[list[str]]:
        """Record the statements that all connections run meanwhile, as SQLite traces them."""
        workers = workers_of(self.parts.database)
        ran: list[str] = []
        for worker in workers:
            await worker.run(lambda raw: raw.set_trace_callback(ran.append))
        try:
            yield ran
        finally:
            for worker in workers:
                await worker.run(lambda raw: raw.set_trace_callback(None))

    async def row_counts(self) -> dict[str, int]:
        """Return the number of rows by table, as `support.rows` does for a file."""

        def count(raw: sqlite3.Connection, table: str) -> int:
            [found] = raw.execute(f"SELECT count(*) FROM {table}").fetchone()
            return int(found)

        database = self.parts.database
        assert isinstance(database, SqliteDatabase)
        return await database.read(lambda to: {table: count(to.raw, table) for table in TABLES})


def probe(opened: TractStore | AsyncTract) -> Probe:
    """Return a probe of a store, given directly or by a handle on one of its branches."""
    return Probe(opened._runtime)


def workers_of(database: Database) -> Sequence[Worker]:
    """Return what runs functions on the connections to a file; the first of them writes."""
    assert isinstance(database, SqliteDatabase)
    return database._workers
