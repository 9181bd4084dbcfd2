"""The way to what comes next, planned in parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.graphs import Graph, first_parents, graphs, line, newest_first
from tract.storage.repositories import Cursor
from tract.storage.sql.ancestry.arrivals import planned
from tract.storage.sql.ancestry.lines import compare, part


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
