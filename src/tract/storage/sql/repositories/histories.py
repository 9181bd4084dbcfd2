"""Histories over SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence, Set
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

from tract.exceptions import BlobNotFoundError, CommitNotFoundError, StoreCorruptError
from tract.protocols import UNSET, CommitStep, UnsetType
from tract.storage.repositories import (
    Basis,
    BranchName,
    CommitRow,
    ComparisonRepository,
    HistoryRepository,
    Located,
    Misplaced,
    Origin,
    OvertakenError,
    Position,
    Relation,
    Sizes,
    StoredCommit,
    StoredContent,
    Survey,
    VerifyRepository,
)
from tract.storage.sql import branching, keys
from tract.storage.sql.ancestry import history, listing, relations
from tract.storage.sql.ancestry.sweep import Filing, Sweep
from tract.storage.sql.ancestry.walk import lost
from tract.storage.sql.database import Database
from tract.storage.sql.naming import digest
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import erasures_of, name_of, stored_of
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements.compiled import Lookup, Statement
from tract.storage.values import KnownHead

__all__ = ["SqlComparisonRepository", "SqlHistoryRepository", "SqlVerifyRepository", "settled"]

T = TypeVar("T")

_BATCH = 1000
_ALL = 2**62
_HEAD = Position()


class _SteadyConnection:
    """Passes reads of one tract on, as long as all that is stamped is of one state."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._erasures: int | None = None

    def one(self, statement: Statement, **parameters: Any) -> Row | None:
        row = self._connection.one(statement, **parameters)
        if row is not None:
            self._check(statement, [row])
        return row

    def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        return self._check(statement, self._connection.all(statement, **parameters))

    def find(
        self, lookup: Lookup, keys: Iterable[bytes | str | int], **parameters: Any
    ) -> list[Row]:
        return self._check(lookup, self._connection.find(lookup, keys, **parameters))

    def run(self, statement: Statement, **parameters: Any) -> None:
        self._connection.run(statement, **parameters)

    def change(self, statement: Statement, **parameters: Any) -> int:
        return self._connection.change(statement, **parameters)

    def at_one_moment(self) -> AbstractContextManager[None]:
        return self._connection.at_one_moment()

    def lenient_text(self) -> AbstractContextManager[None]:
        return self._connection.lenient_text()

    def _check(self, statement: Statement, rows: list[Row]) -> list[Row]:
        if statement.stamped:
            erasures = erasures_of(rows)
            if None not in (erasures, self._erasures) and erasures != self._erasures:
                raise OvertakenError
            self._erasures = self._erasures if erasures is None else erasures
        return rows


async def settled(database: Database, function: Callable[[Connection], T]) -> T:
    """Read a tract by *function*; once more, at one moment, if an erasure or a prune overtakes that.

    It does if a commit is missing, or if what is read has been erased in part. What is missing at
    one moment is damaged, or was never there. *function* must keep nothing of what it has read.
    """
    try:
        return await database.read(lambda connection: function(_SteadyConnection(connection)))
    except (BlobNotFoundError, CommitNotFoundError, OvertakenError, StoreCorruptError):
        return await database.read(partial(_at_one_moment, function))


def _whole(
    connection: Connection, *, tract_id: str, head_hash: str, known: Set[str]
) -> tuple[str | None, Sequence[CommitStep]]:
    span = history.span(connection, tract_id=tract_id, head_hash=head_hash, known=known)
    portion = history.portion(
        connection, tract_id=tract_id, span=span, after=span.after, limit=_ALL
    )
    return span.base_hash, portion.steps


def _at_one_moment(function: Callable[[Connection], T], connection: Connection) -> T:
    with connection.at_one_moment():
        return function(connection)


class SqlHistoryRepository(HistoryRepository):
    """Histories in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def locate(self, branch: BranchName, position: Position, known: Set[str]) -> Located:
        freshness = self._database.freshness
        at_once = partial(freshness.way, branch.tract_id, known)
        head = await freshness.head(branch) if position == _HEAD else None
        near = None if head is None else at_once(head)
        if near is not None:
            return near
        look = partial(
            history.locate, branch=branch, position=position, known=known, at_once=at_once
        )
        asked = branch if position.commit_hash is UNSET else None
        located, state = await self._database.observe(look, asked)
        if position == _HEAD and located.head_hash is not None:
            head = KnownHead(located.head_hash, located.usage, located.erasures)
            freshness.seen(branch, head, state)
        return located

    async def history(
        self, tract_id: str, head_hash: str, known: Set[str], erasures: int | None
    ) -> AsyncIterator[tuple[str | None, Sequence[CommitStep]]]:
        if erasures is None:
            whole = partial(_whole, tract_id=tract_id, head_hash=head_hash, known=known)
            yield await self._database.read(partial(_at_one_moment, whole))
            return
        span = await self._database.read(
            partial(history.span, tract_id=tract_id, head_hash=head_hash, known=known)
        )
        after, left = span.after, span.size
        while after < span.through:
            read = partial(history.portion, tract_id=tract_id, span=span, after=after, limit=_BATCH)
            portion = await self._database.read(read)
            if portion.erasures not in (None, erasures):
                raise OvertakenError
            after = portion.reached
            left -= len(portion.steps)
            yield span.base_hash, portion.steps
        if left:
            raise lost(bytes.fromhex(head_hash))  # perhaps a prune has deleted it meanwhile

    async def find(self, branch: BranchName, position: Position) -> str | None:
        return await settled(
            self._database, partial(history.find, branch=branch, position=position)
        )

    async def steps(self, tract_id: str, hashes: Sequence[str]) -> list[CommitStep]:
        read = partial(relations.steps, tract_id=tract_id, hashes=hashes)
        return await settled(self._database, read)

    async def log(
        self,
        branch: BranchName,
        *,
        limit: int | None,
        before: str | UnsetType | None = UNSET,
        in_context: bool = False,
    ) -> list[CommitRow]:
        read = partial(
            listing.log, branch=branch, limit=limit, before=before, in_context=in_context
        )
        return await settled(self._database, read)

    async def log_contents(
        self,
        branch: BranchName,
        *,
        limit: int | None,
        before: str | UnsetType | None = UNSET,
        in_context: bool = False,
    ) -> list[tuple[CommitRow, StoredContent]]:
        read = partial(
            listing.log_contents, branch=branch, limit=limit, before=before, in_context=in_context
        )
        return await settled(self._database, read)

    async def annotations(self, branch: BranchName, target: str) -> list[StoredCommit]:
        return await settled(
            self._database, partial(listing.annotations_of, branch=branch, target=target)
        )

    async def origins(
        self, tract_id: str, commit: str | UnsetType | None = UNSET
    ) -> list[tuple[str, Origin]]:
        read = partial(relations.origins, tract_id=tract_id, commit=commit)
        return await settled(self._database, read)


class SqlComparisonRepository(ComparisonRepository):
    """Comparisons of branches in an SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def relation(self, branch: BranchName, other: BranchName) -> Relation:
        return await settled(
            self._database, partial(relations.relation, branch=branch, other=other)
        )

    async def still_holds(self, tract_id: str, head_hash: str | None, basis: Basis) -> bool:
        return await settled(
            self._database,
            partial(
                relations.still_holds,
                tract_id=tract_id,
                head_hash=head_hash,
                basis=basis,
                allowance=relations.Allowance(),
            ),
        )

    async def sizes(self, tract_id: str, head_hash: str | None) -> Sizes:
        measure = partial(relations.sizes, tract_id=tract_id, head_hash=head_hash)
        return await settled(self._database, measure)

    async def survey(self, branch: BranchName, names: Sequence[str]) -> list[Survey]:
        look = partial(relations.survey, branch=branch, names=names)
        return await settled(self._database, look)


class SqlVerifyRepository(VerifyRepository):
    """Contents of an SQL database, for checking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self, tract_id: str) -> list[str]:
        return await self._database.read(partial(branching.heads, tract_id=tract_id))

    async def stored(
        self, tract_id: str, heads: Iterable[str]
    ) -> AsyncIterator[Sequence[StoredCommit]]:
        sweep = Sweep(_keys(heads), sql.WALK_STORED)
        while sweep.wanted:
            rows = await self._next_rows(sweep, tract_id)
            if rows:
                yield [*map(stored_of, rows)]

    async def misplaced(self, tract_id: str) -> list[Misplaced]:
        newest = await self._database.read(partial(branching.newest, tract_id=tract_id))
        filing = Filing()
        heads = _keys(await self.heads(tract_id))
        sweep = Sweep({*heads}, sql.WALK_FILED)
        while sweep.wanted:
            filing.add(await self._next_rows(sweep, tract_id))
        if not all(head in filing for head in heads):
            newest = []  # a head that is gone is reported, and may have reached it

        def look(connection: Connection) -> list[Misplaced]:
            commits = [Misplaced(key.hex()) for key in filing.misplaced()]
            named = keys.misplaced(connection, tract_id=tract_id)
            branches = branching.misplaced(connection, tract_id=tract_id)
            lost = [] if branches else [key for key in newest if key not in filing]
            return [
                *(*branches, *commits, *named),
                *(Misplaced(name_of(key), is_lost=True) for key in lost),
            ]

        return await self._database.read(look)

    async def _next_rows(self, sweep: Sweep, tract_id: str) -> list[Row]:
        return await self._database.read(partial(_next_batch, sweep=sweep, tract_id=tract_id))


def _keys(heads: Iterable[str]) -> set[bytes]:
    return {key for head in heads if (key := digest(head)) is not None}


def _next_batch(connection: Connection, *, sweep: Sweep, tract_id: str) -> list[Row]:
    """Do what `Sweep.next_batch` does; a damaged text hides no others."""
    with connection.lenient_text():
        return sweep.next_batch(connection, tract_id=tract_id)
