"""Reading a history: heads, and the steps to them; runs on the connection's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from tract.exceptions import BlobNotFoundError, CommitNotFoundError
from tract.history.graph import line
from tract.protocols import UNSET, CommitStep, TokenUsage, UnsetType
from tract.storage.repositories import (
    BranchName,
    CommitRow,
    Located,
    Position,
)
from tract.storage.sql.ancestry.walk import (
    Place,
    count_of,
    find_place,
    lineage,
    lost,
    place_or_beginning,
    scan,
)
from tract.storage.sql.naming import missing_branch, ref_name
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import (
    check_types,
    erasures_of,
    hash_of,
    name_of,
    record_of,
    steps_of,
)
from tract.storage.sql.statements import commits as sql
from tract.storage.values import KnownHead

__all__ = [
    "Span",
    "Steps",
    "find",
    "find_head_place",
    "locate",
    "portion",
    "record_at",
    "span",
    "steps_at",
]

_FIRST_LOOK = 4
_DATA = attrgetter("data")
_MERGED = 10
_NEAR = 64
"""Steps that one trip returns along with the head."""


class _Head(NamedTuple):
    commit_hash: bytes
    created_at: int
    usage: TokenUsage | None
    erasures: int = 0


class Span(NamedTuple):
    """The way to a head: from just after its base's time up to its own time.

    `members` names the commits on the way if others lie between them, else it is None. `order`
    lists them in order if some are merges or others far outnumber them, else it is None; with
    it, portions are counted by places in it and not by times. `size` is the number of commits.
    """

    base_hash: str | None
    after: int
    through: int
    size: int
    members: frozenset[bytes] | None
    order: Sequence[bytes] | None = None


def locate(
    connection: Connection,
    *,
    branch: BranchName,
    position: Position,
    known: Set[str],
    at_once: Callable[[KnownHead], Located | None],
) -> Located:
    """See `HistoryRepository.locate`; *at_once* returns what need not be read."""
    head = _find_head(connection, branch, position)
    if head is None:
        return Located(None, None, None, ())
    head_hash = head.commit_hash.hex()
    near = at_once(KnownHead(head_hash, head.usage, head.erasures))
    if near is not None:
        return near
    rows: list[Sequence[Any]] = []
    found = lineage(connection, sql.WALK_STEPS, branch.tract_id, head.commit_hash, head.created_at)
    for row in found:
        if row[_MERGED] is not None:
            break  # what it brought takes more than this line of parents
        rows.append(row)
        if row[-1] != head.erasures:
            return Located(head_hash, head.usage, None, None, row[-1])
        parent = None if row[1] is None else hash_of(row[1], of=row[0])
        if parent is None or parent in known:
            steps = _steps(connection, branch.tract_id, rows[::-1])
            return Located(head_hash, head.usage, parent, steps, head.erasures)
        if len(rows) == _NEAR:
            break
    return Located(head_hash, head.usage, None, None, head.erasures)


def find(connection: Connection, *, branch: BranchName, position: Position) -> str | None:
    """See `HistoryRepository.find`."""
    head = _find_head(connection, branch, position)
    return None if head is None else head.commit_hash.hex()


def span(
    connection: Connection,
    *,
    tract_id: str,
    head_hash: str,
    known: Set[str],
) -> Span:
    """Return the way to a head from its nearest known ancestor or from the beginning."""
    head = find_place(connection, tract_id, head_hash)
    if head is None:
        raise CommitNotFoundError(head_hash)
    members: dict[bytes, None] = {}
    base: bytes | None = None
    after = 0
    merged = False
    for row in lineage(connection, sql.WALK, tract_id, head.commit_hash, head.created_at):
        if row[0] != head.commit_hash and row[0].hex() in known:
            base, after = row[0], row[2]
            break
        members[row[0]] = None
        merged = merged or row[3] is not None
    base_hash = None if base is None else base.hex()
    if merged:
        order = line(scan(connection, tract_id, [head]), head.commit_hash, base=base)
        return Span(base_hash, 0, len(order), len(order), None, order)
    between = count_of(
        connection, tract_id, limit=2 * len(members) + 1, after=after, through=head.created_at
    )
    if between > 2 * len(members):
        order = [*members][::-1]
        return Span(base_hash, 0, len(order), len(order), None, order)
    among = None if between == len(members) else frozenset(members)
    return Span(base_hash, after, head.created_at, len(members), among)


class Steps(NamedTuple):
    """Steps of a span, and where to go on after them: a time, the span's end if none are left.

    `erasures` counts the erasures of their tract so far, and is None without steps.
    """

    steps: list[CommitStep]
    reached: int
    erasures: int | None


def portion(connection: Connection, *, tract_id: str, span: Span, after: int, limit: int) -> Steps:
    """Return the next steps of a span.

    Raises:
        OvertakenError: some were read before an erasure, and some after it.
    """
    if span.order is not None:
        keys = span.order[after : after + limit]
        rows = _rows_at(connection, tract_id, keys)
        return Steps(_steps(connection, tract_id, rows), after + len(keys), erasures_of(rows))
    rows = connection.all(
        sql.STEPS, tract_id=tract_id, after=after, through=span.through, limit=limit
    )
    reached = rows[-1][2] if len(rows) == limit else span.through
    if span.members is not None:
        rows = [row for row in rows if row[0] in span.members]
    return Steps(_steps(connection, tract_id, rows), reached, erasures_of(rows))


def steps_at(connection: Connection, tract_id: str, keys: Sequence[bytes]) -> list[CommitStep]:
    """Return commits as steps, as the fold needs them, in the order of *keys*."""
    return _steps(connection, tract_id, _rows_at(connection, tract_id, keys))


def _rows_at(connection: Connection, tract_id: str, keys: Sequence[bytes]) -> list[Row]:
    rows = connection.find(sql.STEPS_OF, keys, tract_id=tract_id)
    erasures_of(rows)
    found = {row[0]: row for row in rows}
    missing = next((key for key in keys if key not in found), None)
    if missing is not None:
        raise lost(missing)
    return [found[key] for key in keys]


def record_at(
    connection: Connection, tract_id: str, key: bytes, row: Sequence[Any] | None = None
) -> CommitRow:
    """Return a commit's record; *row* is its row if that was read already."""
    row = row or connection.one(sql.COMMIT, tract_id=tract_id, hash=key)
    if row is None:
        raise lost(key)
    return record_of(row)


def find_head_place(
    connection: Connection, branch: BranchName, before: str | UnsetType | None = UNSET
) -> Place | None:
    """Return the place of the commit *before* or of the branch's head; None if that is empty."""
    found = _find_head(connection, branch, Position(commit_hash=before))
    return None if found is None else Place(found.commit_hash, found.created_at, -1, "")


def _find_head(connection: Connection, branch: BranchName, position: Position) -> _Head | None:
    tract_id = branch.tract_id
    named = position.commit_hash
    if named is not UNSET:
        place = place_or_beginning(connection, tract_id, named)
        return place and _with_usage(connection, tract_id, place.commit_hash, place.created_at)
    row = connection.one(sql.HEAD, tract_id=tract_id, name=ref_name(branch.branch))
    if row is None:
        missing_branch(connection, branch)
    if row is None or row[0] is None:
        return None
    if row[1] is None:
        raise lost(row[0])
    check_types(row[0], row[:3], bytes, int, int)
    if position.at_time is None or row[1] <= position.at_time:
        return _Head(row[0], row[1], _usage(row[3:6]), row[6] or 0)
    return _head_at(connection, tract_id, row, position.at_time)


def _head_at(connection: Connection, tract_id: str, head: Sequence[Any], time: int) -> _Head | None:
    """Return the newest commit at or before *time* among *head* and its ancestors.

    It is the newest of the head's segment at that time, unless the branch has been moved since.
    Searching all commits for it and walking back from the head take turns: either can be long.
    """
    older = lineage(connection, sql.WALK, tract_id, head[0], head[1])
    reach = _FIRST_LOOK
    while True:
        found = connection.one(
            sql.NEWEST_IN_SEGMENT, tract_id=tract_id, through=time, segment=head[2], limit=reach
        )
        steps = [(step[0], step[2]) for step in islice(older, reach)]
        found = found or next((step for step in steps if step[1] <= time), None)
        if found is not None:
            return _with_usage(connection, tract_id, *found)
        if len(steps) < reach:
            return None
        reach *= 4


def _with_usage(
    connection: Connection, tract_id: str, commit_hash: bytes, created_at: int
) -> _Head:
    [row] = connection.all(sql.USAGE_AND_ERASURES, tract_id=tract_id, hash=commit_hash)
    return _Head(commit_hash, created_at, _usage(row[:3]), row[3] or 0)


def _usage(columns: Sequence[Any] | None) -> TokenUsage | None:
    return None if columns is None or columns[0] is None else TokenUsage(*columns)


def _steps(
    connection: Connection, tract_id: str, rows: Sequence[Sequence[Any]]
) -> list[CommitStep]:
    steps = steps_of(rows)
    if None in map(_DATA, steps):
        at = [*map(_DATA, steps)].index(None)
        lost = connection.one(sql.COMMIT, tract_id=tract_id, hash=rows[at][0])
        raise BlobNotFoundError(name_of(lost[3]) if lost else "")
    return steps
