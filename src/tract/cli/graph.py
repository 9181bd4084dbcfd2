"""The graph of a history, drawn line by line as its commits come, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["ASCII", "LINES", "Graph", "Strokes"]


@dataclass(frozen=True)
class Strokes:
    """The characters that a graph is drawn with."""

    commit: str
    lane: str
    across: str
    crossing: str
    out_of: str
    """On the commit's own lane, where a line to the right begins."""
    into: str
    """On the commit's own lane, where a line to the left begins."""
    begins_right: str
    """The far end of a line to the right: a lane begins below."""
    begins_left: str
    joins_right: str
    """The far end of a line to the right: it joins a lane that is there."""
    joins_left: str
    ends_right: str
    """The far end of a line to the right: the lane above ends."""


LINES = Strokes("●", "│", "─", "┼", "├", "┤", "╮", "╭", "┤", "├", "╯")
ASCII = Strokes("*", "|", "-", "+", "|", "|", ".", ".", "|", "|", "'")


class Graph:
    """Lanes from commits to their parents.

    A commit must come before its parents. However long the history is, this only knows the commits
    that it has seen a child of, and not yet themselves.
    """

    def __init__(self, strokes: Strokes = LINES) -> None:
        self._strokes = strokes
        self._lanes: list[str | None] = []  # the commit that each lane leads to; None if it is free

    def rows(self, commit: str, parents: Sequence[str]) -> Iterator[tuple[str, bool]]:
        """Yield what to draw for a commit, as lines and whether each is the commit's own."""
        own, *others = self._leading_to(commit)
        for other in others:
            yield self._linked(own, other, self._strokes.ends_right), False
            self._lanes[other] = None
        yield self._drawn(own), True
        self._lanes[own] = parents[0] if parents else None
        for parent in parents[1:]:
            yield self._branching(own, parent), False
        while self._lanes and self._lanes[-1] is None:
            self._lanes.pop()

    def _leading_to(self, commit: str) -> list[int]:
        found = [at for at, lane in enumerate(self._lanes) if lane == commit]
        return found or [self._free(0, commit)]

    def _free(self, start: int, commit: str) -> int:
        """Return a lane from *start* on that was free, and now leads to *commit*."""
        lanes = range(start, len(self._lanes))
        at = next((at for at in lanes if self._lanes[at] is None), len(self._lanes))
        self._lanes[at : at + 1] = [commit]
        return at

    def _branching(self, own: int, parent: str) -> str:
        if parent in self._lanes:
            at, strokes = self._lanes.index(parent), self._strokes
            if at == own:
                return self._drawn(None)
            return self._linked(own, at, strokes.joins_right if at > own else strokes.joins_left)
        at = self._free(own + 1, parent)
        return self._linked(own, at, self._strokes.begins_right)

    def _drawn(self, own: int | None) -> str:
        strokes = self._strokes
        cells = [strokes.lane if lane is not None else " " for lane in self._lanes]
        if own is not None:
            cells[own] = strokes.commit
        return " ".join(cells).rstrip()

    def _linked(self, own: int, other: int, end: str) -> str:
        """Return a line with a stroke from the commit's lane to another."""
        strokes, left, right = self._strokes, min(own, other), max(own, other)
        drawn: list[str] = []
        for at, lane in enumerate(self._lanes):
            inside = left < at < right
            cell = " " if lane is None else strokes.lane
            if inside:
                cell = strokes.across if lane is None else strokes.crossing
            if at == own:
                cell = strokes.out_of if other > own else strokes.into
            elif at == other:
                cell = end
            drawn += [cell, strokes.across if left <= at < right else " "]
        return "".join(drawn).rstrip()
