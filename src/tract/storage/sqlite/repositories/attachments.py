"""Attachments over SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tract.storage.repositories import Attached, AttachmentRepository
from tract.storage.sql import attachments
from tract.storage.sqlite.database import Database

__all__ = ["SqliteAttachmentRepository"]


class SqliteAttachmentRepository(AttachmentRepository):
    """Attachments in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tract_id: str, attached: Attached) -> None:
        await self._database.write(lambda transaction: transaction.attach(tract_id, attached))

    async def load(self, tract_id: str, hashes: Sequence[str]) -> dict[str, bytes]:
        if not hashes:
            return {}
        read = partial(attachments.load, tract_id=tract_id, hashes=hashes)
        return await self._database.read(read)

    async def uses(self, content_hashes: Sequence[str]) -> dict[str, frozenset[str]]:
        if not content_hashes:
            return {}
        read = partial(attachments.uses, content_hashes=content_hashes)
        return await self._database.read(read)
