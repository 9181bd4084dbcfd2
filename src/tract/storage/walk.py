"""Walking a history on the connection's thread.

Time strictly increases within a tract, so a parent always lies before its child: one scan
of the tract's commits, newest first, meets every ancestor in order. Commits of other
branches are passed over. Where a branch is the whole tract, nothing is read in vain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from tract.exceptions import StoreCorruptError
from tract.storage import statements as sql
from tract.storage.rows import check_types, name_of
from tract.storage.statements import Statement

__all__ = ["Place", "digest", "find_place", "is_ancestor", "lost", "walk"]

_FIRST_READ = 4
_LARGEST_READ = 2048


class Place(NamedTuple):
    """Where a commit stands in its tract."""

    commit_hash: bytes
    created_at: int
    segment: int
    operation: str


def digest(commit_hash: object) -> bytes | None:
    """Return the bytes of a hash; None for None, and for what is no hash at all."""
    if not issubclass(type(commit_hash), str):
        return None
    name = str.__str__(commit_hash)
    if len(name) != 64:
        return None
    try:
        key = bytes.fromhex(name)
    except ValueError:
        return None
    return key if key.hex() == name else None  # capitals and spaces name nothing


def find_place(connection: sqlite3.Connection, tract_id: str, commit_hash: str) -> Place | None:
    """Return where a commit stands, or None if the tract has none of that name."""
    key = digest(commit_hash)
    if key is None:
        return None
    row = sql.PLACE.one(connection, tract_id=tract_id, hash=key)
    if row is None:
        return None
    check_types(key, row[:3], int, int, str)
    return Place(key, row[0], row[1], row[2])


def lost(commit_hash: object) -> StoreCorruptError:
    """Return the error for a commit that a ref or a child names, and that is not there."""
    return StoreCorruptError(
        f"the commit {name_of(commit_hash)} is missing from the history. Run `verify()` for all that "
        "is missing, and restore the file from a backup."
    )


def is_ancestor(connection: sqlite3.Connection, tract_id: str, place: Place, head: Place) -> bool:
    """Tell whether *place* is *head* or one of its ancestors."""
    if place.created_at > head.created_at:
        return False
    if place.segment == head.segment:
        return True
    for row in walk(connection, sql.WALK, tract_id, head.commit_hash, head.created_at, 1, 2):
        if row[2] <= place.created_at:
            return bool(row[0] == place.commit_hash)
    return False


def walk(
    connection: sqlite3.Connection,
    statement: Statement,
    tract_id: str,
    head: bytes,
    through: int,
    parent: int,
    time: int,
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of *head* and its ancestors, newest first, read in growing portions.

    *through* is the head's time. *statement* gives the commit's hash in its first column, the
    parent's in column *parent* and the time in column *time*. The walk ends at a commit without
    parent, or where a parent is missing.
    """
    wanted: bytes | None = head
    limit = _FIRST_READ
    while wanted is not None:
        rows = statement.all(connection, tract_id=tract_id, through=through, limit=limit)
        for row in rows:
            if row[0] == wanted:
                yield row
                wanted = row[parent]
        if len(rows) < limit:
            return
        through = rows[-1][time] - 1
        limit = min(limit * 4, _LARGEST_READ)
