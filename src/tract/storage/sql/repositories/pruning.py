"""Shortening histories over SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tract.storage.repositories import Dropped, Marker, Page, PrunePlan, PruneRepository, Taken
from tract.storage.sql.database import Database
from tract.storage.sql.writing import pruning

__all__ = ["SqlPruneRepository"]


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
