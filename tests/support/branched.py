"""Branches and merges as the design words them: a second, plain implementation to compare with.

Commits are numbers, in the order in which they were made. Calls keep nothing but the commits and
the heads, and share nothing with the package: every answer is worked out from the definitions, by
recursion and sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from support.naive import Deed, entries, rendered

__all__ = ["Branched", "Conflict", "Made", "Settled"]


@dataclass(frozen=True)
class Made:
    """A commit; `kind` may also be `merge`. Commits are named by their numbers."""

    kind: str
    content: Any
    target: int | None
    config: dict[str, Any] | None
    parent: int | None
    merged: int | None = None


class Conflict(NamedTuple):
    """What both sides set differently; the values are messages or priorities."""

    kind: str
    entry: int
    base: Any
    ours: Any
    theirs: Any


class Settled(NamedTuple):
    """The values that a merge must show, by kind and entry, and its conflicts."""

    values: dict[tuple[str, int], Any]
    conflicts: list[Conflict]


@dataclass
class Branched:
    """A tract: its commits and where its branches point."""

    commits: list[Made] = field(default_factory=list)
    heads: dict[str, int | None] = field(default_factory=lambda: {"main": None})
    squashed: dict[int, int] = field(default_factory=dict)
    """The head of the squashed branch, by squash commit."""

    def add(self, branch: str, made: Made) -> int:
        """Commit on a branch; return the commit's number."""
        self.commits.append(made)
        self.heads[branch] = len(self.commits) - 1
        return len(self.commits) - 1

    def ancestors(self, head: int | None) -> set[int]:
        """Return *head* and all commits before it."""
        if head is None:
            return set()
        made = self.commits[head]
        return {head} | self.ancestors(made.parent) | self.ancestors(made.merged)

    def history(self, head: int | None) -> list[int]:
        """Return the history of a head in the order in which it is folded."""
        if head is None:
            return []
        made = self.commits[head]
        ours = self.history(made.parent)
        return [*ours, *(n for n in self.history(made.merged) if n not in ours), head]

    def line(self, head: int | None) -> list[int]:
        """Return a head, its parent, that one's parent and so on."""
        return [] if head is None else [head, *self.line(self.commits[head].parent)]

    def comes_to_nothing(self, ours: int, theirs: int) -> bool:
        """Return True if a merge would bring only merges, and change nothing that is shown."""
        new = self.ancestors(theirs) - self.ancestors(ours)
        settled = self.settle(ours, theirs)
        shown = self.entries(self.history(ours))
        return (
            not self.changing(new)
            and not settled.conflicts
            and all(value(kind, shown[at]) == now for (kind, at), now in settled.values.items())
        )

    def is_kept(self, name: str) -> bool:
        """Return True if other branches have all commits of a branch, merges aside."""
        others = [self.ancestors(head) for other, head in self.heads.items() if other != name]
        return not self.changing(self.ancestors(self.heads[name]).difference(*others))

    def changing(self, numbers: Iterable[int]) -> list[int]:
        """Return those of *numbers* that are not merges."""
        return [number for number in numbers if self.commits[number].kind != "merge"]

    def deeds(self, numbers: Sequence[int]) -> list[Deed]:
        """Return what commits do to a context; none of them is a merge."""
        place = {number: at for at, number in enumerate(numbers)}
        made = [self.commits[number] for number in numbers]
        return [
            Deed(
                item.kind,
                item.content,
                None if item.target is None else place[item.target],
                item.config,
            )
            for item in made
        ]

    def entries(self, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return every entry after a sequence of commits, by the number of its commit."""
        numbers = self.changing(numbers)
        return {numbers[entry["at"]]: entry for entry in entries(self.deeds(numbers))}

    def bases(self, ours: int | None, theirs: int | None) -> list[int]:
        """Return the common ancestors that are not ancestors of another one."""
        common = self.ancestors(ours) & self.ancestors(theirs)
        return [
            one
            for one in common
            if not any(one in self.ancestors(other) for other in common - {one})
        ]

    def settle(self, ours: int, theirs: int) -> Settled:
        """Return what a merge of two heads shows, and what it leaves to be decided."""
        mine, other = self.entries(self.history(ours)), self.entries(self.history(theirs))
        found = [self.entries(self.history(base)) for base in self.bases(ours, theirs)]
        values: dict[tuple[str, int], Any] = {}
        conflicts: list[Conflict] = []
        for entry in [number for number in mine if number in other]:
            befores = [base[entry] for base in found if entry in base]
            for kind, change in (("content", "edit"), ("priority", "annotate")):
                mine_is, other_is = value(kind, mine[entry]), value(kind, other[entry])
                before = [value(kind, base) for base in befores]
                agreed = bool(before) and all(was == before[0] for was in before)
                changed = [
                    now != before[0] if agreed else self._touched(change, entry, one, than)
                    for one, than, now in (
                        (ours, theirs, mine_is),
                        (theirs, ours, other_is),
                    )
                ]
                if mine_is == other_is or changed == [True, False]:
                    values[kind, entry] = mine_is
                elif changed == [False, True]:
                    values[kind, entry] = other_is
                elif kind == "content" and mine_is[0] == other_is[0]:
                    new = all(was[1] != other_is[1] for was in before)
                    values[kind, entry] = other_is if new else mine_is
                else:
                    three = (before[0] if agreed else None, mine_is, other_is)
                    conflicts.append(Conflict(kind, entry, *(_told(kind, item) for item in three)))
        return Settled(values, conflicts)

    def _touched(self, change: str, entry: int, head: int, than: int) -> bool:
        """Return True if a head's own commits, those that *than* lacks, changed an entry so."""
        own = [self.commits[n] for n in self.ancestors(head) - self.ancestors(than)]
        return any(made.kind == change and made.target == entry for made in own)


def value(kind: str, entry: dict[str, Any]) -> Any:
    """Return what a merge compares of an entry: message and config, or priority."""
    if kind == "priority":
        return entry["priority"]
    return rendered(entry["content"]), entry["config"]


def _told(kind: str, found: Any) -> Any:
    """Return the part of a value that a conflict reports: all but the config."""
    return found[0] if kind == "content" and found is not None else found
