"""What a head has beyond a base, and in which order: against its definition, on random graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.drafts import MAIN, OTHER_BRANCH, draft
from support.repositories import Repositories
from tract import CommitNotFoundError, StoreCorruptError
from tract.storage.arrivals import Parents, compare, in_line, planned
from tract.storage.database import Database
from tract.storage.repositories import CommitRecord, Cursor
from tract.storage.sqlite import SqliteArrivalRepository

Graph = Mapping[bytes, Parents]


def name(number: int) -> bytes:
    return number.to_bytes(4, "big")


@st.composite
def graphs(draw: st.DrawFn) -> dict[bytes, Parents]:
    """Draw commits, oldest first, each with no parent, one, or two, which are older."""
    graph: dict[bytes, Parents] = {}
    for number in range(draw(st.integers(1, 12))):
        older = st.sampled_from([*graph]) if graph else st.nothing()
        parents = draw(st.lists(older, max_size=2, unique=True)) if graph else []
        graph[name(number)] = tuple(parents)
    return graph


def line(graph: Graph, head: bytes | None) -> list[bytes]:
    """Return the line of a head by its definition."""
    if head is None:
        return []
    ours = line(graph, graph[head][0]) if graph[head] else []
    theirs = line(graph, graph[head][1]) if len(graph[head]) > 1 else []
    return [*ours, *(commit for commit in theirs if commit not in ours), head]


def newest_first(graph: Graph) -> Iterator[tuple[bytes, Parents]]:
    return iter([*graph.items()][::-1])


@given(data=st.data(), graph=graphs())
def test_the_difference_is_what_the_lines_tell(data: st.DataObject, graph: Graph) -> None:
    heads = st.none() | st.sampled_from([*graph])
    head, base = data.draw(heads), data.draw(heads)
    found = compare(newest_first(graph), head, base)
    known = line(graph, base)
    wanted = [commit for commit in line(graph, head) if commit not in known]

    assert set(found.fresh) == set(wanted)
    assert in_line(found.fresh, head) == wanted
    assert found.contains_base == (base is None or base in line(graph, head))
    at = head
    while at is not None and at not in known:
        at = graph[at][0] if graph[at] else None
    assert found.shared == at


@given(data=st.data(), graph=graphs(), room=st.integers(1, 4))
def test_a_way_that_is_planned_in_parts_is_the_whole_way(
    data: st.DataObject, graph: Graph, room: int
) -> None:
    head = data.draw(st.sampled_from([*graph]))
    base = data.draw(st.none() | st.sampled_from(line(graph, head)))
    cursor = Cursor(None if base is None else base.hex())
    read: list[str] = []
    while cursor.base != head.hex():
        known = None if cursor.base is None else bytes.fromhex(cursor.base)
        found = compare(newest_first(graph), head, known)
        cursor = planned(cursor, head.hex(), found.fresh, room)
        assert len(cursor.ahead) <= room
        read += cursor.ahead
        assert cursor.then is not None
        cursor = cursor.then

    known_first = line(graph, base)
    assert read == [item.hex() for item in line(graph, head) if item not in known_first]
    assert cursor == Cursor(head.hex())


def test_no_more_is_read_than_must_be() -> None:
    graph = {name(n): (name(n - 1),) if n else () for n in range(100)}
    commits = newest_first(graph)
    compare(commits, name(99), name(97))

    assert next(commits)[0] >= name(96)


def test_a_commit_that_is_missing_is_told() -> None:
    with pytest.raises(StoreCorruptError, match=name(1).hex()):
        compare(iter([(name(2), (name(1),))]), name(2), None)


async def line_of(store: Repositories, count: int) -> list[CommitRecord]:
    return await store.commits.write(MAIN, [draft(str(number)) for number in range(count)])


async def read_all(arrivals: SqliteArrivalRepository, cursor: Cursor) -> list[CommitRecord]:
    records: list[CommitRecord] = []
    while True:
        page = await arrivals.read(MAIN, cursor)
        records += page.records
        cursor = page.cursor
        if cursor.is_at_head:
            return records


async def test_pages_follow_on_each_other(store: Repositories, database: Database) -> None:
    arrivals = SqliteArrivalRepository(database)
    records = await line_of(store, 700)
    await store.commits.write(OTHER_BRANCH, [draft("other")])

    assert await read_all(arrivals, Cursor(None)) == records
    assert await read_all(arrivals, Cursor(records[99].commit_hash)) == records[100:]
    assert await read_all(arrivals, Cursor(records[-1].commit_hash)) == []
    assert await read_all(arrivals, Cursor(None, target=records[9].commit_hash)) == records[:10]


async def test_a_branch_without_commits_has_nothing(database: Database) -> None:
    page = await SqliteArrivalRepository(database).read(MAIN, Cursor(None))

    assert page == (None, [], Cursor(None))


async def test_an_unknown_commit_is_told(store: Repositories, database: Database) -> None:
    await line_of(store, 1)
    with pytest.raises(CommitNotFoundError):
        await SqliteArrivalRepository(database).read(MAIN, Cursor("0" * 64))


async def test_heads_are_told_when_something_was_written(
    store: Repositories, database: Database
) -> None:
    """Once too often rather than once too rarely: a connection counts for itself."""
    arrivals = SqliteArrivalRepository(database)
    assert await arrivals.heads([MAIN, OTHER_BRANCH]) in ([None, None], None)
    records = await line_of(store, 2)
    told = [await arrivals.heads([MAIN, OTHER_BRANCH]) for _ in range(8)]

    assert told[-1] is None
    assert set(map(str, told)) <= {"None", str([records[1].commit_hash, None])}


async def test_each_transaction_tells_what_it_has_moved(
    store: Repositories, database: Database
) -> None:
    arrivals = SqliteArrivalRepository(database)
    moved: list[object] = []
    arrivals.on_move(lambda branches: moved.append(set(branches)))
    await line_of(store, 2)
    with pytest.raises(CommitNotFoundError):
        await store.commits.write(MAIN, [draft("x", operation="annotate", target="0" * 64)])
    await store.commits.write(OTHER_BRANCH, [draft("x")])

    assert moved == [{MAIN}, {OTHER_BRANCH}]
