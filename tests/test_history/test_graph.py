"""The graph of commits, on plain dicts, against definitions written down without any thrift."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.graphs import chain as first_parents
from support.graphs import line_of, newest_first, reachable
from tract.history.graph import (
    Commit,
    Parents,
    beyond,
    in_order,
    line,
    merge_bases,
    part,
    parted_at,
)

K = TypeVar("K", bound=Hashable)
Graph = dict[K, Parents[K]]

LONG = 100_000


def graph(*lines: str) -> Graph[str]:
    """Return a map from lines such as `a`, `b a` (b's parent is a) and `m a b` (a merge)."""
    parents: Graph[str] = {}
    for text in lines:
        commit, parent, merge_parent, *_ = (*text.split(), None, None)
        assert commit is not None
        parents[commit] = (parent, merge_parent)
    return parents


def chain(first: int, size: int, parent: int | None) -> Graph[int]:
    """Return *size* commits one after the other, numbered from *first*."""
    return {at: (parent if at == first else at - 1, None) for at in range(first, first + size)}


class Read(Iterator[Commit[K]]):
    """Commits, newest first, that notes how many were read."""

    def __init__(self, parents: Graph[K]) -> None:
        self.count = 0
        self._commits = newest_first(parents)

    def __next__(self) -> Commit[K]:
        commit = next(self._commits)
        self.count += 1
        return commit


LINE = graph("a", "b a", "c b", "d c")
FORK = graph("a", "b a", "c b", "x b", "y x")
DIAMOND = graph("a", "b a", "x a", "y x", "m b y")
CRISS_CROSS = graph("a", "b a", "x a", "m b x", "n x b", "c m", "y n")
# Each side took over the other's work, twice.
BOTH_WAYS = graph("a", "b a", "x a", "m b x", "c m", "n x c", "y n", "o c y", "d o", "p y d")
OCTOPUS = graph("a", "b a", "x a", "y a", "z y", "m b x", "n m z", "c n")
APART = graph("a", "b a", "x", "y x")
# The merge parent's first parents know nothing of what ours has.
TURNED = graph("a", "b a", "x", "m x b", "c b", "n c m")


class TestLine:
    @pytest.mark.parametrize(
        ("parents", "head", "order"),
        [
            ({}, None, ""),
            (graph("a"), "a", "a"),
            (LINE, "d", "abcd"),
            (LINE, "b", "ab"),
            (FORK, "y", "abxy"),
            (DIAMOND, "m", "abxym"),
            (CRISS_CROSS, "c", "abxmc"),
            (CRISS_CROSS, "y", "axbny"),
            (BOTH_WAYS, "d", "abxmcnyod"),
            (BOTH_WAYS, "p", "axbmcnyodp"),
            (OCTOPUS, "c", "abxmyznc"),
            (TURNED, "m", "xabm"),
            (TURNED, "n", "abcxmn"),
            (graph("a", "b a", "c b", "m a c"), "m", "abcm"),
            (graph("a", "b a", "m b a"), "m", "abm"),
            (graph("a", "b a", "m b b"), "m", "abm"),
        ],
    )
    def test_theirs_follow_ours_in_their_order(
        self, parents: Graph[str], head: str | None, order: str
    ) -> None:
        assert line(newest_first(parents), head) == list(order)

    @pytest.mark.parametrize(
        ("parents", "head", "base", "order"),
        [
            (LINE, "d", "d", ""),
            (LINE, "d", "b", "cd"),
            (DIAMOND, "m", "b", "xym"),
            (DIAMOND, "m", "a", "bxym"),
            (CRISS_CROSS, "y", "x", "bny"),
            (BOTH_WAYS, "p", "y", "odp"),
            (OCTOPUS, "c", "m", "yznc"),
        ],
    )
    def test_from_a_base_on_only_what_follows_comes(
        self, parents: Graph[str], head: str, base: str, order: str
    ) -> None:
        assert line(newest_first(parents), head, base=base) == list(order)


class TestBrought:
    @pytest.mark.parametrize(
        ("parents", "ours", "theirs", "order"),
        [
            ({}, None, None, ""),
            (LINE, None, "c", "abc"),
            (LINE, "c", None, ""),
            (LINE, "c", "c", ""),
            (LINE, "d", "b", ""),
            (LINE, "b", "d", "cd"),
            (FORK, "c", "y", "xy"),
            (FORK, "y", "c", "c"),
            (CRISS_CROSS, "c", "y", "ny"),
            (BOTH_WAYS, "c", "y", "ny"),
            (BOTH_WAYS, "p", "o", ""),
            (APART, "b", "y", "xy"),
            (TURNED, "c", "m", "xm"),
        ],
    )
    def test_what_a_merge_brings(
        self, parents: Graph[str], ours: str | None, theirs: str | None, order: str
    ) -> None:
        assert line(newest_first(parents), theirs, base=ours) == list(order)


class TestMergeBases:
    @pytest.mark.parametrize(
        ("parents", "a", "b", "bases"),
        [
            ({}, None, None, ""),
            (LINE, None, "b", ""),
            (LINE, "c", "c", "c"),
            (LINE, "b", "d", "b"),
            (FORK, "c", "y", "b"),
            (DIAMOND, "m", "y", "y"),
            (DIAMOND, "b", "y", "a"),
            (CRISS_CROSS, "c", "y", "xb"),
            (CRISS_CROSS, "y", "c", "xb"),
            (BOTH_WAYS, "m", "n", "m"),
            (BOTH_WAYS, "d", "p", "d"),
            (BOTH_WAYS, "o", "p", "o"),
            (OCTOPUS, "c", "z", "z"),
            (OCTOPUS, "m", "z", "a"),
            (APART, "b", "y", ""),
            (graph("a", "b a", "c b", "d c", "m a d", "n b d"), "m", "n", "d"),
            # A short cut of ours meets the oldest commit before theirs comes to it.
            (graph("a", "b a", "c b", "d c", "x d", "m d a"), "m", "x", "d"),
        ],
    )
    def test_the_best_common_ancestors(
        self, parents: Graph[str], a: str | None, b: str | None, bases: str
    ) -> None:
        assert merge_bases(newest_first(parents), a, b) == list(bases)


class TestHistoriesOfAnyLength:
    def test_a_long_chain(self) -> None:
        parents = chain(0, LONG, None)

        assert line(newest_first(parents), LONG - 1) == [*range(LONG)]
        assert merge_bases(newest_first(parents), LONG - 1, 5) == [5]
        assert line(newest_first(parents), LONG - 1, base=5) == [*range(6, LONG)]

    def test_merges_upon_merges_on_the_second_side(self) -> None:
        """A walk that called itself for each merge parent would be as deep as the history."""
        parents: Graph[int] = {0: (None, None)}
        parents.update({at: (0, at - 1) for at in range(1, LONG)})

        assert line(newest_first(parents), LONG - 1) == [*range(LONG)]

    def test_two_near_heads_cost_their_distance_however_long_the_history(self) -> None:
        parents = chain(0, LONG, None) | chain(LONG, 50, LONG - 1) | chain(2 * LONG, 3, LONG - 1)
        one, other = LONG + 49, 2 * LONG + 2
        reads = [Read(parents) for _ in range(4)]

        assert merge_bases(reads[0], one, other) == [LONG - 1]
        assert line(reads[1], other, base=one) == [*range(2 * LONG, 2 * LONG + 3)]
        assert [*dict(beyond(reads[2], one, other))] == [*range(LONG, LONG + 50)][::-1]
        assert not [*beyond(reads[3], one, one)]
        assert [read.count for read in reads] == [54, 53, 53, 0]

    def test_nothing_is_read_beyond_what_is_known(self) -> None:
        read = Read(chain(0, LONG, None))

        found = beyond(read, LONG - 1, None, known=lambda commit: commit < LONG - 3)

        assert [commit for commit, _ in found] == [LONG - 1, LONG - 2, LONG - 3]
        assert read.count == 3

    @pytest.mark.parametrize("missing", ["a", "b", "d"])
    def test_a_commit_that_is_missing_is_a_key_error(self, missing: str) -> None:
        parents = {commit: both for commit, both in LINE.items() if commit != missing}

        with pytest.raises(KeyError, match=f"'{missing}'"):
            line(newest_first(parents), "d")
        with pytest.raises(KeyError, match=f"'{missing}'"):
            part(lambda: newest_first(parents), "d", missing)


# Against the definitions ------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> Graph[int]:
    """Commits 0, 1, …, each with up to two of the commits before it as its parents.

    Most are near, as in a real history, which a few branches run along.
    """
    parents: Graph[int] = {}
    reach = draw(st.sampled_from([2, 3, 4, 40]))
    for commit in range(draw(st.integers(1, 40))):
        earlier = st.integers(max(0, commit - reach), commit - 1) if commit else st.none()
        parent = draw(earlier) if draw(st.integers(0, 15)) else None
        merge_parent = draw(earlier) if draw(st.integers(0, 2)) == 0 else None
        parents[commit] = (parent, merge_parent)
    return parents


@st.composite
def graphs_with(draw: st.DrawFn, heads: int) -> tuple[Graph[int], list[int]]:
    """A graph and so many of its commits, most often of the newest."""
    parents = draw(graphs())
    newest = len(parents) - 1
    head = st.integers(0, newest) | st.integers(max(0, newest - 3), newest)
    return parents, [draw(head) for _ in range(heads)]


def ancestors(parents: Graph[int], head: int) -> set[int]:
    """Return a commit and all that it descends from."""
    found = {head}
    for commit in range(head, -1, -1):
        if commit in found:
            found.update(parent for parent in parents[commit] if parent is not None)
    return found


@st.composite
def small_graphs(draw: st.DrawFn) -> tuple[Graph[int], list[int]]:
    """As `graphs_with` two heads, but small enough for a definition of exponential cost."""
    parents, heads = draw(graphs_with(2))
    size = min(len(parents), 14)
    return {at: parents[at] for at in range(size)}, [head % size for head in heads]


@given(small_graphs())
def test_the_order_is_the_defined_one(case: tuple[Graph[int], list[int]]) -> None:
    parents, (ours, theirs) = case
    first, second = line_of(parents, ours), line_of(parents, theirs)

    assert line(newest_first(parents), ours) == first
    assert line(newest_first(parents), theirs, base=ours) == [
        commit for commit in second if commit not in first
    ]


@given(graphs_with(1))
def test_a_history_has_each_ancestor_once_and_after_its_parents(
    case: tuple[Graph[int], list[int]],
) -> None:
    parents, (head,) = case
    order = line(newest_first(parents), head)
    place = {commit: at for at, commit in enumerate(order)}

    assert len(place) == len(order)
    assert set(order) == reachable(parents, [head]) == ancestors(parents, head)
    for commit in order:
        assert all(place[old] < place[commit] for old in parents[commit] if old is not None)


@given(graphs_with(1))
def test_the_history_of_a_first_parent_ancestor_is_a_beginning(
    case: tuple[Graph[int], list[int]],
) -> None:
    parents, (head,) = case
    whole = line(newest_first(parents), head)
    base: int | None = head

    while base is not None:
        before = line(newest_first(parents), base)
        assert before + line(newest_first(parents), head, base=base) == whole
        base = parents[base][0]


@given(graphs_with(2))
def test_a_merge_continues_our_history_with_what_it_brings(
    case: tuple[Graph[int], list[int]],
) -> None:
    parents, (ours, theirs) = case
    merge = len(parents)
    both = line(newest_first({**parents, merge: (ours, theirs)}), merge)
    brought = line(newest_first(parents), theirs, base=ours)

    assert both == [*line(newest_first(parents), ours), *brought, merge]


@given(graphs_with(2))
def test_merge_bases_are_the_common_ancestors_of_which_no_other_descends(
    case: tuple[Graph[int], list[int]],
) -> None:
    parents, (a, b) = case
    common = ancestors(parents, a) & ancestors(parents, b)
    best = {
        commit
        for commit in common
        if not any(commit in ancestors(parents, other) for other in common - {commit})
    }

    assert merge_bases(newest_first(parents), a, b) == sorted(best, reverse=True)


@given(graphs_with(2))
def test_what_one_lacks_is_what_the_other_alone_reaches(
    case: tuple[Graph[int], list[int]],
) -> None:
    parents, (a, b) = case
    found = dict(beyond(newest_first(parents), b, a))

    assert [*found] == sorted(ancestors(parents, b) - ancestors(parents, a), reverse=True)
    assert found == {commit: parents[commit] for commit in found}


@given(graphs_with(2))
def test_a_head_parts_from_another_at_its_first_ancestor_there_by_first_parents(
    case: tuple[Graph[int], list[int]],
) -> None:
    parents, heads = case
    for one in heads:
        for other in heads:
            shared = reachable(parents, [other])
            at: int | None = one
            while at is not None and at not in shared:
                at = parents[at][0]

            own = dict(beyond(newest_first(parents), one, other))
            assert parted_at(parents, one, own) == at


@given(graphs_with(2))
def test_a_head_has_all_of_the_line_that_it_goes_on_from(
    case: tuple[Graph[int], list[int]],
) -> None:
    """Only a first parent's line begins its own in every graph."""
    parents, (head, base) = case
    fresh = dict(beyond(newest_first(parents), head, base))

    assert (parted_at(fresh, head, fresh) == base) == (base in first_parents(parents, head))


@given(small_graphs())
def test_lines_part_where_their_longest_common_beginning_ends(
    case: tuple[Graph[int], list[int]],
) -> None:
    parents, (one, other) = case
    pairs: list[tuple[int | None, int | None]] = [(one, other), (one, None), (None, other)]
    for head, base in pairs:
        found = part(lambda: newest_first(parents), head, base)
        new, old = line_of(parents, head), line_of(parents, base)
        common = [one for one, other in zip(new, old, strict=False) if one == other]
        while common != new[: len(common)] or common != old[: len(common)]:
            common.pop()  # what is equal again behind a difference

        assert [*line_of(parents, found.fork), *found.common] == common
        assert found.dropped == old[len(common) :]
        assert in_order(found.fresh, head) == new[len(line_of(parents, found.fork)) :]
        theirs = first_parents(parents, base)
        assert found.fork == next(c for c in first_parents(parents, head) if c in theirs)
