"""Commits by key, over SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tract.storage.repositories import CommitRow, KeyRepository
from tract.storage.sql import keys as stored
from tract.storage.sql.database import Database

__all__ = ["SqlKeyRepository"]

_FEW = 8


class SqlKeyRepository(KeyRepository):
    """Keys in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tract_id: str, keys: Sequence[str]) -> dict[str, CommitRow]:
        if not keys:
            return {}
        look = partial(stored.find, tract_id=tract_id, keys=keys)
        read = self._database.glance if len(keys) <= _FEW else self._database.read
        return await read(look)

    async def listed(
        self,
        tract_id: str,
        prefix: str = "",
        *,
        newest: bool = False,
        before: str | None = None,
        limit: int | None = None,
    ) -> list[CommitRow]:
        look = partial(
            stored.listed,
            tract_id=tract_id,
            prefix=prefix,
            newest=newest,
            before=before,
            limit=limit,
        )
        return await self._database.read(look)
