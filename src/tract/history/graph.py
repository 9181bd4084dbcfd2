"""The graph of commits: who descends from whom, and in which order a history is folded.

Pure functions over a parent map from each commit to `(parent, merge_parent)`. Only merge commits
have the second; a first commit has neither. A commit is any hashable value except None, which
stands for the history of an empty branch. A commit counts as its own ancestor.

The functions only look single commits up, so the map may load them lazily. It must hold every
commit that is looked up; its `KeyError` reaches the caller. Nothing here recurses, and the work
is linear in the commits looked up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

__all__ = ["brought", "is_ancestor", "linearise", "merge_bases", "parted_at", "reachable"]

K = TypeVar("K", bound=Hashable)

_OURS, _THEIRS, _BOTH = 1, 2, 3


def reachable(parents: Mapping[K, tuple[K | None, K | None]], heads: Iterable[K | None]) -> set[K]:
    """Return *heads* and all their ancestors; None among the heads adds no commits."""
    found: set[K] = set()
    waiting = [*heads]
    while waiting:
        commit = waiting.pop()
        if commit is not None and commit not in found:
            found.add(commit)
            waiting.extend(parents[commit])
    return found


def linearise(
    parents: Mapping[K, tuple[K | None, K | None]], head: K | None, base: K | None = None
) -> list[K]:
    """Return the history of *head*, oldest first: each commit once, after its parents.

    A commit follows the history of its parent. A merge commit first gets the commits of its merge
    parent's history that its parent lacks, in the order that they have there. So the history of
    any first-parent ancestor is a prefix of the whole; given such a *base*, only the rest is
    returned. If the rest has no merges, *base* and its ancestors are never looked up.

    Raises:
        ValueError: *base* is not a first-parent ancestor of *head*.
    """
    if base is None:
        return _in_order(parents, head, reachable(parents, [head]))
    rest, merges = [], False
    for commit, (_, merge_parent) in _first_parents(parents, head, base):
        rest.append(commit)
        merges = merges or merge_parent is not None
    return brought(parents, base, head) if merges else rest[::-1]


def brought(
    parents: Mapping[K, tuple[K | None, K | None]], ours: K | None, theirs: K | None
) -> list[K]:
    """Return the commits that a merge of *theirs* into *ours* brings, in the order that they get.

    That is the history of *theirs* without the commits of *ours*. Either may be None, the empty
    history.
    """
    colours = _Painting(parents, ours, theirs).colours
    wanted = {commit for commit, colour in colours.items() if colour == _THEIRS}
    return _in_order(parents, theirs, wanted)


def is_ancestor(
    parents: Mapping[K, tuple[K | None, K | None]], ancestor: K | None, commit: K | None
) -> bool:
    """Return True if the history of *commit* has *ancestor*; all of them have the empty history."""
    if ancestor is None or commit is None:
        return ancestor is None
    return _Painting(parents, ancestor, commit).colours[ancestor] == _BOTH


def parted_at(
    parents: Mapping[K, tuple[K | None, K | None]], head: K | None, own: Container[K]
) -> K | None:
    """Return the newest first-parent ancestor of *head* that is not in *own*, or None.

    If *own* is what another head lacks, that head may be the result; then its history is a prefix
    of that of *head*.
    """
    while head is not None and head in own:
        head = parents[head][0]
    return head


def merge_bases(
    parents: Mapping[K, tuple[K | None, K | None]], a: K | None, b: K | None
) -> list[K]:
    """Return the best common ancestors: those that are not an ancestor of another one.

    Most often there is one. There are none if the histories share nothing, and several after
    merges that crossed. The order is that of a breadth-first walk from both heads, *a* first, and
    is the same in every run.
    """
    colours = _Painting(parents, a, b).colours
    common = [commit for commit, colour in colours.items() if colour == _BOTH]
    surpassed = {parent for commit in common for parent in parents[commit]}
    return [commit for commit in common if commit not in surpassed]


def _first_parents(
    parents: Mapping[K, tuple[K | None, K | None]], head: K | None, base: K
) -> Iterator[tuple[K, tuple[K | None, K | None]]]:
    """Yield the commits from *head* down to *base*, exclusive, with their parents."""
    commit = head
    while commit != base:
        if commit is None:
            raise ValueError(f"{base!r} is not a first-parent ancestor of {head!r}")
        both = parents[commit]
        yield commit, both
        commit = both[0]


def _in_order(
    parents: Mapping[K, tuple[K | None, K | None]], head: K | None, wanted: set[K]
) -> list[K]:
    """Return the commits of *wanted* in the order of the history of *head*; *wanted* is consumed.

    No ancestor of a commit outside *wanted* may be in it.
    """
    order: list[K] = []
    path: list[K] = []  # each comes, sooner or later, after all those behind it in the list
    enter: K | None = head
    while True:
        while enter in wanted:
            path.append(enter)
            enter = parents[enter][0]
        if not path:
            return order
        enter = parents[path[-1]][1]
        if enter not in wanted:
            commit = path.pop()
            wanted.discard(commit)
            order.append(commit)


class _Painting(Generic[K]):
    """Two histories painted from their heads down, until every colour given is final.

    `colours` maps, in the order in which they were met, every commit that is not in both histories
    and at least the newest of those that are.

    Without times nothing says how deep a commit lies, so a walk down one side may paint far below
    the place where the other joins it. The walk may stop when one commit is left to visit that both
    sides have, provided that no first commit was met: everything met then descends from that
    commit, and nothing below it can change a colour.
    """

    def __init__(
        self,
        parents: Mapping[K, tuple[K | None, K | None]],
        ours: K | None,
        theirs: K | None,
    ) -> None:
        self.colours: dict[K, int] = {}
        self._parents = parents
        self._waiting: deque[K] = deque()
        self._walked: set[K] = set()
        self._paint(ours, _OURS)
        self._paint(theirs, _THEIRS)
        self._walk()

    def _walk(self) -> None:
        at_a_start = False
        while self._waiting:
            commit = self._waiting[0]
            colour = self.colours[commit]
            if colour == _BOTH and len(self._waiting) == 1 and not at_a_start:
                return
            self._waiting.popleft()
            self._walked.add(commit)
            parent, merge_parent = self._parents[commit]
            at_a_start = at_a_start or (parent is None and merge_parent is None)
            self._paint(parent, colour)
            self._paint(merge_parent, colour)

    def _paint(self, commit: K | None, colour: int) -> None:
        """Add *colour* to a commit and to everything painted from it, and queue it if it is new."""
        pending = [commit]
        while pending:
            commit = pending.pop()
            if commit is None:
                continue
            old = self.colours.get(commit, 0)
            if old | colour == old:
                continue
            self.colours[commit] = old | colour
            if not old:
                self._waiting.append(commit)
            elif commit in self._walked:
                pending.extend(self._parents[commit])
