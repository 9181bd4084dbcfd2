"""What has arrived on a branch after a point of its history; runs on the connection's thread.

A reader that has passed the line of a commit goes on after it, if the branch's line begins with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import takewhile

from tract.exceptions import CommitNotFoundError
from tract.history.graph import Parents, beyond, first_parents, in_order, part, parted_at
from tract.storage.repositories import (
    Arrivals,
    BranchName,
    CommitRow,
    Cursor,
    Heads,
    TakenBack,
    TractTimes,
)
from tract.storage.sql.ancestry.walk import Place, lost, place_or_beginning, scan
from tract.storage.sql.naming import ref_name
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import head_of, hex_or_none, key_or_none, record_of
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements.erasures import TIMES

__all__ = ["arrivals", "heads_of", "planned", "times_of"]

_PORTION = 256
"""Commits that one trip returns."""
_AHEAD = 4096
"""Commits that a cursor names in advance, so that not every portion searches for the way to them."""


def arrivals(connection: Connection, *, branch: BranchName, cursor: Cursor) -> Arrivals:
    """See `ArrivalRepository.read`."""
    if cursor.ahead:
        return _next_portion(connection, branch, cursor)
    with connection.at_one_moment():
        cursor, taken_back = _looked_ahead(connection, branch, cursor)
        try:
            return _next_portion(connection, branch, cursor)._replace(taken_back=taken_back)
        except CommitNotFoundError as error:
            raise lost(key_or_none(error.commit_hash)) from None  # it existed a moment ago


def _next_portion(connection: Connection, branch: BranchName, cursor: Cursor) -> Arrivals:
    portion, rest = cursor.ahead[:_PORTION], cursor.ahead[_PORTION:]
    times: TractTimes | None = None
    if portion:  # first: they are no later than the records
        times = times_of(connection, [branch.tract_id]).get(branch.tract_id)
    records = _records(connection, branch.tract_id, portion)
    behind = cursor._replace(ahead=rest) if rest else cursor.then or cursor
    return Arrivals(None, records, behind, times)


def times_of(connection: Connection, tract_ids: Iterable[str]) -> dict[str, TractTimes]:
    """See `ErasureRepository.times`."""
    rows = connection.find(TIMES, tract_ids)
    return {tract_id: TractTimes(begun, erased) for tract_id, begun, erased in rows}


def _looked_ahead(
    connection: Connection, branch: BranchName, cursor: Cursor
) -> tuple[Cursor, TakenBack | None]:
    """Return the cursor with the commits that come next, and what was taken back before them."""
    tract_id, base = branch.tract_id, cursor.base
    target = cursor.target or _head(connection, branch)
    if target == base:
        return cursor, None
    ends = (
        place_or_beginning(connection, tract_id, base),
        _target(connection, tract_id, target, cursor),
    )
    commits = partial(scan, connection, tract_id, [end for end in ends if end is not None])
    fresh = dict(beyond(commits(), key_or_none(target), key_or_none(base)))
    if parted_at(fresh, key_or_none(target), fresh) == key_or_none(base):
        return planned(cursor, target, fresh), None
    parting = part(commits, key_or_none(target), key_or_none(base))
    cursor = planned(Cursor(hex_or_none(parting.fork), len(parting.common)), target, parting.fresh)
    if not parting.dropped:
        return cursor, None
    last = parting.common[-1] if parting.common else parting.fork
    return cursor, TakenBack(hex_or_none(last), tuple(key.hex() for key in parting.dropped))


def planned(
    cursor: Cursor, target: str | None, fresh: Mapping[bytes, Parents[bytes]], room: int = _AHEAD
) -> Cursor:
    """Return the next *room* commits on the way to a target, and the cursor after them.

    After a commit on the line of first parents the cursor is just after that commit. Within what a
    merge has brought it is after the merge's first parent, with some commits to skip.
    """
    line = in_order(fresh, key_or_none(target))
    end = cursor.skip + room
    ahead = tuple(commit.hex() for commit in line[cursor.skip : end])
    if end >= len(line):
        return cursor._replace(target=target, ahead=ahead, then=Cursor(target))
    members = {*takewhile(fresh.__contains__, first_parents(fresh, key_or_none(target)))}
    base, skip = cursor.base, end
    for index in range(end - 1, cursor.skip - 1, -1):
        if line[index] in members:
            base, skip = line[index].hex(), end - 1 - index
            break
    return cursor._replace(target=target, ahead=ahead, then=Cursor(base, skip, target))


def _head(connection: Connection, branch: BranchName) -> str | None:
    row = connection.one(sql.BRANCH, tract_id=branch.tract_id, name=ref_name(branch.branch))
    return None if row is None else head_of(row[0])


def _target(
    connection: Connection, tract_id: str, target: str | None, cursor: Cursor
) -> Place | None:
    try:
        return place_or_beginning(connection, tract_id, target)
    except CommitNotFoundError:
        if target == cursor.target:
            raise
        raise lost(key_or_none(target)) from None  # the branch names it


def _records(connection: Connection, tract_id: str, commits: Sequence[str]) -> list[CommitRow]:
    rows = connection.find(sql.RECORDS_OF, map(bytes.fromhex, commits), tract_id=tract_id)
    found = {row[0].hex(): row for row in rows}
    missing = next((commit for commit in commits if commit not in found), None)
    if missing is not None:
        raise CommitNotFoundError(missing)
    return [record_of(found[commit]) for commit in commits]


def heads_of(connection: Connection, *, branches: Sequence[BranchName]) -> Heads:
    """See `ArrivalRepository.heads`."""
    heads = tuple(_head(connection, branch) for branch in branches)
    return Heads(heads, times_of(connection, {branch.tract_id for branch in branches}))
