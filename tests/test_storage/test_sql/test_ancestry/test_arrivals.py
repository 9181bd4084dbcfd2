"""The way to what comes next, planned in parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.graphs import Graph, chain, graphs, line_of, newest_first
from tract.history.graph import beyond, part
from tract.storage.repositories import Cursor
from tract.storage.sql.ancestry.arrivals import planned


@given(data=st.data(), graph=graphs(), room=st.integers(1, 4))
def test_a_way_that_is_planned_in_parts_is_the_whole_way(
    data: st.DataObject, graph: Graph, room: int
) -> None:
    head, other = data.draw(st.sampled_from([*graph])), data.draw(st.sampled_from([*graph]))
    parting = part(lambda: newest_first(graph), head, other)
    begun = [*line_of(graph, parting.fork), *parting.common]
    cursor = Cursor(None if parting.fork is None else parting.fork.hex(), len(parting.common))
    read: list[str] = []
    while cursor.base != head.hex():
        known = None if cursor.base is None else bytes.fromhex(cursor.base)
        fresh = dict(beyond(newest_first(graph), head, known))
        cursor = planned(cursor, head.hex(), fresh, room)
        assert len(cursor.ahead) <= room
        assert known in chain(graph, head)
        read += cursor.ahead
        assert cursor.then is not None
        cursor = cursor.then

    assert read == [item.hex() for item in line_of(graph, head)[len(begun) :]]
    assert cursor == Cursor(head.hex())
