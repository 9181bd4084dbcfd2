"""Histories: read along a branch, compared with each other, and verified."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence, Set

from tract.exceptions import TractError
from tract.protocols import UNSET, CommitStep, UnsetType
from tract.storage.values import (
    Basis,
    BranchName,
    CommitRow,
    Located,
    Misplaced,
    Origin,
    Position,
    Relation,
    Sizes,
    StoredCommit,
    StoredContent,
    Survey,
)

__all__ = ["ComparisonRepository", "HistoryRepository", "OvertakenError", "VerifyRepository"]


class OvertakenError(TractError):
    """An erasure came between two statements of a read. Callers of the library never see this."""


class HistoryRepository(ABC):
    """Reads histories, as folds, logs and merges need them."""

    @abstractmethod
    async def locate(self, branch: BranchName, position: Position, known: Set[str]) -> Located:
        """Find a head and, if it is near, the steps to it from its nearest *known* ancestor.

        *known* may change meanwhile: any thread may test it for membership, and does nothing else.

        Raises:
            CommitNotFoundError: *position* names a commit that is not in the tract.
        """

    @abstractmethod
    def history(
        self, tract_id: str, head_hash: str, known: Set[str], erasures: int | None
    ) -> AsyncIterator[tuple[str | None, Sequence[CommitStep]]]:
        """Yield all steps from the nearest *known* ancestor to a head, in batches, oldest first.

        Every batch comes with that ancestor, the same for all; *known* is as for `locate`. Without
        *erasures*, all is read at one moment, in one batch.

        Raises:
            OvertakenError: the tract was erased again after its *erasures* were counted.
        """

    @abstractmethod
    async def find(self, branch: BranchName, position: Position) -> str | None:
        """Return the hash of the commit at *position*, or None if there is none.

        Raises:
            CommitNotFoundError: *position* names a commit that is not in the tract.
        """

    @abstractmethod
    async def steps(self, tract_id: str, hashes: Sequence[str]) -> list[CommitStep]:
        """Return commits of the tract as steps, as the fold needs them."""

    @abstractmethod
    async def log(
        self,
        branch: BranchName,
        *,
        limit: int | None,
        before: str | UnsetType | None = UNSET,
        in_context: bool = False,
    ) -> list[CommitRow]:
        """Return the newest *limit* commits of the branch, or of those before *before*.

        The order is newest first by time; *in_context* makes it that of the fold, last first.
        Nothing is before None.

        Raises:
            CommitNotFoundError: *before* is not a commit of the tract.
        """

    @abstractmethod
    async def log_contents(
        self,
        branch: BranchName,
        *,
        limit: int | None,
        before: str | UnsetType | None = UNSET,
        in_context: bool = False,
    ) -> list[tuple[CommitRow, StoredContent]]:
        """Return what `log` does, each commit with its content, in one trip."""

    @abstractmethod
    async def annotations(self, branch: BranchName, target: str) -> list[StoredCommit]:
        """Return the ANNOTATE commits of *target* in the branch's history, oldest first.

        Raises:
            CommitNotFoundError: *target* is not a commit of the tract.
        """

    @abstractmethod
    async def origins(
        self, tract_id: str, commit: str | UnsetType | None = UNSET
    ) -> list[tuple[str, Origin]]:
        """Return the origins of one of the tract's commits, or of all of them, oldest first.

        A *commit* of None, an empty history, has none.

        Raises:
            CommitNotFoundError: *commit* is not a commit of the tract.
        """


class ComparisonRepository(ABC):
    """Reads how branches relate to each other, and what they hold."""

    @abstractmethod
    async def relation(self, branch: BranchName, other: BranchName) -> Relation:
        """Return how two branches of a tract relate to each other.

        Raises:
            BranchNotFoundError: *other* does not exist.
        """

    @abstractmethod
    async def still_holds(self, tract_id: str, head_hash: str | None, basis: Basis) -> bool:
        """Return True if what was computed from *basis* would come out the same on another head.

        That takes a head that goes on from `basis.ours`, one of its first parents, by commits that
        bring nothing of what is brought, change no entry that is touched and hide or show none. With
        `basis.any_edit`, they edit nothing that was there before; with `basis.erasures`, nothing of
        the tract was erased since. For a squash, none of them is another squash of the same. False
        if there are too many to look through.
        """

    @abstractmethod
    async def sizes(self, tract_id: str, head_hash: str | None) -> Sizes:
        """Return how much a head reaches: its commits and their blobs.

        Raises:
            CommitNotFoundError: the tract does not have it.
        """

    @abstractmethod
    async def survey(self, branch: BranchName, names: Sequence[str]) -> list[Survey]:
        """Return what happened on branches of the tract, all read at one moment.

        A single one is compared with *branch*, unless it is *branch* itself.

        Raises:
            BranchNotFoundError: a branch does not exist.
        """


class VerifyRepository(ABC):
    """Reads what is stored, sound or damaged, so that it can be checked."""

    @abstractmethod
    async def heads(self, tract_id: str) -> list[str]:
        """Return all commits that refs of the tract point to or pointed to, even missing ones.

        Together they reach every commit of the tract.
        """

    @abstractmethod
    def stored(self, tract_id: str, heads: Iterable[str]) -> AsyncIterator[Sequence[StoredCommit]]:
        """Yield *heads* and every commit that they reach, in batches, newest first.

        A missing parent ends its line. Blobs are returned as they are stored, right or wrong.
        """

    @abstractmethod
    async def misplaced(self, tract_id: str) -> list[Misplaced]:
        """Return the commits and branches whose place contradicts the tract's history.

        The place lets an engine find ancestors without walking to them. A branch that should not be
        empty comes with the commit that it was last set to.
        """
