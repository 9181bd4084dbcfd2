"""Open streams over SQL."""

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
from tract.storage.sql.database import Database
from tract.storage.sql.writing import spooling
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["SqlSpoolRepository"]


class SqlSpoolRepository(SpoolRepository):
    """Open streams in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName] = ()
    ) -> list[StreamName]:
        def job(transaction: WriteTransaction) -> list[StreamName]:
            return transaction.spools.spool(owner, parts, touched)

        named = [*(part.stream for part in parts), *touched]
        return await self._database.write(job, _tracts_of(named), len(named), traced=False)

    async def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        await self._database.write(
            lambda transaction: transaction.spools.release(owner, streams),
            _tracts_of(streams),
            len(streams),
            traced=False,
        )

    async def spooled(self) -> list[SpooledStream]:
        return await self._database.read(spooling.spooled)

    async def fragments(self, stream: StreamName) -> list[Any]:
        return await self._database.read(partial(spooling.fragments, stream=stream))

    async def drop(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        await self._database.write(
            lambda transaction: transaction.spools.unspool(stream, claim),
            _tracts_of([stream]),
            traced=False,
        )


def _tracts_of(streams: Sequence[StreamName]) -> list[str]:
    return [*{stream.branch.tract_id for stream in streams}]
