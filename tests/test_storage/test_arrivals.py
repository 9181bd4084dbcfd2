"""What comes to a branch, page by page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.drafts import MAIN, OTHER_BRANCH, draft
from support.graphs import Graph, first_parents, graphs, line, newest_first
from support.repositories import Repositories
from tract import CommitNotFoundError
from tract.storage.arrivals import planned
from tract.storage.database import Database
from tract.storage.lines import compare, part
from tract.storage.repositories import CommitRecord, Cursor
from tract.storage.sqlite import SqliteArrivalRepository


@given(data=st.data(), graph=graphs(), room=st.integers(1, 4))
def test_a_way_that_is_planned_in_parts_is_the_whole_way(
    data: st.DataObject, graph: Graph, room: int
) -> None:
    head, other = data.draw(st.sampled_from([*graph])), data.draw(st.sampled_from([*graph]))
    parting = part(lambda: newest_first(graph), head, other)
    begun = [*line(graph, parting.fork), *parting.common]
    cursor = Cursor(None if parting.fork is None else parting.fork.hex(), len(parting.common))
    read: list[str] = []
    while cursor.base != head.hex():
        known = None if cursor.base is None else bytes.fromhex(cursor.base)
        found = compare(newest_first(graph), head, known)
        cursor = planned(cursor, head.hex(), found.fresh, room)
        assert len(cursor.ahead) <= room
        assert known in first_parents(graph, head)
        read += cursor.ahead
        assert cursor.then is not None
        cursor = cursor.then

    assert read == [item.hex() for item in line(graph, head)[len(begun) :]]
    assert cursor == Cursor(head.hex())


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
