"""Text search over SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from tract.exceptions import StoreCorruptError, StoreReadOnlyError
from tract.models.queries.searching import SearchTerm
from tract.storage.repositories import (
    BranchName,
    Candidates,
    CommitRow,
    SearchRepository,
    Standing,
    Unindexed,
)
from tract.storage.sql import searching
from tract.storage.sql.database import Database
from tract.storage.sql.port import Connection

__all__ = ["SqlSearchRepository"]

T = TypeVar("T")


class SqlSearchRepository(SearchRepository):
    """The search index of an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._search = database.search

    async def enable(self, *, rebuild: bool = False) -> None:
        search = self._search
        await self._database.write(
            lambda transaction: searching.enable(transaction.connection, search, rebuild=rebuild),
            [],
            exclusive=True,  # others may be about to switch it, too
        )

    async def disable(self) -> None:
        search = self._search
        await self._database.write(
            lambda transaction: searching.disable(transaction.connection, search),
            [],
            exclusive=True,
        )

    async def unindexed(self) -> Unindexed | None:
        try:
            self._database.check_writable()
        except StoreReadOnlyError:
            return None
        return await self._asked(partial(searching.unindexed, search=self._search))

    async def index(self, batch: Unindexed, words: Mapping[int, Sequence[str]]) -> None:
        search = self._search
        await self._database.write(
            lambda transaction: searching.index(transaction.connection, search, batch, words), []
        )

    async def find(
        self, terms: Sequence[SearchTerm], tract_id: str | None, below: int, limit: int
    ) -> Candidates:
        find = partial(
            searching.find,
            search=self._search,
            terms=terms,
            tract_id=tract_id,
            below=below,
            limit=limit,
        )
        return await self._asked(find)

    async def standings(
        self, branches: Sequence[BranchName], commits: Sequence[CommitRow]
    ) -> dict[tuple[str, str], Standing]:
        if not commits:
            return {}
        find = partial(searching.standings, branches=branches, commits=commits)
        return await self._database.read(find)

    async def _asked(self, function: Callable[[Connection], T]) -> T:
        try:
            return await self._database.read(function)
        except StoreCorruptError:
            await self._database.read(searching.check)  # it may have been switched off meanwhile
            raise
