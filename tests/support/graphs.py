"""Random graphs of commits, and their lines by definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hypothesis import strategies as st

from tract.storage.sql.ancestry.lines import Parents

__all__ = ["Graph", "first_parents", "graphs", "line", "name", "newest_first"]

Graph = Mapping[bytes, Parents]


def name(number: int) -> bytes:
    return number.to_bytes(4, "big")


@st.composite
def graphs(draw: st.DrawFn) -> dict[bytes, Parents]:
    """Draw commits, oldest first, each with up to two older parents."""
    graph: dict[bytes, Parents] = {}
    for number in range(draw(st.integers(1, 12))):
        older = st.sampled_from([*graph]) if graph else st.nothing()
        parents = draw(st.lists(older, max_size=2, unique=True)) if graph else []
        graph[name(number)] = tuple(parents)
    return graph


def line(graph: Graph, head: bytes | None) -> list[bytes]:
    """Return the line of a head, by definition."""
    if head is None:
        return []
    ours = line(graph, graph[head][0]) if graph[head] else []
    theirs = line(graph, graph[head][1]) if len(graph[head]) > 1 else []
    return [*ours, *(commit for commit in theirs if commit not in ours), head]


def newest_first(graph: Graph) -> Iterator[tuple[bytes, Parents]]:
    return iter([*graph.items()][::-1])


def first_parents(graph: Graph, head: bytes | None) -> list[bytes | None]:
    """Return a head, its first parent, that one's first parent and so on, ending with None."""
    found = [head]
    while head is not None:
        head = graph[head][0] if graph[head] else None
        found.append(head)
    return found
