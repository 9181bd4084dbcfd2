"""Open streams over SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tract.storage.repositories import (
    SpooledStream,
    SpoolPart,
    SpoolRepository,
    StreamName,
)
from tract.storage.sql import spooling
from tract.storage.sql.transaction import WriteTransaction
from tract.storage.sqlite.database import Database

__all__ = ["SqliteSpoolRepository"]


class SqliteSpoolRepository(SpoolRepository):
    """Open streams in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName] = ()
    ) -> list[StreamName]:
        def job(transaction: WriteTransaction) -> list[StreamName]:
            return transaction.spools.spool(owner, parts, touched)

        return await self._database.write(job, len(parts) + len(touched))

    async def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        await self._database.write(
            lambda transaction: transaction.spools.release(owner, streams), len(streams)
        )

    async def spooled(self) -> list[SpooledStream]:
        return await self._database.read(spooling.spooled)

    async def fragments(self, stream: StreamName) -> list[Any]:
        return await self._database.read(partial(spooling.fragments, stream=stream))

    async def drop(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        await self._database.write(lambda transaction: transaction.spools.unspool(stream, claim))
