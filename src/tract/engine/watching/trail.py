"""The way of a watch: commits to go back to if the database loses the later ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Container

__all__ = ["Trail"]

_LAST = 64  # marks of one level


class Trail:
    """Marks: some of the commits that a watch has read, all of the last and ever fewer before.

    Everything that the watch has read up to a mark is the mark's own line. So all that it has read
    up to the newest mark that the tract still has is still there. The last commits are all marks;
    at a distance d from the end, about every d/64th commit is. A million commits leave about 1,000
    marks.
    """

    def __init__(self) -> None:
        self.end: str | None = None
        """The last mark."""
        self._added = 0
        self._levels: list[deque[tuple[int, str]]] = []
        """Per level, the last marks whose number is a multiple of 1, 2, 4 and so on."""

    def add(self, commit_hash: str) -> None:
        """Add a mark after the others."""
        self._added += 1
        level, number = 0, self._added
        while number % (1 << level) == 0:
            if level == len(self._levels):
                self._levels.append(deque(maxlen=_LAST))
            self._levels[level].append((number, commit_hash))
            level += 1
        self.end = commit_hash

    def drop(self, gone: Container[str]) -> None:
        """Remove the marks that are in *gone*."""
        for level in self._levels:
            left = [mark for mark in level if mark[1] not in gone]
            level.clear()
            level.extend(left)
        marks = self.marks()
        self.end = marks[-1] if marks else None

    def marks(self) -> list[str]:
        """Return the marks, the oldest first."""
        found = {mark for level in self._levels for mark in level}
        return [commit_hash for _, commit_hash in sorted(found)]
