"""Text search: what every engine's index does alike; runs where the connection does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from tract.exceptions import QueryError
from tract.history.graph import line
from tract.models.operations import Effect, rule_of
from tract.models.queries.searching import SearchTerm
from tract.storage.repositories import (
    BranchName,
    Candidates,
    CommitRow,
    Found,
    Standing,
    Unindexed,
    Unread,
)
from tract.storage.sql.ancestry.walk import Place, lost, scan, walk_all
from tract.storage.sql.naming import missing_branch, ref_name
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import as_bytes, record_of
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import searches
from tract.storage.sql.statements.compiled import MOST_TRACTS, Lookup

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


_Key = tuple[str, bytes]
"""The tract of a commit, and its hash."""


class _Spot(NamedTuple):
    """Where a commit is."""

    tract_id: str
    key: bytes
    time: int
    segment: int


class _Change(NamedTuple):
    """What an edit or an annotation does to an entry."""

    spot: _Spot
    entry: bytes
    effect: Effect


def standings(
    connection: Connection, *, branches: Sequence[BranchName], commits: Sequence[CommitRow]
) -> dict[tuple[str, str], Standing]:
    """See `SearchRepository.standings`."""
    found: dict[tuple[str, str], Standing] = {}
    with connection.at_one_moment():
        for start in range(0, len(branches), MOST_TRACTS):
            some = branches[start : start + MOST_TRACTS]
            heads = _heads(connection, some)
            of_some = [each for each in commits if each.tract_id in heads]
            found |= _standings(connection, heads, of_some)
    return {
        key: found.get(key, Standing())
        for key in ((each.tract_id, each.commit_hash) for each in commits)
    }


def _heads(connection: Connection, branches: Sequence[BranchName]) -> dict[str, _Spot]:
    """Return where the heads of branches are that have commits, by tract."""
    found: dict[str, _Spot] = {}
    for name in {branch.branch for branch in branches}:
        own = {branch.tract_id: branch for branch in branches if branch.branch == name}
        for tract_id, key, *place in connection.find(searches.HEADS, own, name=ref_name(name)):
            del own[tract_id]
            if key is not None and place[0] is None:
                raise lost(key)
            if key is not None:
                found[tract_id] = _Spot(tract_id, key, *place)
        for branch in own.values():
            missing_branch(connection, branch)
    return found


def _standings(
    connection: Connection, heads: Mapping[str, _Spot], commits: Sequence[CommitRow]
) -> dict[tuple[str, str], Standing]:
    tracts = [*heads]
    entries = {_key(each.tract_id, each.edit_target or each.commit_hash) for each in commits}
    rows = connection.find(searches.CHANGES, {key for _, key in entries}, tracts=tracts)
    changes = [_Change(_Spot(*row[:4]), row[4], rule_of(row[5]).effect) for row in rows]
    own = {bytes.fromhex(each.commit_hash) for each in commits}
    spots = {_Spot(*row) for row in connection.find(searches.PLACES, own, tracts=tracts)}
    spots |= {change.spot for change in changes}
    reached: set[_Key] = set()
    last: dict[tuple[_Key, Effect], bytes] = {}
    for tract_id, head in heads.items():
        here = {spot for spot in spots if spot.tract_id == tract_id}
        of_tract = _reached(connection, head, here)
        reached |= {(tract_id, key) for key in of_tract}
        last |= _last_changes(
            connection,
            head,
            [each for each in changes if each.spot in here and each.spot.key in of_tract],
        )
    wanted = {entry: last.get((entry, Effect.PRIORITISE), entry[1]) for entry in entries}
    rows = connection.find(searches.PRIORITIES, wanted.values(), tracts=tracts)
    contents = {row[:2]: row[2:] for row in rows}
    compacted = {row[0] for row in connection.find(searches.COMPACTED, tracts)}
    found: dict[tuple[str, str], Standing] = {}
    for each in commits:
        entry = _key(each.tract_id, each.edit_target or each.commit_hash)
        content = contents.get((each.tract_id, wanted[entry]))
        key = _key(each.tract_id, each.commit_hash)
        found[each.tract_id, each.commit_hash] = Standing(
            key in reached,
            last.get((entry, Effect.REPLACE), entry[1]) == key[1],
            content[0] if content else "",
            as_bytes(content[1]) if content else None,
            each.tract_id in compacted,
        )
    return found


def _key(tract_id: str, commit_hash: str) -> _Key:
    return tract_id, bytes.fromhex(commit_hash)


def _reached(connection: Connection, head: _Spot, spots: Collection[_Spot]) -> set[bytes]:
    """Return the commits of the head's tract that *head* reaches.

    An earlier commit of a segment is an ancestor of a later one, so the walk goes on only until
    each segment was met.
    """
    left = {spot for spot in spots if spot.time <= head.time}
    reached = {spot.key for spot in left if spot.segment == head.segment}
    left = {spot for spot in left if spot.segment != head.segment}
    oldest = min((spot.time for spot in left), default=0)
    met = {head.segment}
    for row in _walked(connection, head) if left else ():
        if row[4] not in met:
            met.add(row[4])
            here = {spot for spot in left if spot.segment == row[4]}
            reached |= {spot.key for spot in here if spot.time <= row[2]}
            left -= here
        if not left or row[2] <= oldest:
            break
    return reached


def _walked(connection: Connection, head: _Spot) -> Iterator[Row]:
    return walk_all(connection, searches.WALK_SEGMENTS, head.tract_id, [_place(head)])


def _place(head: _Spot) -> Place:
    return Place(head.key, head.time, head.segment, "")


def _last_changes(
    connection: Connection, head: _Spot, changes: Sequence[_Change]
) -> dict[tuple[_Key, Effect], bytes]:
    """Return the last edit and the last annotation of each entry, in the order of the history.

    That is the order of time, unless a merge has brought some of an entry's changes.
    """
    kinds: dict[tuple[_Key, Effect], list[_Spot]] = {}
    for spot, entry, effect in changes:
        kinds.setdefault(((head.tract_id, entry), effect), []).append(spot)
    if any(len({spot.segment for spot in spots}) > 1 for spots in kinds.values()):
        order = line(scan(connection, head.tract_id, [_place(head)]), head.key)
        place = {key: at for at, key in enumerate(order)}
        return {
            kind: max(spots, key=lambda spot: place[spot.key]).key for kind, spots in kinds.items()
        }
    return {kind: max(spots, key=lambda spot: spot.time).key for kind, spots in kinds.items()}
