"""Histories: read along a branch, held against each other, and checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence, Set

from tract.protocols import UNSET, CommitStep, UnsetType
from tract.storage.values import (
    BranchName,
    CommitRow,
    Located,
    MergeBasis,
    Misplaced,
    Origin,
    Position,
    Relation,
    Sizes,
    StoredCommit,
    Survey,
)

__all__ = ["ComparisonRepository", "HistoryRepository", "VerifyRepository"]


class HistoryRepository(ABC):
    """What a commit goes on from."""

    @abstractmethod
    async def locate(self, branch: BranchName, position: Position, known: Set[str]) -> Located:
        """Find a head and, if it is not far, the steps to it from its nearest *known* ancestor.

        *known* may change meanwhile: it is only asked for its members, from whichever thread.

        Raises:
            CommitNotFoundError: *position* names a commit that the tract does not have.
        """

    @abstractmethod
    def history(
        self, tract_id: str, head_hash: str, known: Set[str]
    ) -> AsyncIterator[tuple[str | None, Sequence[CommitStep]]]:
        """Yield all steps from the nearest *known* ancestor to a head, in batches, oldest first.

        Each batch comes with the base that all of them start from; *known* is as for `locate`.
        """

    @abstractmethod
    async def find(self, branch: BranchName, position: Position) -> str | None:
        """Return the hash of the commit at *position*, or None where there is none.

        Raises:
            CommitNotFoundError: *position* names a commit that the tract does not have.
        """

    @abstractmethod
    async def steps(self, tract_id: str, hashes: Sequence[str]) -> list[CommitStep]:
        """Return commits of the tract as the fold reads them."""

    @abstractmethod
    async def log(
        self,
        branch: BranchName,
        *,
        limit: int | None,
        before: str | UnsetType | None = UNSET,
        in_context: bool = False,
    ) -> list[CommitRow]:
        """Return the newest *limit* commits of the branch, or of the ancestors of *before*.

        Newest first by time, or *in_context*: the last ones of the order that is folded, the last
        first. Nothing is before None.

        Raises:
            CommitNotFoundError: the tract has no commit *before*.
        """

    @abstractmethod
    async def annotations(self, branch: BranchName, target: str) -> list[StoredCommit]:
        """Return the ANNOTATE commits of *target* in the branch's history, oldest first.

        Raises:
            CommitNotFoundError: the tract has no commit *target*.
        """

    @abstractmethod
    async def origins(
        self, tract_id: str, commit: str | UnsetType | None = UNSET
    ) -> list[tuple[str, Origin]]:
        """Return what one of the tract's commits, or all of them, came from, oldest first.

        None is no commit, and came from nothing.

        Raises:
            CommitNotFoundError: the tract has no commit *commit*.
        """


class ComparisonRepository(ABC):
    """How branches stand to each other, and what they hold."""

    @abstractmethod
    async def relation(self, branch: BranchName, other: BranchName) -> Relation:
        """Return how two branches of a tract stand to each other.

        Raises:
            BranchNotFoundError: *other* is not there.
        """

    @abstractmethod
    async def still_holds(self, tract_id: str, head_hash: str | None, basis: MergeBasis) -> bool:
        """Tell whether a merge computed from *basis* would be the same on another head.

        It is where that goes on from `basis.ours`, which is among its first parents, by commits and
        merges that have nothing of what the merge brings, change no entry that it touches, and for
        a squash are none of the same. What is too much to look through counts as a no.
        """

    @abstractmethod
    async def sizes(self, tract_id: str, head_hash: str | None) -> Sizes:
        """Return how much a head reaches."""

    @abstractmethod
    async def survey(self, branch: BranchName, names: Sequence[str]) -> list[Survey]:
        """Return what happened on branches of the tract, all seen at one moment.

        One alone is seen beside *branch*, unless that is the one.

        Raises:
            BranchNotFoundError: there is no such branch.
        """


class VerifyRepository(ABC):
    """What is stored, sound or damaged, for checking."""

    @abstractmethod
    async def heads(self, tract_id: str) -> list[str]:
        """Return where the refs of a tract point or pointed, whether those commits are there or not.

        Together they reach all its commits.
        """

    @abstractmethod
    def stored(self, tract_id: str, heads: Iterable[str]) -> AsyncIterator[Sequence[StoredCommit]]:
        """Yield *heads* and every commit that they reach, in batches, newest first.

        A parent that is not there ends its line; blobs are as stored, right or wrong.
        """

    @abstractmethod
    async def misplaced(self, tract_id: str) -> list[Misplaced]:
        """Return the commits and branches that are not filed where the tract's history says.

        By that an engine finds ancestors without walking to them. A branch that should not be empty
        comes with the commit that it was last set to.
        """
