"""The graph of commits, on plain dicts, against definitions written down without any thrift."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract.history.graph import brought, is_ancestor, linearise, merge_bases, parted_at, reachable

K = TypeVar("K")
Parents = dict[K, tuple[K | None, K | None]]

LONG = 100_000


def graph(*lines: str) -> Parents[str]:
    """Return a map from lines such as `a`, `b a` (b's parent is a) and `m a b` (a merge)."""
    parents: Parents[str] = {}
    for line in lines:
        commit, parent, merge_parent, *_ = (*line.split(), None, None)
        assert commit is not None
        parents[commit] = (parent, merge_parent)
    return parents


def chain(first: int, size: int, parent: int | None) -> Parents[int]:
    """Return *size* commits one after the other, numbered from *first*."""
    return {at: (parent if at == first else at - 1, None) for at in range(first, first + size)}


class Watched(Mapping[K, tuple[K | None, K | None]]):
    """A parent map that notes which commits it was asked for."""

    def __init__(self, parents: Parents[K]) -> None:
        self.asked: list[K] = []
        self._parents = parents

    def __getitem__(self, commit: K) -> tuple[K | None, K | None]:
        self.asked.append(commit)
        return self._parents[commit]

    def __iter__(self) -> Iterator[K]:
        raise AssertionError("the map may be larger than what is needed of it")

    def __len__(self) -> int:
        raise AssertionError("the map may be larger than what is needed of it")


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


class TestLinearise:
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
        self, parents: Parents[str], head: str | None, order: str
    ) -> None:
        assert linearise(parents, head) == list(order)

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
        self, parents: Parents[str], head: str, base: str, order: str
    ) -> None:
        assert linearise(parents, head, base) == list(order)

    @pytest.mark.parametrize(
        ("parents", "head", "base"),
        [(LINE, "b", "c"), (DIAMOND, "m", "y"), (APART, "b", "x"), (LINE, None, "a")],
    )
    def test_a_base_must_be_a_first_parent_ancestor(
        self, parents: Parents[str], head: str | None, base: str
    ) -> None:
        """Whatever else the head descends from: its history does not begin with that one's."""
        with pytest.raises(ValueError, match=f"'{base}' is not a first-parent ancestor of"):
            linearise(parents, head, base)

    def test_without_merges_only_what_follows_the_base_is_asked_for(self) -> None:
        parents = Watched(chain(0, LONG, None))

        assert linearise(parents, 5_000, 4_990) == [*range(4_991, 5_001)]
        assert sorted(parents.asked) == [*range(4_991, 5_001)]


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
        self, parents: Parents[str], ours: str | None, theirs: str | None, order: str
    ) -> None:
        assert brought(parents, ours, theirs) == list(order)


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
            (CRISS_CROSS, "c", "y", "bx"),
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
        self, parents: Parents[str], a: str | None, b: str | None, bases: str
    ) -> None:
        assert merge_bases(parents, a, b) == list(bases)

    def test_the_order_is_the_same_in_every_process(self) -> None:
        """Hashes of strings differ from one to the next; the order of sets with them."""
        script = (
            "from tract.history.graph import merge_bases\n"
            "names = [f'h{n}' for n in range(20)]\n"
            "parents = {n: (None, None) for n in names}\n"
            "for side, order in (('l', names), ('r', names[::-1])):\n"
            "    head = None\n"
            "    for n in order:\n"
            "        parents[side + n] = (head, n) if head else (n, None)\n"
            "        head = side + n\n"
            "print(*merge_bases(parents, 'lh19', 'rh0'))\n"
        )
        runs = {
            subprocess.run(
                [sys.executable, "-c", script],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
                env={**os.environ, "PYTHONHASHSEED": str(seed)},
            ).stdout
            for seed in range(2)
        }

        assert len(runs) == 1
        assert len(runs.pop().split()) == 20


class TestIsAncestor:
    @pytest.mark.parametrize(
        ("ancestor", "commit", "expected"),
        [
            ("a", "c", True),
            ("x", "c", True),
            ("c", "c", True),
            ("c", "a", False),
            ("n", "c", False),
            (None, "a", True),
            (None, None, True),
            ("a", None, False),
        ],
    )
    def test_a_commit_descends_from_both_of_its_parents(
        self, ancestor: str | None, commit: str | None, expected: bool
    ) -> None:
        assert is_ancestor(CRISS_CROSS, ancestor, commit) is expected


class TestReachable:
    @pytest.mark.parametrize(
        ("heads", "found"),
        [([], ""), ([None], ""), (["m"], "abxm"), (["c", None, "x"], "abcmx"), (["a", "a"], "a")],
    )
    def test_heads_and_their_ancestors(self, heads: list[str | None], found: str) -> None:
        assert reachable(CRISS_CROSS, heads) == set(found)


class TestHistoriesOfAnyLength:
    def test_a_long_chain(self) -> None:
        parents = chain(0, LONG, None)

        assert linearise(parents, LONG - 1) == [*range(LONG)]
        assert merge_bases(parents, LONG - 1, 5) == [5]
        assert brought(parents, 5, LONG - 1) == [*range(6, LONG)]
        assert len(reachable(parents, [LONG - 1])) == LONG

    def test_merges_upon_merges_on_the_second_side(self) -> None:
        """A walk that called itself for each merge parent would be as deep as the history."""
        parents: Parents[int] = {0: (None, None)}
        parents.update({at: (0, at - 1) for at in range(1, LONG)})

        assert linearise(parents, LONG - 1) == [*range(LONG)]
        assert is_ancestor(parents, 1, LONG - 1)

    def test_two_near_heads_cost_their_distance_however_long_the_history(self) -> None:
        shared = chain(0, LONG, None)
        parents = Watched(shared | chain(LONG, 50, LONG - 1) | chain(2 * LONG, 3, LONG - 1))

        assert merge_bases(parents, LONG + 49, 2 * LONG + 2) == [LONG - 1]
        assert brought(parents, LONG + 49, 2 * LONG + 2) == [*range(2 * LONG, 2 * LONG + 3)]
        assert not is_ancestor(parents, 2 * LONG + 2, LONG + 49)
        assert is_ancestor(parents, LONG - 9, LONG + 49)
        assert len(parents.asked) < 2_000

    @pytest.mark.parametrize("missing", ["a", "b", "d"])
    def test_a_commit_that_is_missing_is_a_key_error(self, missing: str) -> None:
        parents = {commit: both for commit, both in LINE.items() if commit != missing}

        with pytest.raises(KeyError, match=f"'{missing}'"):
            linearise(parents, "d")
        with pytest.raises(KeyError, match=f"'{missing}'"):
            reachable(parents, ["d"])


# Against the definitions ------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> Parents[int]:
    """Commits 0, 1, …, each with up to two of the commits before it as its parents.

    Most are near, as in a real history, which a few branches run along.
    """
    parents: Parents[int] = {}
    reach = draw(st.sampled_from([2, 3, 4, 40]))
    for commit in range(draw(st.integers(1, 40))):
        earlier = st.integers(max(0, commit - reach), commit - 1) if commit else st.none()
        parent = draw(earlier) if draw(st.integers(0, 15)) else None
        merge_parent = draw(earlier) if draw(st.integers(0, 2)) == 0 else None
        parents[commit] = (parent, merge_parent)
    return parents


@st.composite
def graphs_with(draw: st.DrawFn, heads: int) -> tuple[Parents[int], list[int]]:
    """A graph and so many of its commits, most often of the newest."""
    parents = draw(graphs())
    newest = len(parents) - 1
    head = st.integers(0, newest) | st.integers(max(0, newest - 3), newest)
    return parents, [draw(head) for _ in range(heads)]


def defined(parents: Parents[int], head: int | None) -> list[int]:
    """Return the linearisation as the design words it."""
    if head is None:
        return []
    parent, merge_parent = parents[head]
    ours = defined(parents, parent)
    theirs = [] if merge_parent is None else defined(parents, merge_parent)
    return [*ours, *(commit for commit in theirs if commit not in ours), head]


def ancestors(parents: Parents[int], head: int) -> set[int]:
    """Return a commit and all that it descends from."""
    found = {head}
    for commit in range(head, -1, -1):
        if commit in found:
            found.update(parent for parent in parents[commit] if parent is not None)
    return found


@st.composite
def small_graphs(draw: st.DrawFn) -> tuple[Parents[int], list[int]]:
    """As `graphs_with` two heads, but small enough for a definition of exponential cost."""
    parents, heads = draw(graphs_with(2))
    size = min(len(parents), 14)
    return {at: parents[at] for at in range(size)}, [head % size for head in heads]


@given(small_graphs())
def test_the_order_is_the_defined_one(case: tuple[Parents[int], list[int]]) -> None:
    parents, (ours, theirs) = case
    first, second = defined(parents, ours), defined(parents, theirs)

    assert linearise(parents, ours) == first
    assert brought(parents, ours, theirs) == [commit for commit in second if commit not in first]


@given(graphs_with(1))
def test_a_history_has_each_ancestor_once_and_after_its_parents(
    case: tuple[Parents[int], list[int]],
) -> None:
    parents, (head,) = case
    order = linearise(parents, head)
    place = {commit: at for at, commit in enumerate(order)}

    assert len(place) == len(order)
    assert set(order) == reachable(parents, [head]) == ancestors(parents, head)
    for commit in order:
        assert all(place[old] < place[commit] for old in parents[commit] if old is not None)


@given(graphs_with(1))
def test_the_history_of_a_first_parent_ancestor_is_a_beginning(
    case: tuple[Parents[int], list[int]],
) -> None:
    parents, (head,) = case
    whole = linearise(parents, head)
    base: int | None = head

    while base is not None:
        assert linearise(parents, base) + linearise(parents, head, base) == whole
        base = parents[base][0]


@given(graphs_with(2))
def test_a_merge_continues_our_history_with_what_it_brings(
    case: tuple[Parents[int], list[int]],
) -> None:
    parents, (ours, theirs) = case
    merge = len(parents)
    both = linearise({**parents, merge: (ours, theirs)}, merge)

    assert both == [*linearise(parents, ours), *brought(parents, ours, theirs), merge]


@given(graphs_with(2))
def test_merge_bases_are_the_common_ancestors_of_which_no_other_descends(
    case: tuple[Parents[int], list[int]],
) -> None:
    parents, (a, b) = case
    common = ancestors(parents, a) & ancestors(parents, b)
    best = {
        commit
        for commit in common
        if not any(commit in ancestors(parents, other) for other in common - {commit})
    }
    found = merge_bases(parents, a, b)

    assert len(found) == len(set(found))
    assert set(found) == set(merge_bases(parents, b, a)) == best


@given(graphs_with(2))
def test_ancestors_are_those_of_the_closure(case: tuple[Parents[int], list[int]]) -> None:
    parents, (a, b) = case

    assert is_ancestor(parents, a, b) == (a in ancestors(parents, b))
    assert set(brought(parents, a, b)) == ancestors(parents, b) - ancestors(parents, a)


@given(graphs_with(2))
def test_a_head_parts_from_another_at_its_first_ancestor_there_by_first_parents(
    case: tuple[Parents[int], list[int]],
) -> None:
    parents, heads = case
    for one in heads:
        for other in heads:
            shared = reachable(parents, [other])
            line: int | None = one
            while line is not None and line not in shared:
                line = parents[line][0]

            assert parted_at(parents, one, {*brought(parents, other, one)}) == line
