"""Where a watch has come by: what it can go back to when the rest was taken from the database."""

from __future__ import annotations

from collections import deque
from collections.abc import Container

__all__ = ["Trail"]

_LAST = 64  # marks of one level


class Trail:
    """Some of the commits that a watch was given, its marks: the last all, of the others ever fewer.

    What the watch was given up to a mark is the mark's own line, so the newest mark that is left
    of them tells what still holds. There are marks close behind the end, and at any distance d
    from it about every d/64 commits; a million commits leave some 1,000.
    """

    def __init__(self) -> None:
        self.end: str | None = None
        """The last mark."""
        self._added = 0
        self._levels: list[deque[tuple[int, str]]] = []
        """The last marks whose number is a multiple of 1, of 2, of 4 and so on."""

    def add(self, commit_hash: str) -> None:
        """Put a mark behind the others."""
        self._added += 1
        level, number = 0, self._added
        while number % (1 << level) == 0:
            if level == len(self._levels):
                self._levels.append(deque(maxlen=_LAST))
            self._levels[level].append((number, commit_hash))
            level += 1
        self.end = commit_hash

    def drop(self, gone: Container[str]) -> None:
        """Take marks away."""
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
