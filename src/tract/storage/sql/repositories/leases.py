"""Leases over SQL: rows of `_tract_meta`, which no copy of a tract takes along."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256

from tract.storage.repositories import BranchName, LeaseRepository
from tract.storage.sql.database import Database
from tract.storage.sql.port import Connection
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["SqlLeaseRepository"]


class SqlLeaseRepository(LeaseRepository):
    """Leases in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(
        self, branch: BranchName, owner: str, has_lapsed: Callable[[str, int], bool]
    ) -> str:
        job = partial(_take, self._database.clock, _key(branch), owner, has_lapsed)
        return await self._database.write(job, [branch.tract_id], traced=False)

    async def release(self, branch: BranchName, owner: str) -> None:
        job = partial(_release, _key(branch), owner)
        await self._database.write(job, [branch.tract_id], traced=False)


def _take(
    clock: Callable[[], int],
    key: str,
    owner: str,
    has_lapsed: Callable[[str, int], bool],
    transaction: WriteTransaction,
) -> str:
    now, held = clock(), _held(transaction.connection, key)
    if held is not None:
        holder, renewed = held
        if holder != owner and not has_lapsed(holder, now - renewed):
            return holder
    transaction.connection.run(sql.SET_META, key=key, value=json.dumps([owner, now]))
    return owner


def _release(key: str, owner: str, transaction: WriteTransaction) -> None:
    row = transaction.connection.one(sql.META, key=key)
    if row is not None and json.loads(row[0])[0] == owner:
        transaction.connection.run(sql.DROP_META, name=key, former=row[0])


def _held(connection: Connection, key: str) -> tuple[str, int] | None:
    row = connection.one(sql.META, key=key)
    if row is None:
        return None
    owner, renewed = json.loads(row[0])
    return owner, renewed


def _key(branch: BranchName) -> str:
    """Return the row's key: names can be longer than it, and a digest says nothing of them."""
    named = json.dumps(branch[:2]).encode()
    return f"lease/{sha256(named).hexdigest()[:40]}"
