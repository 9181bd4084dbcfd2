"""Transactions over SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tract.storage.repositories import (
    AddCommits,
    BranchName,
    Change,
    EraseContents,
    Landed,
    TransactionRepository,
)
from tract.storage.sql.database import Database
from tract.storage.sql.writing import changes as writing

__all__ = ["SqlTransactionRepository"]


class SqlTransactionRepository(TransactionRepository):
    """Transactions in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self,
        changes: Sequence[Change],
        expected: Sequence[tuple[BranchName, str | None]] = (),
    ) -> Landed:
        search = self._database.search
        job = partial(writing.make, search=search, changes=changes, expected=expected)
        branches = [*(each.branch for each in changes), *(branch for branch, _ in expected)]
        size = sum(len(each.drafts) for each in changes if isinstance(each, AddCommits))
        return await self._database.write(
            job,
            sorted({branch.tract_id for branch in branches}),
            max(1, size),
            exclusive=any(isinstance(each, EraseContents) for each in changes),
        )
