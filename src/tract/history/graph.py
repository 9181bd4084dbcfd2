"""The graph of commits: who descends from whom, and in which order a history is folded.

Pure functions over a parent map. It holds `(parent, merge_parent)` by commit; the second is None
for all but merge commits, both are None for a first commit. Commits are any hashable values but
None, which stands for the history of an empty branch. A commit counts as an ancestor of itself.

The map is asked for single commits alone, so one that reads them when they are asked for will
do. Every commit asked for must be there, else its `KeyError` goes on to the caller. Nothing here
recurses, and the work is linear in the commits asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

__all__ = ["brought", "is_ancestor", "linearise", "merge_bases", "parted_at", "reachable"]

K = TypeVar("K", bound=Hashable)

_OURS, _THEIRS, _BOTH = 1, 2, 3


def reachable(parents: Mapping[K, tuple[K | None, K | None]], heads: Iterable[K | None]) -> set[K]:
    """Return *heads* and all their ancestors; None among the heads adds nothing."""
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

    A commit follows the history of its parent; a merge commit follows, between the two, what the
    history of its merge parent has beyond that, in the order that it has there. So the history of
    any first-parent ancestor is a beginning of it, and with such a *base* only the rest is
    returned. Where no commit of the rest is a merge, nothing from *base* down is asked for.

    Raises:
        ValueError: *base* is no first-parent ancestor of *head*.
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
    """Return what a merge of *theirs* into *ours* brings, in the order in which it follows ours.

    That is the history of *theirs* without the commits of ours; both empty histories may be None.
    """
    colours = _Painting(parents, ours, theirs).colours
    wanted = {commit for commit, colour in colours.items() if colour == _THEIRS}
    return _in_order(parents, theirs, wanted)


def is_ancestor(
    parents: Mapping[K, tuple[K | None, K | None]], ancestor: K | None, commit: K | None
) -> bool:
    """Tell whether the history of *commit* holds *ancestor*; the empty history is in every one."""
    if ancestor is None or commit is None:
        return ancestor is None
    return _Painting(parents, ancestor, commit).colours[ancestor] == _BOTH


def parted_at(
    parents: Mapping[K, tuple[K | None, K | None]], head: K | None, own: Container[K]
) -> K | None:
    """Return where the line of first parents of *head* leaves *own*, or None.

    With *own* the commits that another history lacks, a head that is returned is a first-parent
    ancestor: its history is a beginning of that of *head*.
    """
    while head is not None and head in own:
        head = parents[head][0]
    return head


def merge_bases(
    parents: Mapping[K, tuple[K | None, K | None]], a: K | None, b: K | None
) -> list[K]:
    """Return the best common ancestors: those that are no ancestor of another one.

    Most often there is one. There is none where the histories share nothing, and several after
    merges that crossed. Their order is that in which a breadth-first walk from both heads, *a*
    first, meets them: the same in every run.
    """
    colours = _Painting(parents, a, b).colours
    common = [commit for commit, colour in colours.items() if colour == _BOTH]
    surpassed = {parent for commit in common for parent in parents[commit]}
    return [commit for commit in common if commit not in surpassed]


def _first_parents(
    parents: Mapping[K, tuple[K | None, K | None]], head: K | None, base: K
) -> Iterator[tuple[K, tuple[K | None, K | None]]]:
    """Yield the commits from *head* down to *base*, which is left out, with their parents."""
    commit = head
    while commit != base:
        if commit is None:
            raise ValueError(f"{base!r} is no first-parent ancestor of {head!r}")
        both = parents[commit]
        yield commit, both
        commit = both[0]


def _in_order(
    parents: Mapping[K, tuple[K | None, K | None]], head: K | None, wanted: set[K]
) -> list[K]:
    """Return the commits of *wanted*, which is used up, in the order of the history of *head*.

    The ancestors of a commit that is not wanted must not be wanted either.
    """
    order: list[K] = []
    path: list[K] = []  # each follows, sooner or later, on all that stand behind it
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
    """Two histories painted from their heads down, until every colour that was given is final.

    `colours` has, in the order in which they were met, all commits of which not both histories
    hold, and at least the newest of the common ones.

    Without times nothing tells how deep a commit lies, so a walk down one side may paint far
    below the place where the other comes in. It may stop where a single commit is left to go on
    from, which both hold, if no first commit was met: all that was met then descends from it, so
    that nothing below can change a colour.
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
        """Add *colour* to a commit and to what was painted from it, and see that it is walked."""
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
