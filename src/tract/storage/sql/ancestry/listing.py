"""Listings of a history: the log, and an entry's annotations; runs on the connection's thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import dropwhile, islice
from typing import Any

from tract.exceptions import CommitNotFoundError
from tract.history.graph import in_order, line
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import (
    BranchName,
    CommitRow,
    StoredCommit,
    StoredContent,
)
from tract.storage.sql.ancestry.history import find_head_place, record_at
from tract.storage.sql.ancestry.walk import (
    Place,
    find_place,
    is_ancestor,
    is_on_line,
    is_reached,
    lineage,
    scan,
    walk_all,
)
from tract.storage.sql.contents import with_contents
from tract.storage.sql.naming import missing_branch, ref_name
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import (
    as_bytes,
    head_of,
    record_of,
)
from tract.storage.sql.statements import commits as sql

__all__ = ["annotations_of", "log", "log_contents"]

_PARENT, _TIME, _MERGED = 2, 11, 12  # columns of a record
_GLANCE = 64


def log(
    connection: Connection,
    *,
    branch: BranchName,
    limit: int | None,
    before: str | UnsetType | None,
    in_context: bool,
) -> list[CommitRow]:
    """See `HistoryRepository.log`."""
    head = find_head_place(connection, branch)
    after = None if before is UNSET else find_head_place(connection, branch, before)
    if limit == 0 or (head if before is UNSET else after) is None:
        return []
    tract_id = branch.tract_id
    start = _start(connection, tract_id, head, after, in_context=in_context)
    if not in_context:
        found = _by_time(connection, tract_id, start, after)
    else:
        found = (_all_backwards if limit is None else _backwards)(connection, tract_id, start)
        if after is not None:
            found = islice(dropwhile(lambda item: item[0] != after.commit_hash, found), 1, None)
    return [record_at(connection, tract_id, key, row) for key, row in islice(found, limit)]


def log_contents(
    connection: Connection,
    *,
    branch: BranchName,
    limit: int | None,
    before: str | UnsetType | None,
    in_context: bool,
) -> list[tuple[CommitRow, StoredContent]]:
    """See `HistoryRepository.log_contents`."""
    found = log(connection, branch=branch, limit=limit, before=before, in_context=in_context)
    return with_contents(connection, branch.tract_id, found)


def _by_time(
    connection: Connection, tract_id: str, head: Place, after: Place | None
) -> Iterator[tuple[bytes, Sequence[Any] | None]]:
    """Yield what *head* reaches that is older than *after*, newest first."""
    for row in walk_all(connection, sql.WALK_RECORDS, tract_id, [head]):
        if after is None or row[_TIME] < after.created_at:
            yield row[0], row


def _backwards(
    connection: Connection, tract_id: str, head: Place
) -> Iterator[tuple[bytes, Sequence[Any] | None]]:
    """Yield the line of *head* from its end, reading no further than the caller consumes.

    Each commit comes with its record's row if the walk has read it.
    """
    key, time = head.commit_hash, head.created_at
    for row in lineage(connection, sql.WALK_RECORDS, tract_id, key, time):
        yield row[0], row
        if row[_MERGED] is not None:
            commits = scan(connection, tract_id, [Place(row[0], row[_TIME], -1, "")])
            for brought in reversed(line(commits, row[_MERGED], base=row[_PARENT])):
                yield brought, None


def _all_backwards(
    connection: Connection, tract_id: str, head: Place
) -> Iterator[tuple[bytes, Sequence[Any] | None]]:
    """Do what `_backwards` does by one walk that reads everything."""
    rows = {row[0]: row for row in walk_all(connection, sql.WALK_RECORDS, tract_id, [head])}
    parents = {key: (row[_PARENT], row[_MERGED]) for key, row in rows.items()}
    for key in reversed(in_order(parents, head.commit_hash)):
        yield key, rows[key]


def annotations_of(
    connection: Connection, *, branch: BranchName, target: str
) -> list[StoredCommit]:
    """See `HistoryRepository.annotations`."""
    tract_id = branch.tract_id
    place = find_place(connection, tract_id, target)
    if place is None:
        raise CommitNotFoundError(target)
    row = connection.one(sql.BRANCH, tract_id=tract_id, name=ref_name(branch.branch))
    if row is None:
        missing_branch(connection, branch)
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


def _start(
    connection: Connection,
    tract_id: str,
    head: Place | None,
    after: Place | None,
    *,
    in_context: bool,
) -> Place:
    """Return where to begin the portion of the log that follows *after*.

    The commits that follow *after* by time are its ancestors. If a merge came later, what it
    brought lies among them, and only the head reaches it all. *in_context* it does not: the line
    of a first parent is a prefix of the head's.
    """
    if after is None or head is None:
        found = after or head
        assert found is not None
        return found
    if not _may_have_merged(connection, tract_id, head, after):
        return after
    if in_context:
        segments = {_segment(connection, tract_id, end) for end in (head, after)}
        if len(segments) == 1 or is_on_line(connection, tract_id, after, head):
            return after
    return head if is_reached(connection, tract_id, after, [head]) else after


def _segment(connection: Connection, tract_id: str, place: Place) -> int | None:
    found = find_place(connection, tract_id, place.commit_hash.hex())
    return None if found is None else found.segment


def _may_have_merged(connection: Connection, tract_id: str, head: Place, after: Place) -> bool:
    """Return False if a cheap look shows that no merge lies between *after* and *head*."""
    merges = connection.all(
        sql.MERGED_SINCE, tract_id=tract_id, since=after.created_at, limit=_GLANCE
    )
    if not merges or len(merges) == _GLANCE:
        return bool(merges)
    segments = {_segment(connection, tract_id, end) for end in (head, after)} - {None}
    return len(segments) > 1 or any(row[0] in segments for row in merges)
