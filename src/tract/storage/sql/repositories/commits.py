"""Commits, their contents and their usage, over SQL."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from itertools import islice
from typing import Any

from tract.exceptions import BlobNotFoundError, CommitNotFoundError
from tract.models.queries.query import Condition, ConfigField, config_condition, config_path
from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.storage.repositories import (
    Attached,
    AttachmentRepository,
    Basis,
    BlobRepository,
    BranchName,
    CommitDraft,
    CommitRepository,
    CommitRow,
    KeyRepository,
    QueryRepository,
    StoredContent,
    StreamEnd,
    UsageRepository,
)
from tract.storage.sql import attachments
from tract.storage.sql import keys as stored
from tract.storage.sql.ancestry.walk import find_place, lineage, place_or_beginning
from tract.storage.sql.configs.querying import window_of
from tract.storage.sql.contents import contents, with_contents
from tract.storage.sql.database import Database
from tract.storage.sql.naming import key_of
from tract.storage.sql.port import Connection
from tract.storage.sql.repositories.histories import settled
from tract.storage.sql.rows import as_bytes, record_of, sound
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements.compiled import Statement
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = [
    "SqlAttachmentRepository",
    "SqlBlobRepository",
    "SqlCommitRepository",
    "SqlKeyRepository",
    "SqlQueryRepository",
    "SqlUsageRepository",
]


class SqlCommitRepository(CommitRepository):
    """Commits in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        *,
        expected_head: str | UnsetType | None = UNSET,
        ending: StreamEnd | None = None,
    ) -> Coroutine[Any, Any, list[CommitRow]]:
        job = partial(WriteTransaction.commit, branch=branch, drafts=drafts)
        if ending is not None:
            job = partial(WriteTransaction.end_stream, branch=branch, drafts=drafts, ending=ending)
        write = partial(job, expected_head=expected_head)
        return self._database.write(write, [branch.tract_id], len(drafts))

    def check_writable(self) -> None:
        self._database.check_writable()

    async def write_on(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: Basis,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRow]:
        def job(transaction: WriteTransaction) -> list[CommitRow]:
            return transaction.write_on(branch, drafts, basis, expected_head)

        return await self._database.write(job, [branch.tract_id], len(drafts))

    async def get(self, tract_id: str, commit_hash: str) -> CommitRow | None:
        row = await self._database.glance(
            partial(_named, statement=sql.COMMIT, tract_id=tract_id, named=commit_hash)
        )
        return record_of(row) if row else None

    async def resolve(self, tract_id: str, named: str) -> str | None:
        place = await self._database.glance(
            partial(place_or_beginning, tract_id=tract_id, named=named)
        )
        return None if place is None else place.commit_hash.hex()

    async def get_by_config(
        self,
        tract_id: str,
        json_path: ConfigField,
        operator: str,
        value: Any,
        *,
        limit: int | None = None,
    ) -> list[CommitRow]:
        if issubclass(type(value), list):
            value = list.copy(value)  # the caller's own list may change
        matches = self._database.queries.matches
        return await self._database.read(
            lambda connection: matches(
                connection, tract_id, [config_condition(json_path, operator, value)], limit
            )
        )

    async def create_config_index(self, json_path: ConfigField) -> None:
        path = config_path(json_path)
        create = self._database.queries.create_index
        await self._database.write(lambda transaction: create(transaction.connection, path), [])


class SqlQueryRepository(QueryRepository):
    """Queries of an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def query(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool = False,
        limit: int | None = None,
        newest: bool = False,
        after: str | None = None,
        before: str | None = None,
    ) -> list[CommitRow]:
        find = self._found(branch, conditions, branch_only, limit, newest, after, before)
        return await settled(self._database, find)

    async def query_contents(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool = False,
        limit: int | None = None,
        newest: bool = False,
        after: str | None = None,
        before: str | None = None,
    ) -> list[tuple[CommitRow, StoredContent]]:
        find = self._found(branch, conditions, branch_only, limit, newest, after, before)
        return await settled(
            self._database,
            lambda connection: with_contents(connection, branch.tract_id, find(connection)),
        )

    def _found(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        branch_only: bool,
        limit: int | None,
        newest: bool,
        after: str | None,
        before: str | None,
    ) -> Callable[[Connection], list[CommitRow]]:
        queries, tract_id = self._database.queries, branch.tract_id

        def find(connection: Connection) -> list[CommitRow]:
            window = window_of(connection, tract_id, after, before, newest=newest)
            if branch_only:
                return queries.matches_on(connection, branch, conditions, limit, window)
            return queries.matches(connection, tract_id, conditions, limit, window)

        return find

    async def count(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool = False,
        after: str | None = None,
        before: str | None = None,
    ) -> int:
        queries = self._database.queries

        def count(connection: Connection) -> int:
            window = window_of(connection, branch.tract_id, after, before, newest=False)
            return queries.count(connection, branch, conditions, window, branch_only=branch_only)

        return await settled(self._database, count)


class SqlBlobRepository(BlobRepository):
    """Contents in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tract_id: str, commit_hash: str) -> tuple[CommitRow, bytes]:
        row = await self._database.glance(
            partial(_named, statement=sql.CONTENT, tract_id=tract_id, named=commit_hash)
        )
        if row is None:
            raise CommitNotFoundError(commit_hash)
        record = record_of(row)._replace(content_type=row[-2])
        data: bytes | None = as_bytes(row[-1])
        if data is None:
            raise BlobNotFoundError(record.content_hash)
        return record, data

    async def get_many(self, tract_id: str, named: Sequence[str]) -> list[StoredContent]:
        if not named:
            return []
        return await settled(self._database, partial(contents, tract_id=tract_id, named=named))


class SqlUsageRepository(UsageRepository):
    """Usage reports in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, tract_id: str, commit_hash: str, usage: TokenUsage, raw_json: str
    ) -> None:
        def job(transaction: WriteTransaction) -> None:
            transaction.set_usage_to_stay(tract_id, commit_hash, usage, raw_json)

        await self._database.write(job, [tract_id], traced=False)

    async def newest(
        self, tract_id: str, commit_hash: str, among: int
    ) -> tuple[str, TokenUsage] | None:
        return await self._database.read(
            partial(_newest_usage, tract_id=tract_id, commit_hash=commit_hash, among=among)
        )


def _newest_usage(
    connection: Connection, *, tract_id: str, commit_hash: str, among: int
) -> tuple[str, TokenUsage] | None:
    """See `UsageRepository.newest`."""
    place = find_place(connection, tract_id, commit_hash)
    if place is None:
        return None
    older = lineage(connection, sql.WALK, tract_id, place.commit_hash, place.created_at)
    hashes = [row[0] for row in islice(older, among)]
    found = connection.find(sql.USAGE_OF, hashes, tract_id=tract_id)
    reports = {row[0]: row[1:] for row in sound(found, bytes, int, int, int)}
    newest = next((key for key in hashes if key in reports), None)
    return None if newest is None else (newest.hex(), TokenUsage(*reports[newest]))


def _named(
    connection: Connection, *, statement: Statement, tract_id: str, named: str
) -> tuple[Any, ...] | None:
    """Return the row of a commit, named by its hash or by a ref."""
    key = key_of(connection, tract_id, named)
    return None if key is None else connection.one(statement, tract_id=tract_id, hash=key)


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
