"""The lines of heads, and what one has beyond another: against the definition, on random graphs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.graphs import Graph, first_parents, graphs, line, name, newest_first
from tract import StoreCorruptError
from tract.storage.sql.ancestry.lines import compare, in_line, part


@given(data=st.data(), graph=graphs())
def test_the_difference_is_what_the_lines_tell(data: st.DataObject, graph: Graph) -> None:
    heads = st.none() | st.sampled_from([*graph])
    head, base = data.draw(heads), data.draw(heads)
    found = compare(newest_first(graph), head, base)
    known = line(graph, base)
    wanted = [commit for commit in line(graph, head) if commit not in known]

    assert set(found.fresh) == set(wanted)
    assert in_line(found.fresh, head) == wanted
    at = head
    while at is not None and at not in known:
        at = graph[at][0] if graph[at] else None
    assert found.shared == at


@given(data=st.data(), graph=graphs())
def test_a_base_is_shared_where_it_is_among_the_first_parents(
    data: st.DataObject, graph: Graph
) -> None:
    """Only so does its line begin that of the head in every graph."""
    heads = st.none() | st.sampled_from([*graph])
    head, base = data.draw(heads), data.draw(heads)
    found = compare(newest_first(graph), head, base)

    assert (found.shared == base) == (base in first_parents(graph, head))


@given(data=st.data(), graph=graphs())
def test_lines_part_where_their_longest_common_beginning_ends(
    data: st.DataObject, graph: Graph
) -> None:
    heads = st.none() | st.sampled_from([*graph])
    head, base = data.draw(heads), data.draw(heads)
    found = part(lambda: newest_first(graph), head, base)
    new, old = line(graph, head), line(graph, base)
    common = [one for one, other in zip(new, old, strict=False) if one == other]
    while common != new[: len(common)] or common != old[: len(common)]:
        common.pop()  # what is equal again behind a difference

    assert [*line(graph, found.fork), *found.common] == common
    assert found.dropped == old[len(common) :]
    assert in_line(found.fresh, head) == new[len(line(graph, found.fork)) :]
    shared = [c for c in first_parents(graph, head) if c in first_parents(graph, base)]
    assert found.fork == shared[0]


def test_no_more_is_read_than_must_be() -> None:
    graph = {name(n): (name(n - 1),) if n else () for n in range(100)}
    commits = newest_first(graph)
    compare(commits, name(99), name(97))

    assert next(commits)[0] >= name(96)


def test_a_commit_that_is_missing_is_named() -> None:
    broken = [(name(3), (name(2),)), (name(2), (name(1),))]
    with pytest.raises(StoreCorruptError, match=name(1).hex()):
        compare(iter(broken), name(3), None)
    with pytest.raises(StoreCorruptError, match=name(0).hex()):
        part(lambda: iter(broken), name(3), name(0))
