"""Shortening histories, in portions that are one transaction each.

A portion first reads what was written since its plan, which may show more contents. So entries that
it annotates are spared, and if it goes on from a commit that the plan does not know, the plan has been
overtaken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tract.models.operations import CommitOperation, Effect, rule_of
from tract.storage.repositories import Dropped, Marker, Page, PrunePlan, Taken
from tract.storage.sql.ancestry.walk import Place, place_or_beginning
from tract.storage.sql.branching import Reached, joints
from tract.storage.sql.keys import stored_key
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import sound
from tract.storage.sql.searching import SearchIndex, forget
from tract.storage.sql.statements import commits as commits_sql
from tract.storage.sql.statements import keys as keys_sql
from tract.storage.sql.statements import pruning as sql
from tract.storage.sql.statements import refs
from tract.storage.sql.writing.dropping import free
from tract.storage.sql.writing.erasing import (
    count,
    drop_attachments,
    erasures_of,
    is_pruning,
    put_markers,
)
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["AT_ONCE", "drop", "drop_runs", "finish", "plan", "take", "unneeded", "unreached"]

AT_ONCE: int = 128
_LOOKED_AT = 1_024
_MOST_NEWS = 2_000
"""Commits that a portion looks through before it does anything."""
_ALL = 2**62
_Holder = tuple[bytes, bytes, str, bytes | None, int, str | None]


def plan(
    connection: Connection,
    *,
    tract_id: str,
    before: str | int | None,
    keep: int | None,
    former: PrunePlan | None = None,
) -> PrunePlan:
    """See `PruneRepository.plan`."""
    with connection.at_one_moment():
        times = connection.all(sql.TIMES, tract_id=tract_id)
        now = max((row[0] for row in times if row[0] is not None), default=0)
        boundary = former.boundary if former else _boundary(connection, tract_id, before, keep, now)
        places = _places(connection, sql.OF_REFS, tract_id=tract_id)
        places += _places(connection, sql.OF_RUNS, tract_id=tract_id, since=boundary)
        since = former.since if former else boundary - 1
        rows = connection.all(sql.CHANGES, tract_id=tract_id, since=since, limit=_ALL)
        roots = dict.fromkeys(_merged(rows))
        if not former:
            ends = connection.all(sql.FRONTIER, tract_id=tract_id, boundary=boundary)
            roots.update((key.hex(), None) for row in ends for key in row if key is not None)
        roots.update(dict.fromkeys(place.commit_hash.hex() for place in places))
        named = sound(connection.all(sql.OF_KEYS, tract_id=tract_id), int, int)
        places += (Place(b"", time, segment, "") for segment, time in named)
        reached = Reached(places, joints(connection, tract_id, since=0))
        was_cut_short = is_pruning(connection, tract_id)
    touched = {row[3].hex() for row in rows if row[3] is not None}
    if former:
        roots, touched = {**former.roots, **roots}, {*former.touched, *touched}
    return PrunePlan(boundary, now, roots, touched, reached.until, was_cut_short)


def _boundary(
    connection: Connection, tract_id: str, before: str | int | None, keep: int | None, now: int
) -> int:
    """Return the time of the first commit that stays, as far as *before* and *keep* say."""
    ends = [now + 1]
    if isinstance(before, str):
        place = place_or_beginning(connection, tract_id, before)
        ends.append(0 if place is None else place.created_at)
    elif before is not None:
        ends.append(before)
    if keep:
        row = connection.one(sql.NTH, tract_id=tract_id, offset=keep - 1)
        ends.append(0 if row is None else row[0])
    return min(ends)


def _places(connection: Connection, statement: Any, **parameters: Any) -> list[Place]:
    rows = sound(connection.all(statement, **parameters), bytes, int, int)
    return [Place(key, time, segment, "") for key, segment, time in rows]


def _merged(rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    """Yield merges and their parents: what is shown can change there by the order of commits."""
    for key, parent, merged, _ in rows:
        if merged is not None:
            yield from (each.hex() for each in (parent, merged, key) if each is not None)


def _touched(transaction: WriteTransaction, tract_id: str, plan: PrunePlan) -> set[str] | None:
    """Return the entries annotated since a plan; None if it has been overtaken."""
    transaction.tips.finish()
    connection, since = transaction.connection, plan.since
    rows = connection.all(sql.CHANGES, tract_id=tract_id, since=since, limit=_MOST_NEWS)
    if len(rows) == _MOST_NEWS or any(key not in plan.roots for key in _merged(rows)):
        return None
    for start, time in connection.all(sql.STARTED, tract_id=tract_id, since=since):
        if (time is None or time <= since) and start.hex() not in plan.roots:
            return None
    return {row[3].hex() for row in rows if row[3] is not None}


def _begin(transaction: WriteTransaction, tract_id: str) -> None:
    """Note that a prune is under way, unless another portion has, and nothing ended that since."""
    transaction.reported.add(tract_id)
    transaction.erased.add(tract_id)
    if not is_pruning(transaction.connection, tract_id):
        count(transaction, tract_id, pruning=True)


def drop_runs(transaction: WriteTransaction, *, tract_id: str, plan: PrunePlan) -> int:
    """See `PruneRepository.drop_runs`."""
    transaction.tips.finish()
    connection = transaction.connection
    rows = connection.all(
        sql.EMPTY_RUNS,
        tract_id=tract_id,
        boundary=plan.boundary,
        last=_last_segment(connection, tract_id),
        limit=AT_ONCE,
    )
    for (segment,) in sound(rows, int):
        connection.run(sql.DROP_RUN, of_tract=tract_id, of_segment=segment)
    return len(rows)


def _last_segment(connection: Connection, tract_id: str) -> int:
    """Return the highest number of a segment; its row stays, so that none is used twice."""
    [row] = connection.all(refs.LAST_SEGMENTS, tract_id=tract_id)
    return max(-1 if segment is None else segment for segment in row[:2])


def unreached(connection: Connection, *, tract_id: str, plan: PrunePlan, at: int) -> Page:
    """See `PruneRepository.unreached`."""
    rows = connection.all(sql.UNREACHED, tract_id=tract_id, at=at, limit=_LOOKED_AT)
    found = [*sound(rows, bytes, int, int)]
    gone = [key.hex() for key, segment, time in found if not _is_reached(plan, segment, time)]
    return Page(gone, found[-1][2] if found else at, len(found) == _LOOKED_AT)


def _is_reached(plan: PrunePlan, segment: int, time: int) -> bool:
    return plan.reached.get(segment, -1) >= time


def drop(
    transaction: WriteTransaction,
    *,
    search: SearchIndex,
    tract_id: str,
    plan: PrunePlan,
    commits: Sequence[str],
) -> Dropped | None:
    """See `PruneRepository.drop`."""
    if _touched(transaction, tract_id, plan) is None:
        return None
    connection = transaction.connection
    found = connection.find(sql.CONDEMNED, map(bytes.fromhex, commits), tract_id=tract_id)
    rows = [row for row in found if not _is_reached(plan, row[1], row[2])]
    if not rows:
        return Dropped()
    _begin(transaction, tract_id)
    used = {row[1] for row in connection.find(commits_sql.USES, (row[4] for row in rows))}
    forget(connection, search, tract_id, (row[0] for row in rows))
    for lookup in sql.DROP_OF:
        connection.find(lookup, (row[0] for row in rows), of_tract=tract_id)
    connection.run(sql.COUNT_OFF, of_tract=tract_id, number=len(rows))
    _shorten_runs(connection, tract_id, rows)
    attachments = drop_attachments(connection, tract_id, used)
    held = {key for row in rows for key in row[4:6] if key is not None}
    return Dropped(len(rows), free(connection, held).blobs, attachments)


def _shorten_runs(connection: Connection, tract_id: str, rows: Iterable[Sequence[Any]]) -> None:
    """Let each run end with the last of its commits that is left; without one, it goes."""
    oldest: dict[int, Sequence[Any]] = {}
    for row in sorted(rows, key=lambda row: -row[2]):
        oldest[row[1]] = row
    last = _last_segment(connection, tract_id)
    for segment, row in oldest.items():
        place = row[3] and connection.one(commits_sql.PLACE, tract_id=tract_id, hash=row[3])
        end = row[3] if place and place[1] == segment else None
        of_run = {"of_tract": tract_id, "of_segment": segment}
        if end is None and segment < last:
            connection.run(sql.DROP_RUN, **of_run)
        else:
            connection.run(sql.SET_RUN_END, **of_run, end=end)


def unneeded(connection: Connection, *, tract_id: str, plan: PrunePlan, at: int) -> Page:
    """See `PruneRepository.unneeded`."""
    rows = _holders(
        connection.all(
            sql.UNNEEDED, tract_id=tract_id, at=at, boundary=plan.boundary, limit=_LOOKED_AT
        )
    )
    gone = _unneeded(connection, tract_id, plan, set(), rows)
    time = rows[-1][4] if rows else at
    return Page([row[0].hex() for row in gone], time, len(rows) == _LOOKED_AT)


def _holders(rows: Iterable[Sequence[Any]]) -> list[_Holder]:
    found = sound(rows, bytes, bytes, str, bytes | None, int, str | None)
    return [
        (key, content, does, target, time, name) for key, content, does, target, time, name in found
    ]


def _unneeded(
    connection: Connection,
    tract_id: str,
    plan: PrunePlan,
    touched: set[str],
    rows: Sequence[_Holder],
) -> list[_Holder]:
    """Return those of *rows* whose contents no context since the boundary shows."""
    given = {
        stored_key(row[5]) for row in rows if row[2] == CommitOperation.STATE and row[5] is not None
    }
    found = connection.find(keys_sql.KEYED_MANY, given, tract_id=tract_id)
    named = {row[0] for row in found}
    return [row for row in rows if _may_go(row, plan, touched, named)]


def _may_go(row: _Holder, plan: PrunePlan, touched: set[str], named: set[bytes]) -> bool:
    key, _, operation, target, time, _ = row
    if time >= plan.boundary:
        return False
    if operation == CommitOperation.STATE:
        return key not in named
    if rule_of(operation).effect is Effect.NOTHING:
        return False
    entry = (target or key).hex()
    if entry in touched or entry in plan.touched:
        return False
    return operation == CommitOperation.ANNOTATE or key.hex() not in plan.live


def take(
    transaction: WriteTransaction,
    *,
    search: SearchIndex,
    tract_id: str,
    plan: PrunePlan,
    markers: Mapping[str, Marker],
) -> Taken | None:
    """See `PruneRepository.take`."""
    touched = _touched(transaction, tract_id, plan)
    if touched is None:
        return None
    connection = transaction.connection
    at = {bytes.fromhex(content): marker for content, marker in markers.items()}
    rows = _holders(connection.find(sql.HOLDERS, at, tract_id=tract_id))
    gone = _unneeded(connection, tract_id, plan, touched, rows)
    needed = {row[1] for row in {*rows}.difference(gone)}
    holders: dict[bytes, list[bytes]] = {}
    for row in gone:
        if row[1] not in needed:
            holders.setdefault(row[1], []).append(row[0])
    if not holders:
        return Taken()
    _begin(transaction, tract_id)
    attachments, emptied = put_markers(connection, search, tract_id, at, holders)
    number = sum(map(len, holders.values()))
    return Taken(number, emptied, len(holders) - emptied, attachments)


def finish(transaction: WriteTransaction, *, tract_id: str) -> int:
    """See `PruneRepository.finish`."""
    if is_pruning(transaction.connection, tract_id):
        return count(transaction, tract_id, pruning=False)
    return erasures_of(transaction.connection, tract_id)
