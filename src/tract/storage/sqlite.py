"""The repositories over SQLite: each method one trip to a connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from tract.exceptions import BlobNotFoundError, CommitNotFoundError
from tract.models.query import ConfigField, config_condition, config_path
from tract.protocols import UNSET, CommitStep, TokenUsage, UnsetType
from tract.storage import history
from tract.storage import statements as sql
from tract.storage.conditions import matching
from tract.storage.config_index import has_config_index
from tract.storage.database import Database
from tract.storage.recent import RecentCommits
from tract.storage.repositories import (
    BlobRepository,
    BranchName,
    CommitDraft,
    CommitRecord,
    CommitRepository,
    Located,
    Position,
    RefRepository,
    StoredCommit,
    UsageRepository,
)
from tract.storage.rows import as_bytes, hash_of, record_of
from tract.storage.search import Search
from tract.storage.transaction import ref_name
from tract.storage.walk import digest, find_place, is_ancestor

__all__ = [
    "SqliteBlobRepository",
    "SqliteCommitRepository",
    "SqliteRefRepository",
    "SqliteUsageRepository",
]

_BATCH = 1000
_ALL = 2**62


class SqliteCommitRepository(CommitRepository):
    """Commits in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recent = RecentCommits()

    async def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRecord]:
        records = await self._database.write(
            lambda transaction: transaction.commit(branch, drafts, expected_head), len(drafts)
        )
        self._recent.add(records, drafts)
        return records

    async def get(self, tract_id: str, commit_hash: str) -> CommitRecord | None:
        key = digest(commit_hash)
        if key is None:
            return None
        row = await self._database.glance(partial(sql.COMMIT.one, tract_id=tract_id, hash=key))
        return record_of(row) if row else None

    async def locate(
        self, branch: BranchName, position: Position, known: Callable[[str], bool]
    ) -> Located:
        return await self._database.glance(
            partial(
                history.locate,
                branch=branch,
                position=position,
                known=known,
                recent=self._recent,
            )
        )

    async def history(
        self, tract_id: str, head_hash: str, known: Callable[[str], bool]
    ) -> AsyncIterator[tuple[str | None, Sequence[CommitStep]]]:
        span = await self._database.read(
            partial(history.span, tract_id=tract_id, head_hash=head_hash, known=known)
        )
        after = span.after
        while after < span.through:
            steps, after = await self._database.read(
                partial(history.portion, tract_id=tract_id, span=span, after=after, limit=_BATCH)
            )
            yield span.base_hash, steps

    async def log(
        self, branch: BranchName, *, limit: int | None, before: str | None
    ) -> list[CommitRecord]:
        return await self._database.read(
            partial(history.log, branch=branch, limit=limit, before=before)
        )

    async def annotations(self, branch: BranchName, target: str) -> list[StoredCommit]:
        return await self._database.read(partial(_annotations, branch=branch, target=target))

    async def get_by_config(
        self,
        tract_id: str,
        json_path: ConfigField,
        operator: str,
        value: Any,
        *,
        limit: int | None = None,
    ) -> list[CommitRecord]:
        if issubclass(type(value), list):
            value = list.copy(value)  # theirs may change
        find = partial(_matching, tract_id, json_path, operator, value, limit)
        return await self._database.read(find)

    async def create_config_index(self, json_path: ConfigField) -> None:
        path = config_path(json_path)
        await self._database.write(lambda transaction: transaction.index_config(path))

    async def stored(
        self, tract_id: str, heads: Iterable[str]
    ) -> AsyncIterator[Sequence[StoredCommit]]:
        search = Search({key for key in map(digest, heads) if key is not None})
        while search.wanted:
            batch = await self._database.read(partial(search.next_batch, tract_id=tract_id))
            if batch:
                yield batch


class SqliteBlobRepository(BlobRepository):
    """Contents in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tract_id: str, commit_hash: str) -> tuple[CommitRecord, bytes]:
        key = digest(commit_hash)
        if key is None:
            raise CommitNotFoundError(commit_hash)
        row = await self._database.glance(partial(sql.CONTENT.one, tract_id=tract_id, hash=key))
        if row is None:
            raise CommitNotFoundError(commit_hash)
        record = record_of(row)
        data: bytes | None = as_bytes(row[-1])
        if data is None:
            raise BlobNotFoundError(record.content_hash)
        return record, data


class SqliteRefRepository(RefRepository):
    """Branches in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self, branch: BranchName) -> str | None:
        row = await self._database.glance(
            partial(sql.BRANCH.one, tract_id=branch.tract_id, name=ref_name(branch.branch))
        )
        return hash_of(row[0]) if row else None

    async def heads(self, tract_id: str) -> list[str]:
        rows = await self._database.read(partial(sql.REF_HEADS.all, tract_id=tract_id))
        return [hash_of(row[0]) for row in rows]

    async def tract_ids(self) -> list[str]:
        return [row[0] for row in await self._database.read(sql.TRACT_IDS.all)]


class SqliteUsageRepository(UsageRepository):
    """Usage reports in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, branch: BranchName, usage: TokenUsage, raw_json: str, *, head_hash: str | None
    ) -> str:
        return await self._database.write(
            lambda transaction: transaction.record_usage(branch, usage, raw_json, head_hash)
        )


def _matching(
    tract_id: str,
    json_path: ConfigField,
    operator: str,
    value: Any,
    limit: int | None,
    connection: sqlite3.Connection,
) -> list[CommitRecord]:
    condition = config_condition(json_path, operator, value)
    statement = matching(condition, indexed=has_config_index(connection, condition.path))
    rows = statement.all(connection, tract_id=tract_id, limit=_ALL if limit is None else limit)
    return [record_of(row) for row in rows]


def _annotations(
    connection: sqlite3.Connection, *, branch: BranchName, target: str
) -> list[StoredCommit]:
    tract_id = branch.tract_id
    place = find_place(connection, tract_id, target)
    if place is None:
        raise CommitNotFoundError(target)
    row = sql.BRANCH.one(connection, tract_id=tract_id, name=ref_name(branch.branch))
    head = find_place(connection, tract_id, hash_of(row[0])) if row else None
    if head is None:
        return []
    found: list[StoredCommit] = []
    for row in sql.ANNOTATIONS.all(connection, tract_id=tract_id, hash=place.commit_hash):
        record = record_of(row)
        at = find_place(connection, tract_id, record.commit_hash)
        if at is not None and is_ancestor(connection, tract_id, at, head):
            found.append(StoredCommit(record, as_bytes(row[len(record)])))
    return found
