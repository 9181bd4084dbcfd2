"""Erasing over SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tract.storage.repositories import Erased, ErasureRepository, Marker, Residue
from tract.storage.sql.database import Database
from tract.storage.sql.writing import erasing

__all__ = ["SqlErasureRepository"]


class SqlErasureRepository(ErasureRepository):
    """Erasing in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(
        self, tract_id: str, named: Sequence[str], markers: Mapping[str, Marker]
    ) -> Erased:
        job = partial(erasing.erase, tract_id=tract_id, named=named, markers=markers)
        return await self._database.write(job, [tract_id], max(1, len(named)), exclusive=True)

    async def scrub(self) -> Residue | None:
        return await self._database.scrub()
