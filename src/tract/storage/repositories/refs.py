"""Branches and tags, and what arrives on branches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from tract.protocols import UNSET, UnsetType
from tract.storage.values import (
    Arrivals,
    BranchName,
    Cursor,
    Heads,
    Move,
    RefRecord,
)

__all__ = ["ArrivalRepository", "RefRepository", "TagRepository"]


class RefRepository(ABC):
    """Makes, moves, deletes and lists branches, by their short names."""

    @abstractmethod
    async def head(self, branch: BranchName) -> str | None:
        """Return the hash of the branch's head, or None if it is empty."""

    @abstractmethod
    async def branches(self, tract_id: str) -> list[RefRecord]:
        """Return the tract's branches, by name."""

    @abstractmethod
    async def moves(self, tract_id: str) -> list[Move]:
        """Return where the tract's branches have pointed, oldest first."""

    @abstractmethod
    async def reached_by(self, tract_id: str, named: Sequence[str]) -> dict[str, list[str]]:
        """Return for each of some commits, as it is named, the branches that have it, by name.

        Raises:
            CommitNotFoundError: one is not in the tract.
        """

    @abstractmethod
    async def fork(
        self,
        branch: BranchName,
        name: str,
        at: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        """Make the branch *name* at a commit of the tract, or where *branch* points.

        It is empty if *at* is None or the branch that it starts from is.

        Raises:
            BranchExistsError: a branch of that name exists.
            CommitNotFoundError: *at* is not a commit of the tract.
            HeadMovedError: the head of *branch* is not *expected_head*.
        """

    @abstractmethod
    async def move(
        self,
        branch: BranchName,
        to: str | None,
        *,
        action: str,
        note: str | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> RefRecord:
        """Point a branch to another commit, or empty it.

        *action* is `reset`, which needs a commit of the branch's history, or `fast-forward`.

        Raises:
            BranchNotFoundError: the branch does not exist.
            CommitNotFoundError: *to* is not a commit of the tract.
            HeadMovedError: the head is not *expected_head*.
            TractError: *to* is not in the branch's history.
        """

    @abstractmethod
    async def delete(
        self,
        branch: BranchName,
        *,
        force: bool,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        """Delete a branch.

        Raises:
            BranchNotFoundError: the branch does not exist.
            HeadMovedError: its head is not *expected_head*.
            BranchNotMergedError: no other branch or tag reaches its head.
        """


class TagRepository(ABC):
    """Makes, deletes and lists tags, by their short names."""

    @abstractmethod
    async def tags(self, tract_id: str) -> list[RefRecord]:
        """Return the tract's tags, by name."""

    @abstractmethod
    async def tag(
        self,
        branch: BranchName,
        name: str,
        target: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> RefRecord:
        """Name a commit, or the head of *branch*.

        Raises:
            TagExistsError: a tag of that name exists.
            CommitNotFoundError: *target* is not a commit of the tract.
            HeadMovedError: the head of *branch* is not *expected_head*.
            TractError: there is no commit to name yet.
        """

    @abstractmethod
    async def untag(
        self, tract_id: str, name: str, *, expected_head: str | UnsetType | None = UNSET
    ) -> None:
        """Delete a tag.

        Raises:
            TagNotFoundError: the tag does not exist.
            HeadMovedError: it does not name *expected_head*.
        """


class ArrivalRepository(ABC):
    """Reads what arrives on branches, for watchers."""

    @abstractmethod
    async def read(self, branch: BranchName, cursor: Cursor) -> Arrivals:
        """Return the next commits of the branch after *cursor*, in order; maybe not all of them.

        Raises:
            CommitNotFoundError: the cursor names a commit that is not in the tract.
            StorageError: nothing is left to read, and other processes' commits no longer arrive.
        """

    @abstractmethod
    async def heads(self, branches: Sequence[BranchName]) -> Heads:
        """Return the heads of branches.

        Raises:
            StorageError: other processes' commits no longer arrive.
        """

    @property
    @abstractmethod
    def interval(self) -> float:
        """Seconds after which watchers ask for `heads` again, as some moves may go unreported."""

    @abstractmethod
    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """Call *callback*, on the event loop, with branches that moved.

        For moves of this process that is one call for each transaction, after it and before its
        writers are notified. An engine whose database notifies also reports other processes' moves
        as it learns of them; `heads` finds the moves that no engine reports. A reported branch may
        turn out to be where it was. One without a name stands for a tract that was erased from.
        """
