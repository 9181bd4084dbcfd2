"""Branches, tags and arrivals over SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import (
    ArrivalRepository,
    Arrivals,
    BranchName,
    Cursor,
    Heads,
    Move,
    RefRecord,
    RefRepository,
    TagRepository,
)
from tract.storage.sql import branching
from tract.storage.sql.ancestry.arrivals import arrivals
from tract.storage.sql.database import Database
from tract.storage.sql.naming import BRANCHES, TAGS
from tract.storage.sql.port import Connection
from tract.storage.sql.writing import ref_writes

__all__ = ["SqlArrivalRepository", "SqlRefRepository", "SqlTagRepository"]


class SqlRefRepository(RefRepository):
    """Branches in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self, branch: BranchName) -> str | None:
        known = await self._database.freshness.head(branch)
        if known is not None:
            return known.commit_hash
        return await self._database.glance(partial(branching.head, branch=branch))

    async def branches(self, tract_id: str) -> list[RefRecord]:
        listed = partial(branching.list_refs, tract_id=tract_id, prefix=BRANCHES)
        return await self._database.read(listed)

    async def moves(self, tract_id: str) -> list[Move]:
        return await self._database.read(partial(branching.moves, tract_id=tract_id))

    async def reached_by(self, tract_id: str, named: Sequence[str]) -> dict[str, list[str]]:
        if not named:
            return {}
        find = partial(branching.reached_by, tract_id=tract_id, named=named)
        return await self._database.read(find)

    async def fork(
        self,
        branch: BranchName,
        name: str,
        at: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        await self._database.write(
            lambda transaction: ref_writes.fork(transaction, branch, name, at, expected_head),
            [branch.tract_id],
        )

    async def move(
        self,
        branch: BranchName,
        to: str | None,
        *,
        action: str,
        note: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> RefRecord:
        return await self._database.write(
            lambda transaction: ref_writes.move(
                transaction, branch, to, action=action, note=note, expected_head=expected_head
            ),
            [branch.tract_id],
        )

    async def delete(
        self,
        branch: BranchName,
        *,
        force: bool,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        await self._database.write(
            lambda transaction: ref_writes.delete(
                transaction, branch, force=force, expected_head=expected_head
            ),
            [branch.tract_id],
        )


class SqlTagRepository(TagRepository):
    """Tags in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tags(self, tract_id: str) -> list[RefRecord]:
        listed = partial(branching.list_refs, tract_id=tract_id, prefix=TAGS)
        return await self._database.read(listed)

    async def tag(
        self,
        branch: BranchName,
        name: str,
        target: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> RefRecord:
        return await self._database.write(
            lambda transaction: ref_writes.tag(transaction, branch, name, target, expected_head),
            [branch.tract_id],
        )

    async def untag(
        self, tract_id: str, name: str, *, expected_head: str | UnsetType | None = UNSET
    ) -> None:
        await self._database.write(
            lambda transaction: ref_writes.untag(transaction, tract_id, name, expected_head),
            [tract_id],
            traced=False,
        )


class SqlArrivalRepository(ArrivalRepository):
    """Arrivals on branches in an SQL database, from this process and from others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, branch: BranchName, cursor: Cursor) -> Arrivals:
        database = self._database
        database.listen()

        def look(connection: Connection) -> Arrivals:
            found = arrivals(connection, branch=branch, cursor=cursor)
            if not found.records and found.taken_back is None:
                database.check_path()
            return found

        # A watcher at the head has little to read, most often, so it shares a trip with others.
        return await (database.glance if cursor.is_at_head else database.read)(look)

    async def heads(self, branches: Sequence[BranchName]) -> Heads:
        self._database.listen()

        def look(connection: Connection) -> Heads:
            self._database.check_path()
            return self._database.freshness.watched(connection, branches)

        return await self._database.read(look)

    @property
    def interval(self) -> float:
        return self._database.interval

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        self._database.on_move(callback)
