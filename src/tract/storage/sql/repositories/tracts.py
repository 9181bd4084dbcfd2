"""Rows of tracts over SQL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import (
    Listing,
    StoreCounts,
    StoreFacts,
    StoreRepository,
    TractRepository,
    TractRow,
)
from tract.storage.sql import tracts
from tract.storage.sql.database import Database
from tract.storage.sql.port import Connection
from tract.storage.sql.statements.counts import COUNTS, EXACT_COUNTS
from tract.storage.sql.writing.describing import describe

__all__ = [
    "SqlStoreRepository",
    "SqlTractRepository",
]


class SqlTractRepository(TractRepository):
    """Rows of tracts in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ids(self) -> list[str]:
        return await self._database.read(tracts.ids)

    async def get(self, tract_id: str) -> TractRow | None:
        return await self._database.glance(partial(tracts.get, tract_id=tract_id))

    async def listed(self, listing: Listing) -> list[TractRow]:
        language = self._database.queries.language
        return await self._database.read(partial(tracts.listed, language=language, listing=listing))

    async def describe(
        self,
        tract_id: str,
        title: str | UnsetType | None = UNSET,
        metadata_json: str | UnsetType | None = UNSET,
        check: Callable[[str | None], None] | None = None,
    ) -> None:
        await self._database.write(
            lambda transaction: describe(transaction, tract_id, title, metadata_json, check),
            [tract_id],
            traced=False,
        )


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
