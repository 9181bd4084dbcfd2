"""Copying over SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tract.protocols import UnsetType
from tract.storage.repositories import (
    Bundle,
    CopyRepository,
    CopyTargetRepository,
    Outline,
    Portion,
    Rows,
)
from tract.storage.sql.copying import incoming, outgoing, within
from tract.storage.sql.copying.statements import ATTACHED, REPORTED
from tract.storage.sql.database import Database

__all__ = ["SqlCopyRepository", "SqlCopyTargetRepository"]

_ALONE = 512  # commits, more than a transaction has that others share


class SqlCopyRepository(CopyRepository):
    """Tracts as rows, out of an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tract_ids(self) -> list[str]:
        return await self._database.read(outgoing.tract_ids)

    async def outline(self, tract_id: str) -> Outline:
        return await self._database.read(partial(outgoing.outline, tract_id=tract_id))

    async def bundle(self, tract_id: str, at: str | None) -> Bundle:
        return await self._database.read(partial(outgoing.bundle, tract_id=tract_id, at=at))

    async def line(self, tract_id: str, after: int, through: int) -> list[tuple[int, str]]:
        read = partial(outgoing.line, tract_id=tract_id, after=after, through=through)
        return await self._database.read(read)

    async def commits(self, tract_id: str, after: int, through: int) -> Portion | None:
        read = partial(outgoing.commits, tract_id=tract_id, after=after, through=through)
        return await self._database.read(read)

    async def attachments(self, tract_id: str, after: bytes) -> list[Mapping[str, Any]]:
        return await self._database.read(partial(outgoing.page, tract_id=tract_id, after=after))

    async def usages(self, tract_id: str, after: bytes, through: int) -> list[Mapping[str, Any]]:
        read = partial(outgoing.usages, tract_id=tract_id, after=after, through=through)
        return await self._database.read(read)

    async def parts(self, tract_id: str, stream_id: str) -> list[Mapping[str, Any]]:
        read = partial(outgoing.parts, tract_id=tract_id, stream_id=stream_id)
        return await self._database.read(read)


class SqlCopyTargetRepository(CopyTargetRepository):
    """Tracts as rows, into an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attached(self, tract_id: str, hashes: Sequence[bytes]) -> dict[bytes, str | None]:
        return dict(
            await self._database.read(lambda on: on.find(ATTACHED, hashes, tract_id=tract_id))
        )

    async def reported(self, tract_id: str, hashes: Sequence[bytes]) -> dict[bytes, int]:
        return dict(
            await self._database.read(lambda on: on.find(REPORTED, hashes, tract_id=tract_id))
        )

    async def add(self, tract_id: str, rows: Rows, last_time: int) -> None:
        write = partial(incoming.add, tract_id=tract_id, rows=rows, last_time=last_time)
        await self._database.write(write, [tract_id], max(1, len(rows.get("commits", ()))))

    async def copy_within(self, source: str, target: str, at: str | UnsetType | None) -> None:
        write = partial(within.copy, source=source, target=target, at=at)
        await self._database.write(write, [source, target], _ALONE)

    async def settle(self, tract_id: str, outline: Outline) -> None:
        write = partial(incoming.settle, tract_id=tract_id, outline=outline)
        await self._database.write(write, [tract_id])
