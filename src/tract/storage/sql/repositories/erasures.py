"""Erasing over SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tract.storage.repositories import (
    Dropped,
    Erased,
    ErasureRepository,
    Freed,
    Marker,
    Page,
    PrunePlan,
    PruneRepository,
    Residue,
    Taken,
    TractTimes,
)
from tract.storage.sql.ancestry.arrivals import times_of
from tract.storage.sql.database import Database
from tract.storage.sql.writing import dropping, erasing, pruning

__all__ = [
    "SqlErasureRepository",
    "SqlPruneRepository",
]


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
        if not found.blobs and not found.tracts:
            return found
        free = partial(dropping.collect, after=after)
        return await self._database.write(free, [], exclusive=True)


class SqlPruneRepository(PruneRepository):
    """Shortening histories in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def plan(
        self,
        tract_id: str,
        *,
        before: str | int | None,
        keep: int | None,
        former: PrunePlan | None = None,
    ) -> PrunePlan:
        plan = partial(pruning.plan, before=before, keep=keep, former=former)
        return await self._database.read(partial(plan, tract_id=tract_id))

    async def drop_runs(self, tract_id: str, plan: PrunePlan) -> int:
        drop = partial(pruning.drop_runs, tract_id=tract_id, plan=plan)
        return await self._database.write(drop, [tract_id], pruning.AT_ONCE)

    async def unreached(self, tract_id: str, plan: PrunePlan, at: int) -> Page:
        find = partial(pruning.unreached, tract_id=tract_id, plan=plan, at=at)
        return await self._database.read(find)

    async def drop(self, tract_id: str, plan: PrunePlan, commits: Sequence[str]) -> Dropped | None:
        drop = partial(
            pruning.drop,
            search=self._database.search,
            tract_id=tract_id,
            plan=plan,
            commits=commits,
        )
        return await self._database.write(drop, [tract_id], pruning.AT_ONCE, exclusive=True)

    async def unneeded(self, tract_id: str, plan: PrunePlan, at: int) -> Page:
        find = partial(pruning.unneeded, tract_id=tract_id, plan=plan, at=at)
        return await self._database.read(find)

    async def take(
        self, tract_id: str, plan: PrunePlan, markers: Mapping[str, Marker]
    ) -> Taken | None:
        take = partial(
            pruning.take,
            search=self._database.search,
            tract_id=tract_id,
            plan=plan,
            markers=markers,
        )
        return await self._database.write(take, [tract_id], pruning.AT_ONCE, exclusive=True)

    async def finish(self, tract_id: str) -> int:
        finish = partial(pruning.finish, tract_id=tract_id)
        return await self._database.write(finish, [tract_id])
