"""The repositories over SQLite: each method one trip to a connection's thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from tract.exceptions import BlobNotFoundError, CommitNotFoundError
from tract.models.query import ConfigCondition, ConfigField, config_condition, config_path
from tract.protocols import UNSET, CommitStep, TokenUsage, UnsetType
from tract.storage.repositories import (
    ArrivalRepository,
    Arrivals,
    BlobRepository,
    BranchName,
    CommitDraft,
    CommitRecord,
    CommitRepository,
    Cursor,
    Located,
    MergeBasis,
    Move,
    Origin,
    Position,
    RefRecord,
    RefRepository,
    Relation,
    Sizes,
    SpooledStream,
    SpoolPart,
    SpoolRepository,
    StoredCommit,
    StreamEnd,
    StreamName,
    Survey,
    UsageRepository,
)
from tract.storage.sql import branching, spooling
from tract.storage.sql import statements as sql
from tract.storage.sql.ancestry import history, relations
from tract.storage.sql.ancestry.arrivals import arrivals
from tract.storage.sql.ancestry.search import Search
from tract.storage.sql.ancestry.walk import find_place, is_ancestor, place_or_beginning
from tract.storage.sql.compiled import Statement
from tract.storage.sql.naming import BRANCHES, TAGS, digest, key_of, missing_branch, ref_name
from tract.storage.sql.port import Connection
from tract.storage.sql.recent import RecentCommits
from tract.storage.sql.rows import as_bytes, head_of, lenient_text, record_of
from tract.storage.sql.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.database import Database
from tract.storage.sqlite.freshness.watched import WatchedHeads
from tract.storage.sqlite.json import querying
from tract.storage.sqlite.json.config_index import create_config_index
from tract.storage.values import KnownHead

__all__ = [
    "SqliteArrivalRepository",
    "SqliteBlobRepository",
    "SqliteCommitRepository",
    "SqliteRefRepository",
    "SqliteSpoolRepository",
    "SqliteUsageRepository",
]

_BATCH = 1000
_HEAD = Position()


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
        ending: StreamEnd | None = None,
    ) -> list[CommitRecord]:
        def job(transaction: WriteTransaction) -> list[CommitRecord]:
            if ending is None:
                return transaction.commit(branch, drafts, expected_head)
            return transaction.end_stream(branch, drafts, expected_head, ending)

        records = await self._database.write(job, len(drafts))
        if not records:
            return records
        self._recent.add(records, drafts)
        return records

    def check_writable(self) -> None:
        self._database.check_writable()

    async def merge(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: MergeBasis,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRecord]:
        def job(transaction: WriteTransaction) -> list[CommitRecord]:
            return transaction.merge(branch, drafts, basis, expected_head)

        records = await self._database.write(job, len(drafts))
        self._recent.add(records, drafts)
        return records

    async def still_holds(self, tract_id: str, head_hash: str | None, basis: MergeBasis) -> bool:
        return await self._database.read(
            partial(
                relations.still_holds,
                tract_id=tract_id,
                head_hash=head_hash,
                basis=basis,
                allowance=relations.Allowance(),
            )
        )

    async def get(self, tract_id: str, commit_hash: str) -> CommitRecord | None:
        row = await self._database.glance(
            partial(_named, statement=sql.COMMIT, tract_id=tract_id, named=commit_hash)
        )
        return record_of(row) if row else None

    async def resolve(self, tract_id: str, named: str) -> str | None:
        place = await self._database.glance(
            partial(place_or_beginning, tract_id=tract_id, named=named)
        )
        return None if place is None else place.commit_hash.hex()

    async def locate(
        self, branch: BranchName, position: Position, known: Callable[[str], bool]
    ) -> Located:
        heads = self._database.heads
        head = heads.find(branch) if position == _HEAD else None
        if head is not None:
            near = history.at_once(head, branch.tract_id, known=known, recent=self._recent)
            if near is not None:
                await heads.give_way()
                return near
        look = partial(
            history.locate, branch=branch, position=position, known=known, recent=self._recent
        )
        located, state = await self._database.observe(look)
        if position == _HEAD and located.head_hash is not None:
            heads.seen(branch, KnownHead(located.head_hash, located.usage), state)
        return located

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
        self,
        branch: BranchName,
        *,
        limit: int | None,
        before: str | UnsetType | None = UNSET,
        in_context: bool = False,
    ) -> list[CommitRecord]:
        read = history.log_in_context if in_context else history.log
        return await self._database.read(partial(read, branch=branch, limit=limit, before=before))

    async def relation(self, branch: BranchName, other: BranchName) -> Relation:
        return await self._database.read(partial(relations.relation, branch=branch, other=other))

    async def sizes(self, tract_id: str, head_hash: str | None) -> Sizes:
        measure = partial(relations.sizes, tract_id=tract_id, head_hash=head_hash)
        return await self._database.read(measure)

    async def survey(self, branch: BranchName, names: Sequence[str]) -> list[Survey]:
        look = partial(relations.survey, branch=branch, names=names)
        return await self._database.read(look)

    async def steps(self, tract_id: str, hashes: Sequence[str]) -> list[CommitStep]:
        read = partial(relations.steps, tract_id=tract_id, hashes=hashes)
        return await self._database.read(read)

    async def origins(
        self, tract_id: str, commit: str | UnsetType | None = UNSET
    ) -> list[tuple[str, Origin]]:
        read = partial(relations.origins, tract_id=tract_id, commit=commit)
        return await self._database.read(read)

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
        return await self._database.read(
            lambda connection: querying.matches(
                connection, tract_id, [config_condition(json_path, operator, value)], limit
            )
        )

    async def query(
        self,
        branch: BranchName,
        conditions: Sequence[ConfigCondition],
        *,
        branch_only: bool = False,
        limit: int | None = None,
    ) -> list[CommitRecord]:
        if branch_only:
            find = partial(querying.matches_on, branch=branch, conditions=conditions, limit=limit)
        else:
            find = partial(
                querying.matches, tract_id=branch.tract_id, conditions=conditions, limit=limit
            )
        return await self._database.read(find)

    async def create_config_index(self, json_path: ConfigField) -> None:
        path = config_path(json_path)
        await self._database.write(
            lambda transaction: transaction.run(partial(create_config_index, path=path))
        )

    async def stored(
        self, tract_id: str, heads: Iterable[str]
    ) -> AsyncIterator[Sequence[StoredCommit]]:
        search = Search({key for head in heads if (key := digest(head)) is not None})
        while search.wanted:
            batch = await self._database.read(
                partial(_next_batch, search=search, tract_id=tract_id)
            )
            if batch:
                yield batch


class SqliteBlobRepository(BlobRepository):
    """Contents in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tract_id: str, commit_hash: str) -> tuple[CommitRecord, bytes]:
        row = await self._database.glance(
            partial(_named, statement=sql.CONTENT, tract_id=tract_id, named=commit_hash)
        )
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
        known = self._database.heads.find(branch)
        if known is not None:
            await self._database.heads.give_way()
            return known.commit_hash
        return await self._database.glance(partial(branching.head, branch=branch))

    async def fork(
        self,
        branch: BranchName,
        name: str,
        at: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        await self._database.write(
            lambda transaction: transaction.fork(branch, name, at, expected_head)
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
            lambda transaction: transaction.move(
                branch, to, action=action, note=note, expected_head=expected_head
            )
        )

    async def delete(
        self,
        branch: BranchName,
        *,
        force: bool,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        await self._database.write(
            lambda transaction: transaction.delete_branch(
                branch, force=force, expected_head=expected_head
            )
        )

    async def branches(self, tract_id: str) -> list[RefRecord]:
        listed = partial(branching.list_refs, tract_id=tract_id, prefix=BRANCHES)
        return await self._database.read(listed)

    async def misplaced(self, tract_id: str) -> list[tuple[str, str]]:
        return await self._database.read(partial(branching.misplaced, tract_id=tract_id))

    async def moves(self, tract_id: str) -> list[Move]:
        return await self._database.read(partial(branching.moves, tract_id=tract_id))

    async def tag(
        self,
        branch: BranchName,
        name: str,
        target: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> RefRecord:
        return await self._database.write(
            lambda transaction: transaction.tag(branch, name, target, expected_head)
        )

    async def untag(
        self, tract_id: str, name: str, *, expected_head: str | UnsetType | None = UNSET
    ) -> None:
        await self._database.write(
            lambda transaction: transaction.untag(tract_id, name, expected_head)
        )

    async def tags(self, tract_id: str) -> list[RefRecord]:
        listed = partial(branching.list_refs, tract_id=tract_id, prefix=TAGS)
        return await self._database.read(listed)

    async def heads(self, tract_id: str) -> list[str]:
        return await self._database.read(partial(branching.heads, tract_id=tract_id))

    async def tract_ids(self) -> list[str]:
        return await self._database.read(branching.tract_ids)


class SqliteArrivalRepository(ArrivalRepository):
    """What comes to branches in SQLite, from this process and from others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watch = WatchedHeads()

    async def read(self, branch: BranchName, cursor: Cursor) -> Arrivals:
        database = self._database

        def look(connection: Connection) -> Arrivals:
            found = arrivals(connection, branch=branch, cursor=cursor)
            if not found.records and found.taken_back is None:
                database.check_place()
            return found

        # Who waits at the head has little to read, most often: it shares a trip with others.
        return await (database.glance if cursor.is_at_head else database.read)(look)

    async def heads(self, branches: Sequence[BranchName]) -> Sequence[str | None]:
        def look(connection: SqliteConnection) -> Sequence[str | None]:
            self._database.check_place()
            return self._watch.look(connection, branches=branches)

        return await self._database.read(look)

    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        self._database.on_move(callback)


class SqliteUsageRepository(UsageRepository):
    """Usage reports in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, branch: BranchName, usage: TokenUsage, raw_json: str, *, head_hash: str
    ) -> str:
        return await self._database.write(
            lambda transaction: transaction.record_usage(branch, usage, raw_json, head_hash)
        )

    async def record_at(
        self, tract_id: str, commit_hash: str, usage: TokenUsage, raw_json: str
    ) -> None:
        await self._database.write(
            lambda transaction: transaction.set_usage(tract_id, commit_hash, usage, raw_json)
        )


class SqliteSpoolRepository(SpoolRepository):
    """Open streams in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName] = ()
    ) -> list[StreamName]:
        def job(transaction: WriteTransaction) -> list[StreamName]:
            return transaction.spool(owner, parts, touched)

        return await self._database.write(job, len(parts) + len(touched))

    async def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        await self._database.write(
            lambda transaction: transaction.release(owner, streams), len(streams)
        )

    async def spooled(self) -> list[SpooledStream]:
        return await self._database.read(spooling.spooled)

    async def fragments(self, stream: StreamName) -> list[Any]:
        return await self._database.read(partial(spooling.fragments, stream=stream))

    async def drop(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        await self._database.write(lambda transaction: transaction.unspool(stream, claim))


def _next_batch(
    connection: SqliteConnection, *, search: Search, tract_id: str
) -> list[StoredCommit]:
    """Return what `Search.next_batch` does, a text that is damaged hiding no others."""
    usual = connection.raw.text_factory
    connection.raw.text_factory = lenient_text
    try:
        return search.next_batch(connection, tract_id=tract_id)
    finally:
        connection.raw.text_factory = usual


def _named(
    connection: Connection, *, statement: Statement, tract_id: str, named: str
) -> tuple[Any, ...] | None:
    """Return the row of a commit, given by its hash or by the name of a ref."""
    key = key_of(connection, tract_id, named)
    return None if key is None else connection.one(statement, tract_id=tract_id, hash=key)


def _annotations(connection: Connection, *, branch: BranchName, target: str) -> list[StoredCommit]:
    tract_id = branch.tract_id
    place = find_place(connection, tract_id, target)
    if place is None:
        raise CommitNotFoundError(target)
    row = connection.one(sql.BRANCH, tract_id=tract_id, name=ref_name(branch.branch))
    if row is None:
        missing_branch(branch)
    head = find_place(connection, tract_id, head_of(row[0])) if row else None
    if head is None:
        return []
    found: list[StoredCommit] = []
    for row in connection.all(sql.ANNOTATIONS, tract_id=tract_id, hash=place.commit_hash):
        record = record_of(row)
        at = find_place(connection, tract_id, record.commit_hash)
        if at is not None and is_ancestor(connection, tract_id, at, head):
            found.append(StoredCommit(record, as_bytes(row[len(record)])))
    return found
