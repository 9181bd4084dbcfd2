"""The line of a head, its history in the order of the fold; runs on the connection's thread.

A history is a graph: each commit follows its parents, which are older. Its line is an order: first
the line of the first parent, then what the other parent brings, then the commit itself. So the line
of a first parent is a prefix of the line of its child.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tract.storage.sql import statements as sql
from tract.storage.sql.ancestry.walk import Place, lineage, lost, walk_all
from tract.storage.sql.port import Connection

__all__ = [
    "Difference",
    "Parents",
    "Parting",
    "all_backwards",
    "backwards",
    "compare",
    "first_parents",
    "in_line",
    "part",
    "scan",
]

_PARENT, _TIME, _MERGED = 2, 11, 12  # columns of a record

Parents = tuple[bytes, ...]
Commit = tuple[bytes, Parents]


class Difference(NamedTuple):
    """What a head has and a base lacks: the parents of each such commit, newest first.

    `shared` is the newest of the head's first parents that the base has too. It is the base itself
    if the base's line is a prefix of the head's.
    """

    fresh: Mapping[bytes, Parents]
    shared: bytes | None


class Parting(NamedTuple):
    """How the lines of a head and of a base diverge.

    Both begin with the line of `fork`, the newest first parent that they share, followed by
    `common`. The base's goes on with `dropped`. `fresh` is what the head has beyond `fork`.
    """

    fork: bytes | None
    common: Sequence[bytes]
    dropped: Sequence[bytes]
    fresh: Mapping[bytes, Parents]


def compare(newest_first: Iterable[Commit], head: bytes | None, base: bytes | None) -> Difference:
    """Return how *head* differs from *base*; None is a history without commits.

    *newest_first* yields the commits of both with their parents, and maybe others. It is read only
    as far as necessary.

    Raises:
        StoreCorruptError: a commit is missing.
    """
    theirs = set() if base is None else {base}
    ours = set() if head is None else {head} - theirs
    fresh: dict[bytes, Parents] = {}
    commits = iter(newest_first)
    while ours:
        commit_hash, parents = next(commits, (b"", None))
        if parents is None:
            raise lost(min(ours))
        if commit_hash in theirs:
            theirs.remove(commit_hash)
            theirs.update(parents)
            ours.difference_update(parents)
        elif commit_hash in ours:
            ours.remove(commit_hash)
            fresh[commit_hash] = parents
            ours.update(parent for parent in parents if parent not in theirs)
    return Difference(fresh, _first_shared(fresh, head))


def part(
    newest_first: Callable[[], Iterable[Commit]], head: bytes | None, base: bytes | None
) -> Parting:
    """Return how the lines of *head* and *base* diverge; see `compare` for the rest."""
    fork = _fork(newest_first(), head, base)
    fresh = compare(newest_first(), head, fork).fresh
    new = in_line(fresh, head)
    old = in_line(compare(newest_first(), base, fork).fresh, base)
    same = next(
        (at for at, (one, other) in enumerate(zip(new, old, strict=False)) if one != other),
        min(len(new), len(old)),
    )
    return Parting(fork, new[:same], old[same:], fresh)


def _fork(newest_first: Iterable[Commit], head: bytes | None, base: bytes | None) -> bytes | None:
    """Return the newest commit that is a first parent of both; each counts as its own."""
    ends = {head, base}
    commits = iter(newest_first)
    while len(ends) > 1:
        if None in ends:
            return None
        commit_hash, parents = next(commits, (b"", None))
        if parents is None:
            raise lost(min(end for end in ends if end is not None))
        if commit_hash in ends:
            ends.remove(commit_hash)
            ends.add(parents[0] if parents else None)
    return ends.pop()


def first_parents(fresh: Mapping[bytes, Parents], head: bytes | None) -> list[bytes]:
    """Return *head*, its first parent, that one's first parent and so on, while they are fresh."""
    members: list[bytes] = []
    while head is not None and head in fresh:
        members.append(head)
        head = fresh[head][0] if fresh[head] else None
    return members


def _first_shared(fresh: Mapping[bytes, Parents], head: bytes | None) -> bytes | None:
    members = first_parents(fresh, head)
    if not members:
        return head
    parents = fresh[members[-1]]
    return parents[0] if parents else None


def in_line(fresh: Mapping[bytes, Parents], head: bytes | None) -> list[bytes]:
    """Return the commits of *fresh* that *head* reaches, in the order of the head's line."""
    if all(len(parents) < 2 for parents in fresh.values()):
        return [*fresh][::-1]
    line: list[bytes] = []
    seen: set[bytes] = set()
    stack = [(head, False)]
    while stack:
        commit, parents_done = stack.pop()
        if commit is None or commit not in fresh:
            continue
        if parents_done:
            line.append(commit)
        elif commit not in seen:
            seen.add(commit)
            stack.append((commit, True))
            stack.extend((parent, False) for parent in reversed(fresh[commit]))
    return line


def scan(connection: Connection, tract_id: str, heads: Sequence[Place]) -> Iterator[Commit]:
    """Yield the commits that *heads* reach, with their parents, newest first."""
    for row in walk_all(connection, sql.WALK, tract_id, heads):
        yield row[0], tuple(parent for parent in (row[1], row[3]) if parent is not None)


def backwards(
    connection: Connection, tract_id: str, head: Place
) -> Iterator[tuple[bytes, Sequence[Any] | None]]:
    """Yield the line of *head* from its end, reading no further than the caller consumes.

    Each commit comes with its record's row if the walk has read it.

    Raises:
        StoreCorruptError: a commit is missing.
    """
    key, time = head.commit_hash, head.created_at
    for row in lineage(connection, sql.WALK_RECORDS, tract_id, key, time):
        yield row[0], row
        if row[_MERGED] is not None:
            for brought in _brought(connection, tract_id, row):
                yield brought, None


def _brought(connection: Connection, tract_id: str, merge: Sequence[Any]) -> Iterable[bytes]:
    """Return what a merge has brought, in reverse order."""
    theirs = merge[_MERGED]
    commits = scan(connection, tract_id, [Place(merge[0], merge[_TIME], -1, "")])
    return reversed(in_line(compare(commits, theirs, merge[_PARENT]).fresh, theirs))


def all_backwards(
    connection: Connection, tract_id: str, head: Place
) -> Iterator[tuple[bytes, Sequence[Any] | None]]:
    """Do what `backwards` does by one walk that reads everything."""
    rows = {row[0]: row for row in walk_all(connection, sql.WALK_RECORDS, tract_id, [head])}
    parents = {
        key: tuple(parent for parent in (row[_PARENT], row[_MERGED]) if parent is not None)
        for key, row in rows.items()
    }
    for key in reversed(in_line(parents, head.commit_hash)):
        yield key, rows[key]
