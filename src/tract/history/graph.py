"""The graph of commits: who descends from whom, and in which order a history is folded.

Pure functions over commits with their parents, `(parent, merge_parent)`. Only merge commits have the
second; a first commit has neither. A commit is any hashable value except None, which stands for the
history of an empty branch. A commit counts as its own ancestor.

Commits come *newest first*: each before its parents, whatever others lie between. They are read
only as far as necessary, once, so they may come from a database while they are read. If they end
before a commit that is needed, a `KeyError` names it. Nothing here recurses, and the work is linear
in the commits read.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Generic, NamedTuple, TypeVar

__all__ = [
    "Commit",
    "Parents",
    "Parting",
    "beyond",
    "first_parents",
    "in_order",
    "line",
    "merge_bases",
    "part",
    "parted_at",
]

K = TypeVar("K", bound=Hashable)

Parents = tuple[K | None, K | None]
Commit = tuple[K, Parents[K]]

_ONE, _OTHER, _BOTH, _PAST = 1, 2, 3, 4


def beyond(
    newest_first: Iterable[Commit[K]],
    head: K | None,
    base: K | None,
    known: Callable[[K], bool] | None = None,
) -> Iterator[Commit[K]]:
    """Yield the commits that *head* has and *base* lacks, newest first, with their parents.

    Parents for which *known* returns True are left out, and so is what only they descend from.
    """
    painted = _painted(newest_first, _colours(head, base), final=_OTHER, known=known)
    return ((commit, parents) for commit, parents, colour in painted if colour == _ONE)


def line(newest_first: Iterable[Commit[K]], head: K | None, base: K | None = None) -> list[K]:
    """Return the history of *head*, oldest first, without the commits of *base*.

    A commit follows the history of its parent. A merge commit first gets the commits of its merge
    parent's history that its parent lacks, in the order that they have there. So the history of
    any first-parent ancestor is a prefix of the whole. What is left without *base* is what a merge
    of *head* into *base* brings.
    """
    return in_order(dict(beyond(newest_first, head, base)), head)


def in_order(fresh: Mapping[K, Parents[K]], head: K | None) -> list[K]:
    """Return the commits `beyond` a base for *head* in the order of its line."""
    if all(merge_parent is None for _, merge_parent in fresh.values()):
        return [*fresh][::-1]
    wanted = {*fresh}
    order: list[K] = []
    path: list[K] = []  # each comes, sooner or later, after all those behind it in the list
    enter = head
    while True:
        while enter is not None and enter in wanted:
            path.append(enter)
            enter = fresh[enter][0]
        if not path:
            return order
        enter = fresh[path[-1]][1]
        if enter not in wanted:
            commit = path.pop()
            wanted.discard(commit)
            order.append(commit)


def first_parents(parents: Mapping[K, Parents[K]], head: K | None) -> Iterator[K]:
    """Yield *head*, its first parent, that one's first parent and so on."""
    while head is not None:
        yield head
        head = parents[head][0]


def parted_at(parents: Mapping[K, Parents[K]], head: K | None, own: Container[K]) -> K | None:
    """Return the newest first-parent ancestor of *head* that is not in *own*, or None.

    If *own* is what another head lacks, that head may be the result; then its history is a prefix
    of that of *head*.
    """
    return next((commit for commit in first_parents(parents, head) if commit not in own), None)


class Parting(NamedTuple, Generic[K]):
    """How the lines of a head and of a base diverge.

    Both begin with the line of `fork`, the newest first parent that they share, followed by
    `common`. The base's goes on with `dropped`. `fresh` is what the head has beyond `fork`.
    """

    fork: K | None
    common: list[K]
    dropped: list[K]
    fresh: dict[K, Parents[K]]


def part(
    newest_first: Callable[[], Iterable[Commit[K]]], head: K | None, base: K | None
) -> Parting[K]:
    """Return how the lines of *head* and *base* diverge; reads the commits three times."""
    fork = _fork(newest_first(), head, base)
    fresh = dict(beyond(newest_first(), head, fork))
    new, old = in_order(fresh, head), line(newest_first(), base, fork)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(new, old, strict=False)))
    return Parting(fork, new[:same], old[same:], fresh)


def _fork(newest_first: Iterable[Commit[K]], head: K | None, base: K | None) -> K | None:
    """Return the newest commit that is a first parent of both; each counts as its own."""
    if head is None or base is None:
        return None
    firsts = ((commit, (parent, None)) for commit, (parent, _) in newest_first)
    painted = _painted(firsts, _colours(head, base), final=_PAST)
    return next((commit for commit, _, colour in painted if colour == _BOTH), None)


def merge_bases(newest_first: Iterable[Commit[K]], a: K | None, b: K | None) -> list[K]:
    """Return the best common ancestors, newest first: none is an ancestor of another one.

    Most often there is one. There are none if the histories share nothing, and several after
    merges that crossed.
    """
    painted = _painted(newest_first, _colours(a, b), final=_PAST)
    return [commit for commit, _, colour in painted if colour == _BOTH]


def _colours(one: K | None, other: K | None) -> dict[K, int]:
    """Return the colours that `_painted` begins with."""
    if one == other:
        return {} if one is None else {one: _BOTH}
    return {head: at for head, at in ((one, _ONE), (other, _OTHER)) if head is not None}


def _painted(
    newest_first: Iterable[Commit[K]],
    waiting: dict[K, int],
    *,
    final: int,
    known: Callable[[K], bool] | None = None,
) -> Iterator[tuple[K, Parents[K], int]]:
    """Yield the commits that are *waiting* and all that they descend from, with their colours.

    The colour tells which heads reach a commit; `_PAST` is added to what common ancestors descend
    from. The walk ends when every commit that is left to visit has a colour of *final*.
    """
    left = sum(not colour & final for colour in waiting.values())
    for commit, parents in newest_first if left else ():
        colour = waiting.pop(commit, 0)
        if not colour:
            continue
        left -= not colour & final
        yield commit, parents, colour
        colour |= _PAST if colour == _BOTH else 0
        for parent in parents:
            if parent is None or (known and known(parent)):
                continue
            before = waiting.get(parent, 0)
            after = waiting[parent] = before | colour
            left += (not after & final) - (before > 0 and not before & final)
        if not left:
            return
    if left:
        raise KeyError(next(each for each, colour in waiting.items() if not colour & final))
