"""What has come to a branch after some point of its history, on the connection's thread.

A history is a graph: each commit follows its parents, which are older. Its line puts it in an
order: that of its first parent comes first, then what its other parent brings, then the
commit itself. So the line of a first parent begins the line of its child, and who has read up
to a commit goes on behind it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tract.exceptions import CommitNotFoundError
from tract.storage import statements as sql
from tract.storage.names import ref_name
from tract.storage.repositories import Arrivals, BranchName, CommitRecord, Cursor
from tract.storage.rows import record_of
from tract.storage.walk import find_place, lost

__all__ = ["Difference", "HeadWatch", "arrivals", "compare", "in_line", "planned"]

_PAGE = 256
"""Commits that one trip brings along."""
_AHEAD = 4096
"""Commits that a cursor names in advance, so that the way to them is not searched for each page."""
_FIRST_READ = 4
_LARGEST_READ = 2048

Parents = tuple[bytes, ...]
Commit = tuple[bytes, Parents]


class Difference(NamedTuple):
    """What a head has and a base has not: the parents of each such commit, newest first.

    `shared` is the newest commit on the head's line of first parents that the base has, too; it
    is the base itself where the head has all of the base in its history, else the branch was moved.
    """

    fresh: Mapping[bytes, Parents]
    shared: bytes | None
    contains_base: bool


def compare(newest_first: Iterable[Commit], head: bytes | None, base: bytes | None) -> Difference:
    """Return how *head* differs from *base*; each may be None, which has no commits.

    *newest_first* has the commits of both with their parents, and may have others. It is read as
    far as it must be.

    Raises:
        StoreCorruptError: a commit is missing.
    """
    theirs = set() if base is None else {base}
    ours = set() if head is None else {head} - theirs
    fresh: dict[bytes, Parents] = {}
    contains_base = base is None or base == head
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
            contains_base = contains_base or base in parents
            ours.update(parent for parent in parents if parent not in theirs)
    return Difference(fresh, _first_shared(fresh, head), contains_base)


def _first_parents(fresh: Mapping[bytes, Parents], head: bytes | None) -> list[bytes]:
    """Return the line of first parents from *head*, as far as it is fresh."""
    members: list[bytes] = []
    while head is not None and head in fresh:
        members.append(head)
        head = fresh[head][0] if fresh[head] else None
    return members


def _first_shared(fresh: Mapping[bytes, Parents], head: bytes | None) -> bytes | None:
    line = _first_parents(fresh, head)
    if not line:
        return head
    parents = fresh[line[-1]]
    return parents[0] if parents else None


def in_line(fresh: Mapping[bytes, Parents], head: bytes | None) -> list[bytes]:
    """Return the commits of *fresh* that *head* reaches, in the order of its line."""
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


def arrivals(connection: sqlite3.Connection, *, branch: BranchName, cursor: Cursor) -> Arrivals:
    """See `ArrivalRepository.read`."""
    moved = None
    if not cursor.ahead:
        cursor, moved = _looked_ahead(connection, branch, cursor)
    page, rest = cursor.ahead[:_PAGE], cursor.ahead[_PAGE:]
    records = [_record(connection, branch.tract_id, commit) for commit in page]
    behind = cursor._replace(ahead=rest) if rest else cursor.then or cursor
    return Arrivals(moved, records, behind)


def _looked_ahead(
    connection: sqlite3.Connection, branch: BranchName, cursor: Cursor
) -> tuple[Cursor, Cursor | None]:
    """Return the cursor with what comes next, and where it was moved to if its branch was."""
    target = cursor.target or _head(connection, branch)
    if target == cursor.base:
        return cursor, None
    tract_id = branch.tract_id
    base = cursor.base
    through = max(_time(connection, tract_id, target), _time(connection, tract_id, base))
    found = compare(_scan(connection, tract_id, through), _key(target), _key(base))
    moved = None
    if not found.contains_base:
        base = None if found.shared is None else found.shared.hex()
        moved = Cursor(base)
        found = compare(_scan(connection, tract_id, through), _key(target), _key(base))
        cursor = moved
    return planned(cursor, target, found.fresh), moved


def planned(
    cursor: Cursor, target: str | None, fresh: Mapping[bytes, Parents], room: int = _AHEAD
) -> Cursor:
    """Name the next *room* commits on the way to a target, and where the cursor stands then.

    Behind a commit on the line of first parents it stands at that commit; within what a merge has
    brought, at the first parent of the merge, with some commits to skip.
    """
    line = in_line(fresh, _key(target))
    base: str | None
    end = cursor.skip + room
    ahead = tuple(commit.hex() for commit in line[cursor.skip : end])
    if end >= len(line):
        return cursor._replace(target=target, ahead=ahead, then=Cursor(target))
    # A commit of the head's line names all before it only where that line starts at the base.
    on_line = _first_shared(fresh, _key(target)) == _key(cursor.base)
    first_parents = set(_first_parents(fresh, _key(target)) if on_line else ())
    for index in range(end - 1, cursor.skip - 1, -1):
        if line[index] in first_parents:
            base, skip = line[index].hex(), end - 1 - index
            break
    else:
        base, skip = cursor.base, end
    return cursor._replace(target=target, ahead=ahead, then=Cursor(base, skip, target))


def _key(commit_hash: str | None) -> bytes | None:
    return None if commit_hash is None else bytes.fromhex(commit_hash)


def _head(connection: sqlite3.Connection, branch: BranchName) -> str | None:
    row = sql.BRANCH.one(connection, tract_id=branch.tract_id, name=ref_name(branch.branch))
    return row[0].hex() if row else None


def _time(connection: sqlite3.Connection, tract_id: str, commit_hash: str | None) -> int:
    if commit_hash is None:
        return 0
    place = find_place(connection, tract_id, commit_hash)
    if place is None:
        raise CommitNotFoundError(commit_hash)
    return place.created_at


def _scan(connection: sqlite3.Connection, tract_id: str, through: int) -> Iterator[Commit]:
    """Yield the tract's commits up to a time with their parents, newest first."""
    limit = _FIRST_READ
    while True:
        rows = sql.WALK.all(connection, tract_id=tract_id, through=through, limit=limit)
        for row in rows:
            yield row[0], _parents(row)
        if len(rows) < limit:
            return
        through = rows[-1][2] - 1
        limit = min(limit * 4, _LARGEST_READ)


def _parents(row: Sequence[Any]) -> Parents:
    """Return the parents of a row of the walk: the second column, and any behind the time."""
    return tuple(parent for parent in (row[1], *row[3:]) if parent is not None)


def _record(connection: sqlite3.Connection, tract_id: str, commit_hash: str) -> CommitRecord:
    key = bytes.fromhex(commit_hash)
    row = sql.COMMIT.one(connection, tract_id=tract_id, hash=key)
    if row is None:
        raise lost(key)
    return record_of(row)


class HeadWatch:
    """Tells what some branches point to, if anything was written since it was asked before.

    Each connection counts for itself what others have committed:
    https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self) -> None:
        self._versions: dict[int, int] = {}

    def look(
        self, connection: sqlite3.Connection, *, branches: Sequence[BranchName]
    ) -> list[str | None] | None:
        """See `ArrivalRepository.heads`."""
        version = connection.execute("PRAGMA data_version").fetchall()[0][0]
        if self._versions.get(id(connection)) == version:
            return None
        self._versions[id(connection)] = version  # before the heads: better once too often
        return [_head(connection, branch) for branch in branches]
