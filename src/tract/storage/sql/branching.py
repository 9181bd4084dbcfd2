"""Reads of a tract's branches; runs on the connection's thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from tract.exceptions import CommitNotFoundError
from tract.history.graph import beyond
from tract.models.operations import CommitOperation
from tract.storage.repositories import BranchName, Misplaced, Move, RefRecord
from tract.storage.sql.ancestry.walk import Place, find_place, lost, scan
from tract.storage.sql.naming import BRANCHES, key_of, missing_branch, ref_name
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import hash_of, head_of, hex_or_none, is_in_place, sound
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import refs

__all__ = [
    "Reached",
    "head",
    "heads",
    "is_kept",
    "joints",
    "list_refs",
    "misplaced",
    "moves",
    "newest",
    "reached_by",
]

_FOR_EVER = 2**62


_CREATED = "create"
_RUN = (str, int, bytes | None, int, str, str | None)
_MOVE = (int, bytes | None, bytes, str, str | None, int)


class _At(NamedTuple):
    """A move and its position among the others, even those of the same microsecond."""

    time: int
    segment: int
    order: int
    move: Move


def list_refs(connection: Connection, *, tract_id: str, prefix: str) -> list[RefRecord]:
    """Return a tract's branches or tags, sorted by their names without *prefix*."""
    low, high = prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
    rows = connection.all(refs.REFS, tract_id=tract_id, low=low, high=high)
    return [
        RefRecord(row[0][len(prefix) :], hex_or_none(row[1]), row[2], row[3])
        for row in sound(rows, str, bytes | None, int, int)
    ]


def head(connection: Connection, *, branch: BranchName) -> str | None:
    """See `RefRepository.head`."""
    row = connection.one(sql.BRANCH, tract_id=branch.tract_id, name=ref_name(branch.branch))
    if row is None:
        missing_branch(connection, branch)
    return head_of(row[0]) if row else None


def heads(connection: Connection, *, tract_id: str) -> list[str]:
    """See `VerifyRepository.heads`."""
    return [hash_of(row[0]) for row in connection.all(refs.HEADS, tract_id=tract_id)]


def newest(connection: Connection, *, tract_id: str) -> list[Any]:
    """Return the key of a tract's newest commit, if it has any."""
    rows = connection.all(sql.WALK.by_time, tract_id=tract_id, through=_FOR_EVER, limit=1)
    return [row[0] for row in rows]


def misplaced(connection: Connection, *, tract_id: str) -> list[Misplaced]:
    """Return the branches of `VerifyRepository.misplaced`."""
    found = [
        Misplaced((row[2] or row[3]).hex(), row[4].removeprefix(BRANCHES))
        for row in connection.all(refs.PLACES, tract_id=tract_id)
        if not is_in_place(*row[:4])
    ]
    for key, name in connection.all(refs.STRAYS, tract_id=tract_id):
        if key is not None:
            found.append(Misplaced(key.hex(), str(name)))
    return found


def is_kept(connection: Connection, branch: BranchName, head: str) -> bool:
    """Return True if a branch's commits stay reachable without it.

    They do if other branches or tags reach all that its head reaches, merges aside, so that
    merging it there would bring nothing. They also do if others reach a squash of it.
    """
    tract_id = branch.tract_id
    rows = connection.all(refs.KEEPERS, tract_id=tract_id, source=bytes.fromhex(head))
    found = [
        (name, Place(*place)) for name, *place in sound(rows, str | None, bytes, int, int, str)
    ]
    own = ref_name(branch.branch)
    place = next((place for name, place in found if name == own), None)
    if place is None:
        return False
    others = [place for name, place in found if name is not None and name != own]
    reached = Reached(others, joints(connection, tract_id, since=place.created_at))
    if place in reached or any(squash in reached for name, squash in found if name is None):
        return True
    return place.operation == CommitOperation.MERGE and _only_merges_beyond(
        connection, tract_id, place, others
    )


def reached_by(
    connection: Connection, *, tract_id: str, named: Sequence[str]
) -> dict[str, list[str]]:
    """See `RefRepository.reached_by`."""
    with connection.at_one_moment():
        places = _places(connection, tract_id, named)
        since = min((place.created_at for place in places.values()), default=0)
        found = joints(connection, tract_id, since=since)
        rows = connection.all(refs.TIPS, tract_id=tract_id)
    reached = {
        name.removeprefix(BRANCHES): Reached([Place(key, time, segment, "")], found)
        for name, key, time, segment in sound(rows, str, bytes, int, int)
    }
    return {
        name: [branch for branch, commits in reached.items() if place in commits]
        for name, place in places.items()
    }


def _places(connection: Connection, tract_id: str, named: Sequence[str]) -> dict[str, Place]:
    keys = {name: key_of(connection, tract_id, name) for name in named}
    rows = connection.find(refs.PLACES_OF, filter(None, keys.values()), tract_id=tract_id)
    found = {
        key: Place(key, time, segment, "") for key, time, segment in sound(rows, bytes, int, int)
    }
    missing = next((name for name, key in keys.items() if key not in found), None)
    if missing is not None:
        raise CommitNotFoundError(missing)
    return {name: found[key] for name, key in keys.items() if key is not None}


def _only_merges_beyond(
    connection: Connection, tract_id: str, head: Place, others: Sequence[Place]
) -> bool:
    """Return True if everything that *head* reaches and *others* do not is a merge."""
    reached = Reached(others, joints(connection, tract_id, since=0))

    def is_reached(key: bytes) -> bool:
        place = find_place(connection, tract_id, key.hex())
        if place is None:
            raise lost(key)
        return place in reached

    commits = scan(connection, tract_id, [head])
    own = beyond(commits, head.commit_hash, None, known=is_reached)
    return all(merge_parent is not None for _, (_, merge_parent) in own)


class _Joint(NamedTuple):
    """Where a segment goes on from a commit of another; see `refs.JOINTS`."""

    segment: int
    time: int
    source_segment: int
    source_time: int


def joints(connection: Connection, tract_id: str, *, since: int) -> list[_Joint]:
    """Return what leads to commits since some time, those that lead to the newest first."""
    rows = connection.all(refs.JOINTS, tract_id=tract_id, since=since)
    found = [_Joint(*row) for row in sound(rows, int, int, int, int) if row[3] >= since]
    return sorted(found, key=attrgetter("source_time"), reverse=True)


class Reached:
    """The commits that some heads reach, as far back as *joints* lead.

    Every commit of a segment reaches the earlier ones. So only the places where segments go on
    from others are read, however many commits lie between.
    """

    def __init__(self, heads: Iterable[Place], joints: Iterable[_Joint]) -> None:
        self.until: dict[int, int] = {}
        """The time of the last of them in each segment."""
        for head in heads:
            self._add(head.segment, head.created_at)
        for segment, time, source_segment, source_time in joints:
            if self._has(segment, time):
                self._add(source_segment, source_time)

    def __contains__(self, place: Place) -> bool:
        return self._has(place.segment, place.created_at)

    def _has(self, segment: int, time: int) -> bool:
        return self.until.get(segment, -1) >= time

    def _add(self, segment: int, time: int) -> None:
        """Add all commits of a segment up to a time."""
        self.until[segment] = max(time, self.until.get(segment, time))


def moves(connection: Connection, *, tract_id: str) -> list[Move]:
    """Return where a tract's branches have pointed, oldest first."""
    found: list[_At] = []
    names: dict[int, str] = {}
    ended: dict[str, bytes | None] = {}
    runs = connection.all(refs.RUNS, tract_id=tract_id)
    for row in sound(runs, *_RUN, bytes | None, int, str):
        name = row[0].removeprefix(BRANCHES)
        names[row[1]] = name
        found += _start(name, row, ended)
        ended[name] = row[6]
        if row[8] == "delete":
            deleted = Move(name, hex_or_none(row[6]), None, "delete", None, row[7])
            found.append(_At(row[7], row[1], 2, deleted))
            del ended[name]
    for row in sound(connection.all(refs.OPEN_RUNS, tract_id=tract_id), *_RUN):
        name = row[0].removeprefix(BRANCHES)
        names[row[1]] = name
        found += _start(name, row, ended)
    commits = connection.all(refs.MOVES, tract_id=tract_id)
    for segment, parent, commit_hash, operation, message, at in sound(commits, *_MOVE):
        if segment in names:
            ends = hex_or_none(parent), commit_hash.hex()
            found.append(_At(at, segment, 1, Move(names[segment], *ends, operation, message, at)))
    return [item.move for item in sorted(found, key=lambda item: item[:3])]


def _start(name: str, row: Sequence[Any], ended: dict[str, bytes | None]) -> list[_At]:
    segment, start, at, action, note = row[1:6]
    if action == _CREATED:
        return []  # it began with its first commit, which counts as a move itself
    return [
        _At(
            at,
            segment,
            0,
            Move(name, hex_or_none(ended.get(name)), hex_or_none(start), action, note, at),
        )
    ]
