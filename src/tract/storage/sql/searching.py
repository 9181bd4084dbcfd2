"""Text search: what every engine's index does alike; runs where the connection does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from tract.exceptions import QueryError
from tract.history.graph import line
from tract.models.operations import Effect, rule_of
from tract.models.searching import SearchTerm
from tract.storage.repositories import (
    BranchName,
    Candidates,
    CommitRow,
    Found,
    Standing,
    Unindexed,
    Unread,
)
from tract.storage.sql.ancestry.history import find_head_place
from tract.storage.sql.ancestry.walk import Place, scan, walk_all
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import as_bytes, record_of
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import searches
from tract.storage.sql.statements.compiled import Lookup

__all__ = [
    "AT_ONCE",
    "SearchIndex",
    "check",
    "disable",
    "enable",
    "find",
    "forget",
    "forget_tract",
    "index",
    "of_tract",
    "read_batch",
    "standings",
    "unchanged",
    "unindexed",
]

AT_ONCE: int = 512
"""Commits that are indexed in one transaction."""
_MOST_BYTES = 1_000_000  # of their contents, unless a single one is longer
_FORM = "2"
"""What an index of this release looks like; another form has to be built anew."""


class SearchIndex(Protocol):
    """An engine's index. All of it is in the database, and in the transaction of the caller."""

    def create(self, connection: Connection) -> None:
        """Make the tables, with all commits listed, and whatever notes each new one."""

    def drop(self, connection: Connection) -> None:
        """Drop the tables, whatever is left of them."""

    def unindexed(self, connection: Connection) -> Unindexed | None:
        """Return what is to be indexed next."""

    def index(
        self, connection: Connection, batch: Unindexed, words: Mapping[int, Sequence[str]]
    ) -> None:
        """See `SearchRepository.index`; words of a commit begin with that of its tract."""

    def match(
        self,
        connection: Connection,
        terms: Sequence[SearchTerm],
        word: str | None,
        below: int,
        limit: int,
    ) -> list[int]:
        """Return the highest numbers below one that have all terms, and the *word* of a tract."""

    def forget(self, connection: Connection, tract_id: str, times: Collection[int]) -> None:
        """Take commits, by their times, out of the index."""

    def forget_tract(self, connection: Connection, tract_id: str, through: int) -> None:
        """Take all commits of a tract up to a time out of the index, and out of its lists."""


def enable(connection: Connection, search: SearchIndex, *, rebuild: bool) -> None:
    """See `SearchRepository.enable`."""
    form = _form(connection)
    if form == _FORM and not rebuild:
        return
    if form is not None:
        search.drop(connection)
    search.create(connection)
    connection.run(sql.SET_META, key=searches.SWITCH, value=_FORM)


def disable(connection: Connection, search: SearchIndex) -> None:
    """See `SearchRepository.disable`."""
    if _form(connection) is not None:
        search.drop(connection)
        connection.run(searches.SWITCH_OFF, name=searches.SWITCH)


def unindexed(connection: Connection, *, search: SearchIndex) -> Unindexed | None:
    """See `SearchRepository.unindexed`."""
    check(connection)
    with connection.at_one_moment():
        return search.unindexed(connection)


def index(
    connection: Connection,
    search: SearchIndex,
    batch: Unindexed,
    words: Mapping[int, Sequence[str]],
) -> None:
    """See `SearchRepository.index`."""
    check(connection)
    of = {each.number: of_tract(each.tract_id) for each in batch.commits}
    whole = {number: [of[number], *some] if some else [] for number, some in words.items()}
    search.index(connection, batch, whole)


def find(
    connection: Connection,
    *,
    search: SearchIndex,
    terms: Sequence[SearchTerm],
    tract_id: str | None,
    below: int,
    limit: int,
) -> Candidates:
    """See `SearchRepository.find`."""
    check(connection)
    word = None if tract_id is None else of_tract(tract_id)
    with connection.at_one_moment():
        numbers = search.match(connection, terms, word, below, limit)
        rows = {row[-3]: row for row in connection.find(searches.FOUND, numbers)}
    there = (rows[number] for number in numbers if number in rows)
    found = [
        Found(row[-3], record_of(row), row[-2], as_bytes(row[-1]))
        for row in there
        if tract_id is None or row[1] == tract_id
    ]
    return Candidates(found, numbers[-1] if len(numbers) == limit else 0)


def forget(
    connection: Connection, search: SearchIndex, tract_id: str, commits: Iterable[bytes]
) -> None:
    """Take commits that are erased out of the index, if there is one."""
    if _form(connection) is not None:
        times = {row[0] for row in connection.find(searches.TIMES, commits, tract_id=tract_id)}
        search.forget(connection, tract_id, times)


def forget_tract(
    connection: Connection, search: SearchIndex, tract_id: str, *, through: int
) -> None:
    """Take a tract that is erased out of the index, if there is one, up to a time."""
    if _form(connection) is not None:
        search.forget_tract(connection, tract_id, through)


def of_tract(tract_id: str) -> str:
    """Return the word that all commits of a tract have, and no text can have."""
    return "§" + sha256(tract_id.encode()).hexdigest()[:16]


def read_batch(
    connection: Connection, numbers: Sequence[int], contents: Lookup
) -> tuple[list[Unread], bool]:
    """Return commits to be indexed, in order, and whether they are all, or too long for that.

    One that is gone has an empty content.
    """
    known = {row[0]: row for row in connection.find(contents, numbers)}
    rows = [known.get(number, (number, "", b"", "", 0)) for number in sorted(numbers)]
    taken: list[Row] = []
    room = _MOST_BYTES
    for row in rows:
        room -= row[4] or 0
        if room < 0 and taken:
            break
        taken.append(row)
    data: dict[bytes, bytes] = dict(connection.find(searches.DATA_OF, {row[2] for row in taken}))
    batch = [Unread(row[0], row[1], row[2], row[3], as_bytes(data.get(row[2]))) for row in taken]
    return batch, len(taken) == len(rows)


def unchanged(connection: Connection, batch: Unindexed, contents: Lookup) -> set[int]:
    """Return the numbers of the commits that show what they did when *batch* was read."""
    before = {each.number: each.content_hash for each in batch.commits}
    now = {row[0]: row[2] for row in connection.find(contents, before)}
    return {number for number, content in before.items() if now.get(number, b"") == content}


def _form(connection: Connection) -> str | None:
    row = connection.one(sql.META, key=searches.SWITCH)
    return None if row is None else str(row[0])


def check(connection: Connection) -> None:
    """Raise a `QueryError` unless there is an index that this release can use."""
    form = _form(connection)
    if form is None:
        raise QueryError(
            "Text search is off for this store. Call `await store.enable_search()` once; the index "
            "stays in the database."
        )
    if form != _FORM:
        raise QueryError(
            "Another release of this library made the search index. Call "
            "`await store.enable_search(rebuild=True)`."
        )


# What became of commits ---------------------------------------------------------------------------


class _Spot(NamedTuple):
    """Where a commit is."""

    key: bytes
    time: int
    segment: int


def standings(
    connection: Connection, *, branch: BranchName, commits: Sequence[CommitRow]
) -> dict[str, Standing]:
    """See `SearchRepository.standings`."""
    with connection.at_one_moment():
        head = find_head_place(connection, branch)
        if head is None or not commits:
            return {each.commit_hash: Standing() for each in commits}
        return _standings(connection, branch.tract_id, head, commits)


def _standings(
    connection: Connection, tract_id: str, head: Place, commits: Sequence[CommitRow]
) -> dict[str, Standing]:
    own = {bytes.fromhex(each.commit_hash) for each in commits}
    entries = {
        bytes.fromhex(each.edit_target or each.commit_hash): each.edit_target is None
        for each in commits
    }
    changes = connection.find(searches.CHANGES, entries, tract_id=tract_id)
    spots = {_Spot(*row) for row in connection.find(searches.PLACES, own, tract_id=tract_id)} | {
        _Spot(*row[:3]) for row in changes
    }
    reached = _reached(connection, tract_id, head, spots)
    last = _last_changes(connection, tract_id, head, [row for row in changes if row[0] in reached])
    wanted = {last.get((entry, Effect.PRIORITISE), entry) for entry in entries}
    contents = {row[0]: row for row in connection.find(sql.CONTENTS, wanted, tract_id=tract_id)}
    found: dict[str, Standing] = {}
    for each in commits:
        key = bytes.fromhex(each.commit_hash)
        entry = bytes.fromhex(each.edit_target or each.commit_hash)
        content = contents.get(last.get((entry, Effect.PRIORITISE), entry))
        found[each.commit_hash] = Standing(
            key in reached,
            last.get((entry, Effect.REPLACE), entry) == key,
            content[2] if content else "",
            as_bytes(content[5]) if content else None,
        )
    return found


def _reached(
    connection: Connection, tract_id: str, head: Place, spots: Collection[_Spot]
) -> set[bytes]:
    """Return the commits that *head* reaches.

    An earlier commit of a segment is an ancestor of a later one, so the walk goes on only until
    each segment was met.
    """
    left = {spot for spot in spots if spot.time <= head.created_at}
    oldest = min((spot.time for spot in left), default=0)
    reached: set[bytes] = set()
    met: set[int] = set()
    for row in walk_all(connection, searches.WALK_SEGMENTS, tract_id, [head] if left else []):
        if row[4] not in met:
            met.add(row[4])
            here = {spot for spot in left if spot.segment == row[4]}
            reached |= {spot.key for spot in here if spot.time <= row[2]}
            left -= here
        if not left or row[2] <= oldest:
            break
    return reached


def _last_changes(
    connection: Connection, tract_id: str, head: Place, changes: Sequence[Row]
) -> dict[tuple[bytes, Effect], bytes]:
    """Return the last edit and the last annotation of each entry, in the order of the history.

    That is the order of time, unless a merge has brought some of an entry's changes.
    """
    kinds: dict[tuple[bytes, Effect], list[_Spot]] = {}
    for row in changes:
        kinds.setdefault((row[3], rule_of(row[4]).effect), []).append(_Spot(*row[:3]))
    if any(len({spot.segment for spot in spots}) > 1 for spots in kinds.values()):
        order = line(scan(connection, tract_id, [head]), head.commit_hash)
        place = {key: at for at, key in enumerate(order)}
        return {
            kind: max(spots, key=lambda spot: place[spot.key]).key for kind, spots in kinds.items()
        }
    return {kind: max(spots, key=lambda spot: spot.time).key for kind, spots in kinds.items()}
