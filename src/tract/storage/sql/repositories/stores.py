"""The database as a whole, over SQL."""

from __future__ import annotations

from functools import partial

from tract.storage.repositories import StoreCounts, StoreFacts, StoreRepository
from tract.storage.sql.database import Database
from tract.storage.sql.port import Connection
from tract.storage.sql.statements.counts import COUNTS, EXACT_COUNTS

__all__ = ["SqlStoreRepository"]


class SqlStoreRepository(StoreRepository):
    """Describes an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def facts(self) -> StoreFacts:
        return await self._database.facts()

    async def counts(self, *, exact: bool = False) -> StoreCounts:
        return await self._database.read(partial(_counts, exact=exact))


def _counts(connection: Connection, *, exact: bool) -> StoreCounts:
    [row] = connection.all(EXACT_COUNTS if exact else COUNTS)
    return StoreCounts(*row)
