"""Attachments over SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tract.storage.repositories import Attached, AttachmentRepository
from tract.storage.sql import attachments
from tract.storage.sql.database import Database

__all__ = ["SqlAttachmentRepository"]


class SqlAttachmentRepository(AttachmentRepository):
    """Attachments in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tract_id: str, attached: Attached) -> None:
        await self._database.write(
            lambda transaction: transaction.attach(tract_id, attached), [tract_id], traced=False
        )

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
