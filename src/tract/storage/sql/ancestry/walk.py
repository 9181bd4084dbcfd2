"""Walking a history, the ancestors of some heads newest first; runs on the connection's thread.

Time strictly increases within a tract, so a parent always comes before its child: one scan of the
tract's commits, newest first, meets every ancestor in order, by whichever parent. If a branch is
most of its tract, that is the quickest way. When a scan meets little but commits of other branches,
the walk goes on from child to parent instead, looking each up by hash, and tries another scan now
and then. So a walk costs what its branch costs, whatever the branch's siblings hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Any, NamedTuple

from tract.exceptions import CommitNotFoundError, StoreCorruptError
from tract.history.graph import Commit
from tract.storage.sql.naming import condemned_key, is_beginning, look_up
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import check_types, name_of
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements.commits import Walk

__all__ = [
    "Place",
    "count_of",
    "find_place",
    "is_ancestor",
    "is_on_line",
    "is_reached",
    "lineage",
    "lost",
    "place_or_beginning",
    "scan",
    "walk_all",
]

_LATEST = 2**62
_FIRST_READ = 4
_LARGEST_READ = 2048
_SPARSE = 8
"""Looking one commit up by hash takes as long as scanning about eight."""


class Place(NamedTuple):
    """The place of a commit in its tract."""

    commit_hash: bytes
    created_at: int
    segment: int
    operation: str


def find_place(
    connection: Connection, tract_id: str, commit_hash: str | None, *, to_stay: bool = False
) -> Place | None:
    """Return the place of the commit that a hash or a ref names, or None.

    With *to_stay*, None also for a commit that an erasure of the whole tract is going to delete.
    """
    key, ref = look_up(connection, tract_id, commit_hash)
    if key is None:
        return None
    if ref is None:
        row = _to_stay(connection, tract_id, key) if to_stay else _at(connection, tract_id, key)
    else:
        row = None if ref[0] is None else ref[1:]
    if row is None:
        return None
    check_types(key, row[:3], int, int, str)
    return Place(key, row[0], row[1], row[2])


def _at(connection: Connection, tract_id: str, key: bytes) -> Row | None:
    return connection.one(sql.PLACE, tract_id=tract_id, hash=key)


def _to_stay(connection: Connection, tract_id: str, key: bytes) -> Row | None:
    condemned = condemned_key(tract_id)
    return connection.one(sql.PLACE_TO_STAY, tract_id=tract_id, hash=key, condemned=condemned)


def place_or_beginning(
    connection: Connection, tract_id: str, named: str | None, *, to_stay: bool = False
) -> Place | None:
    """Return the place of the commit that *named* stands for; None for an empty history.

    With *to_stay*, a commit that an erasure of the whole tract is going to delete is not there.

    Raises:
        CommitNotFoundError: *named* stands for nothing.
    """
    place = find_place(connection, tract_id, named, to_stay=to_stay)
    if place is None and named is not None and not is_beginning(connection, tract_id, named):
        raise CommitNotFoundError(named)
    return place


def count_of(
    connection: Connection,
    tract_id: str,
    *,
    limit: int,
    after: int = 0,
    through: int = _LATEST,
) -> int:
    """Return the number of commits between two times, or *limit* if there are more."""
    rows = connection.all(sql.COUNT, tract_id=tract_id, after=after, through=through, limit=limit)
    count: int = rows[0][0]
    return count


def lost(commit_hash: object) -> StoreCorruptError:
    """Return the error for a commit that a ref or a child names but that is missing."""
    return StoreCorruptError(
        f"the commit {name_of(commit_hash)} is missing from the history. Run `verify()` to list "
        "all damage, and restore the file from a backup."
    )


def is_ancestor(connection: Connection, tract_id: str, place: Place, head: Place) -> bool:
    """Return True if *place* is *head* or one of its ancestors."""
    if place.created_at <= head.created_at and place.segment == head.segment:
        return True
    return is_reached(connection, tract_id, place, [head])


def is_reached(connection: Connection, tract_id: str, place: Place, heads: Sequence[Place]) -> bool:
    """Return True if *place* is one of *heads* or of their ancestors; takes a single walk."""
    later = [head for head in heads if head.created_at >= place.created_at]
    return _meets(walk_all(connection, sql.WALK, tract_id, later), place)


def is_on_line(connection: Connection, tract_id: str, place: Place, head: Place) -> bool:
    """Return True if *place* is *head*, its parent, that one's parent and so on."""
    if place.created_at > head.created_at:
        return False
    return _meets(lineage(connection, sql.WALK, tract_id, head.commit_hash, head.created_at), place)


def _meets(rows: Iterable[tuple[Any, ...]], place: Place) -> bool:
    """Return True if *rows* of `WALK` have that of *place*; reads none that are older."""
    row = next((row for row in rows if row[2] <= place.created_at), None)
    return row is not None and bool(row[0] == place.commit_hash)


def lineage(
    connection: Connection, walk: Walk, tract_id: str, head: bytes, through: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of *head*, its parent, that one's parent and so on.

    *through* is the head's time. Commits that a merge brought are skipped.

    Raises:
        StoreCorruptError: a parent is missing.
    """
    return _walked(connection, walk._replace(merged=walk.parent), tract_id, {head}, through)


def walk_all(
    connection: Connection, walk: Walk, tract_id: str, heads: Sequence[Place]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of *heads* and all their ancestors, newest first.

    Raises:
        StoreCorruptError: a parent is missing.
    """
    through = max((head.created_at for head in heads), default=0)
    return _walked(connection, walk, tract_id, {head.commit_hash for head in heads}, through)


def scan(connection: Connection, tract_id: str, heads: Sequence[Place]) -> Iterator[Commit[bytes]]:
    """Yield the commits that *heads* reach, with their parents, newest first."""
    return ((row[0], (row[1], row[3])) for row in walk_all(connection, sql.WALK, tract_id, heads))


def _walked(
    connection: Connection, walk: Walk, tract_id: str, wanted: set[bytes], through: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of *wanted*, which is consumed, and of their ancestors, newest first."""
    met, reach = 0, _FIRST_READ
    while wanted:
        before = met
        rows = connection.all(walk.by_time, tract_id=tract_id, through=through, limit=reach)
        for row in rows:
            if row[0] in wanted:
                met += 1
                yield row
                _follow(walk, row, wanted)
                if not wanted:
                    return
        if len(rows) < reach:
            raise lost(_first_of(wanted))
        through = rows[-1][walk.time] - 1
        dense = (met - before) * _SPARSE >= reach
        reach = min(max(4 * met, _FIRST_READ), _LARGEST_READ)  # bounds the share read in vain
        if dense:
            continue
        for row in islice(_by_parents(connection, walk, tract_id, wanted, through), reach):
            met += 1
            yield row
            _follow(walk, row, wanted)
            through = row[walk.time] - 1
        reach = max(reach // _SPARSE, _FIRST_READ)


def _by_parents(
    connection: Connection, walk: Walk, tract_id: str, wanted: set[bytes], through: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the newest of *wanted* until none is left; the caller replaces each by its parents.

    Raises:
        StoreCorruptError: a parent is missing; all other commits have been yielded.
    """
    waiting: list[tuple[int, tuple[Any, ...]]] = []
    new, looked_up = wanted.copy(), set[bytes]()
    while wanted:
        looked_up |= new
        for key in new:
            row = connection.one(walk.by_hash, tract_id=tract_id, hash=key)
            if row is not None and isinstance(row[walk.time], int) and row[walk.time] <= through:
                heappush(waiting, (-row[walk.time], row))
        if not waiting:
            raise lost(_first_of(wanted))
        row = heappop(waiting)[1]
        yield row
        through = row[walk.time] - 1
        new = _parents(walk, row) - looked_up


def _follow(walk: Walk, row: tuple[Any, ...], wanted: set[bytes]) -> None:
    """Replace a row in *wanted* by its parents; runs once per commit, so it builds no set."""
    wanted.discard(row[0])
    parent, merged = row[walk.parent], row[walk.merged]
    if parent is not None:
        wanted.add(parent)
    if merged is not None:
        wanted.add(merged)


def _parents(walk: Walk, row: tuple[Any, ...]) -> set[bytes]:
    return {key for key in (row[walk.parent], row[walk.merged]) if key is not None}


def _first_of(keys: set[bytes]) -> bytes:
    """Return the same key each time, whatever type a damaged row has for a hash."""
    return min(keys, key=name_of)
