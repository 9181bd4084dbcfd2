"""Erasing over SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tract.storage.repositories import (
    Erased,
    ErasureRepository,
    Freed,
    Marker,
    Residue,
    TractTimes,
)
from tract.storage.sql.ancestry.arrivals import times_of
from tract.storage.sql.database import Database
from tract.storage.sql.writing import dropping, erasing

__all__ = ["SqlErasureRepository"]


class SqlErasureRepository(ErasureRepository):
    """Erasing in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(
        self, tract_id: str, named: Sequence[str], markers: Mapping[str, Marker]
    ) -> Erased:
        search = self._database.search
        job = partial(erasing.erase, search=search, tract_id=tract_id, named=named, markers=markers)
        return await self._database.write(job, [tract_id], max(1, len(named)), exclusive=True)

    async def times(self, tract_ids: Sequence[str]) -> Mapping[str, TractTimes]:
        asked, freshness = tuple(tract_ids), self._database.freshness
        known = freshness.times(asked)
        if known is not None:
            return known
        found, state = await self._database.observe(partial(times_of, tract_ids=asked))
        freshness.saw_times(asked, found, state)
        return found

    async def scrub(self) -> Residue | None:
        return await self._database.scrub()

    async def vacuum(self) -> Residue | None:
        return await self._database.vacuum()

    async def drop_names(self, tract_id: str) -> int:
        return await self._database.write(
            partial(dropping.drop_names, search=self._database.search, tract_id=tract_id),
            [tract_id],
            exclusive=True,
        )

    async def drop_commits(self, tract_id: str, through: int) -> Freed:
        drop = partial(
            dropping.drop_commits, search=self._database.search, tract_id=tract_id, through=through
        )
        return await self._database.write(drop, [tract_id], dropping.AT_ONCE, exclusive=True)

    async def collect(self, after: bytes) -> Freed:
        found = await self._database.read(partial(dropping.unused, after=after))
        if not found.blobs:
            return found
        free = partial(dropping.collect, after=after)
        return await self._database.write(free, [], exclusive=True)
