"""Random graphs of commits, and their lines by definition."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

from hypothesis import strategies as st

from tract.history.graph import Commit, Parents

__all__ = ["Graph", "chain", "graphs", "line_of", "name", "newest_first", "reachable"]

K = TypeVar("K", bound=Hashable)
Graph = Mapping[bytes, Parents[bytes]]


def name(number: int) -> bytes:
    return number.to_bytes(4, "big")


@st.composite
def graphs(draw: st.DrawFn) -> dict[bytes, Parents[bytes]]:
    """Draw commits, oldest first, each with up to two older parents."""
    graph: dict[bytes, Parents[bytes]] = {}
    for number in range(draw(st.integers(1, 12))):
        older = st.sampled_from([*graph]) if graph else st.nothing()
        parents = draw(st.lists(older, max_size=2, unique=True)) if graph else []
        first, second, *_ = (*parents, None, None)
        graph[name(number)] = (first, second)
    return graph


def newest_first(graph: Mapping[K, Parents[K]]) -> Iterator[Commit[K]]:
    """Return what the functions over a graph take; *graph* has parents before their children."""
    return iter([*graph.items()][::-1])


def line_of(graph: Mapping[K, Parents[K]], head: K | None) -> list[K]:
    """Return the line of a head, by definition."""
    if head is None:
        return []
    ours, theirs = (line_of(graph, parent) for parent in graph[head])
    return [*ours, *(commit for commit in theirs if commit not in ours), head]


def chain(graph: Mapping[K, Parents[K]], head: K | None) -> list[K | None]:
    """Return a head, its first parent, that one's first parent and so on, ending with None."""
    found = [head]
    while head is not None:
        head = graph[head][0]
        found.append(head)
    return found


def reachable(graph: Mapping[K, Parents[K]], heads: Iterable[K | None]) -> set[K]:
    """Return *heads* and all their ancestors."""
    found: set[K] = set()
    waiting = [*heads]
    while waiting:
        commit = waiting.pop()
        if commit is not None and commit not in found:
            found.add(commit)
            waiting.extend(graph[commit])
    return found
