"""Walking a history on the connection's thread.

Time strictly increases within a tract, so a parent always lies before its child: one scan
of the tract's commits, newest first, meets every ancestor in order, by whichever parent.
Commits of other branches are passed over. Where a branch is the whole tract, nothing is read
in vain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tract.exceptions import CommitNotFoundError, StoreCorruptError
from tract.storage import statements as sql
from tract.storage.names import is_beginning, key_of
from tract.storage.rows import check_types, name_of
from tract.storage.statement import Statement

__all__ = [
    "Place",
    "find_place",
    "is_ancestor",
    "is_reached",
    "lineage",
    "lost",
    "newest_first",
    "place_or_beginning",
    "walk_all",
]

_FIRST_READ = 4
_LARGEST_READ = 2048


class Place(NamedTuple):
    """Where a commit stands in its tract."""

    commit_hash: bytes
    created_at: int
    segment: int
    operation: str


def find_place(
    connection: sqlite3.Connection, tract_id: str, commit_hash: str | None
) -> Place | None:
    """Return where a commit stands, given by its hash or by the name of a ref, or None."""
    key = key_of(connection, tract_id, commit_hash)
    if key is None:
        return None
    row = sql.PLACE.one(connection, tract_id=tract_id, hash=key)
    if row is None:
        return None
    check_types(key, row[:3], int, int, str)
    return Place(key, row[0], row[1], row[2])


def place_or_beginning(
    connection: sqlite3.Connection, tract_id: str, named: str | None
) -> Place | None:
    """Return where the commit that *named* stands for is; None for None and an empty branch.

    Raises:
        CommitNotFoundError: *named* stands for nothing.
    """
    place = find_place(connection, tract_id, named)
    if place is None and named is not None and not is_beginning(connection, tract_id, named):
        raise CommitNotFoundError(named)
    return place


def lost(commit_hash: object) -> StoreCorruptError:
    """Return the error for a commit that a ref or a child names, and that is not there."""
    return StoreCorruptError(
        f"the commit {name_of(commit_hash)} is missing from the history. Run `verify()` for all that "
        "is missing, and restore the file from a backup."
    )


def is_ancestor(connection: sqlite3.Connection, tract_id: str, place: Place, head: Place) -> bool:
    """Tell whether *place* is *head* or one of its ancestors."""
    if place.created_at <= head.created_at and place.segment == head.segment:
        return True
    return is_reached(connection, tract_id, place, [head])


def is_reached(
    connection: sqlite3.Connection, tract_id: str, place: Place, heads: Sequence[Place]
) -> bool:
    """Tell whether *place* is one of *heads* or one of their ancestors; a single walk."""
    later = [head for head in heads if head.created_at >= place.created_at]
    if not later:
        return False
    for row in walk_all(connection, sql.WALK, tract_id, later):
        if row[2] <= place.created_at:
            return bool(row[0] == place.commit_hash)
    return False


def lineage(
    connection: sqlite3.Connection,
    statement: Statement,
    tract_id: str,
    head: bytes,
    through: int,
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of *head*, its parent, that one's parent and so on.

    *through* is the head's time. *statement* gives the commit's hash, its parent's and its time
    first. What a merge brought is passed over.

    Raises:
        StoreCorruptError: a parent is missing.
    """
    wanted: bytes | None = head
    for row in newest_first(connection, statement, tract_id, through, 2):
        if row[0] == wanted:
            yield row
            wanted = row[1]
            if wanted is None:
                return
    if wanted is not None:
        raise lost(wanted)


def walk_all(
    connection: sqlite3.Connection,
    statement: Statement,
    tract_id: str,
    heads: Sequence[Place],
    *,
    columns: tuple[int, int, int] = (1, 2, 3),
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of *heads* and of all their ancestors, newest first.

    *statement* gives the commit's hash first; *columns* are those of its parent's hash, its time,
    and the hash of the head that it merged.

    Raises:
        StoreCorruptError: a parent is missing.
    """
    parent, time, merged = columns
    wanted = {head.commit_hash for head in heads}
    through = max((head.created_at for head in heads), default=0)
    for row in newest_first(connection, statement, tract_id, through, time) if wanted else ():
        if row[0] in wanted:
            wanted.discard(row[0])
            yield row
            wanted.update(key for key in (row[parent], row[merged]) if key is not None)
            if not wanted:
                return
    for missing in sorted(wanted):
        raise lost(missing)


def newest_first(
    connection: sqlite3.Connection, statement: Statement, tract_id: str, through: int, time: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a tract up to a time, newest first, read in growing portions."""
    limit = _FIRST_READ
    while True:
        rows = statement.all(connection, tract_id=tract_id, through=through, limit=limit)
        yield from rows
        if len(rows) < limit:
            return
        through = rows[-1][time] - 1
        limit = min(limit * 4, _LARGEST_READ)
