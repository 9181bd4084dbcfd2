"""What branches will hold after a transaction, for its budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tract.engine.commit.budget import Budget
from tract.protocols import UNSET, CommitStep, UnsetType
from tract.storage.repositories import (
    AddCommits,
    BranchName,
    Change,
    DeleteBranch,
    ForkBranch,
    Named,
    Position,
    ResetBranch,
)

__all__ = ["HEAD", "Forecast", "Future"]

HEAD: Position = Position()
_EMPTY = Position(None)


class Future(NamedTuple):
    """What a branch will hold: a stored context, and the steps that follow it."""

    branch: BranchName
    position: Position
    steps: list[CommitStep]


class _Line(NamedTuple):
    """A `Future` that others can continue; `before` and `step` are None for a stored context."""

    branch: BranchName
    position: Position
    before: _Line | None = None
    step: CommitStep | None = None


class Forecast:
    """The branches of a transaction, change by change.

    *kept* are the drafts that are not made, by number, with the commits that are there instead.
    """

    def __init__(self, budget: Budget, kept: Mapping[int, str]) -> None:
        self._budget = budget
        self._kept = kept
        self._lines: dict[BranchName, _Line] = {}
        self._commits: list[_Line] = []
        self._grown: dict[BranchName, None] = {}

    async def add(self, change: Change) -> None:
        """Take a change into account."""
        branch = _plain(change.branch)
        match change:
            case AddCommits():
                await self._commit(branch, change)
            case ForkBranch(_, name, at):
                self._lines[branch._replace(branch=name)] = self._line_at(branch, at)
            case ResetBranch(_, to, _):
                self._lines[branch] = self._line_at(branch, to)
            case DeleteBranch():
                self._lines[branch] = _Line(branch, _EMPTY)
            case _:
                pass  # it moves no branch

    @property
    def branches(self) -> list[BranchName]:
        """The branches that get commits, sorted."""
        return sorted(self._grown)

    def futures(self) -> Iterator[Future]:
        """Yield what the branches that get commits will hold."""
        for branch in self._grown:
            line = self._line(branch)
            steps: list[CommitStep] = []
            while line.before is not None and line.step is not None:
                steps.append(line.step)
                line = line.before
            yield Future(line.branch, line.position, steps[::-1])

    async def _commit(self, branch: BranchName, change: AddCommits) -> None:
        first = len(self._commits)
        steps = iter(await self._budget.steps(branch, change.drafts, self._kept, first))
        for number in range(first, first + len(change.drafts)):
            kept = self._kept.get(number)
            if kept is not None:
                self._commits.append(_Line(branch, Position(kept)))
                continue
            line = self._line(branch)
            line = _Line(line.branch, line.position, line, next(steps))
            self._lines[branch] = line
            self._grown[branch] = None
            self._commits.append(line)

    def _line(self, branch: BranchName) -> _Line:
        return self._lines.setdefault(branch, _Line(branch, HEAD))

    def _line_at(self, branch: BranchName, named: Named | UnsetType | None) -> _Line:
        if named is UNSET:
            return self._line(branch)
        if isinstance(named, int):
            return self._commits[named]
        return _Line(branch, Position(named))


def _plain(branch: BranchName) -> BranchName:
    """Return a branch that need not exist yet."""
    return BranchName(*branch)
