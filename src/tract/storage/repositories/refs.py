"""Branches and tags, and what comes to branches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from tract.protocols import UNSET, UnsetType
from tract.storage.values import (
    Arrivals,
    BranchName,
    Cursor,
    Move,
    RefRecord,
)

__all__ = ["ArrivalRepository", "RefRepository", "TagRepository"]


class RefRepository(ABC):
    """Branches, by their short names."""

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
    async def tract_ids(self) -> list[str]:
        """Return the ids of all tracts that have commits, on whichever branch or on none, sorted."""

    @abstractmethod
    async def fork(
        self,
        branch: BranchName,
        name: str,
        at: str | UnsetType | None = UNSET,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> None:
        """Make the branch *name*, at a commit of the tract or where *branch* points.

        It is empty at None, and where *branch* is.

        Raises:
            BranchExistsError: there is one of that name.
            CommitNotFoundError: the tract has no commit *at*.
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

        *action* is `reset`, for a commit of its history, or `fast-forward`.

        Raises:
            BranchNotFoundError: there is no such branch.
            CommitNotFoundError: the tract has no commit *to*.
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
        """Take a branch away.

        Raises:
            BranchNotFoundError: there is no such branch.
            HeadMovedError: its head is not *expected_head*.
            BranchNotMergedError: no other branch or tag reaches its head.
        """


class TagRepository(ABC):
    """Tags, by their short names."""

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
        """Name a commit, or where *branch* points.

        Raises:
            TagExistsError: there is one of that name.
            CommitNotFoundError: the tract has no commit *target*.
            HeadMovedError: the head of *branch* is not *expected_head*.
            TractError: it would name the moment before the first commit.
        """

    @abstractmethod
    async def untag(
        self, tract_id: str, name: str, *, expected_head: str | UnsetType | None = UNSET
    ) -> None:
        """Take a tag away.

        Raises:
            TagNotFoundError: there is no such tag.
            HeadMovedError: it names another commit than *expected_head*.
        """


class ArrivalRepository(ABC):
    """What comes to branches, for those who wait for it."""

    @abstractmethod
    async def read(self, branch: BranchName, cursor: Cursor) -> Arrivals:
        """Return some of what the branch has behind *cursor*, in order; nothing if that is all.

        Raises:
            CommitNotFoundError: the cursor names a commit that the tract does not have.
            StorageError: there is nothing, and what others commit is not seen here any more.
        """

    @abstractmethod
    async def heads(self, branches: Sequence[BranchName]) -> Sequence[str | None]:
        """Return where branches point, in their order; None for one that is empty or not there.

        Raises:
            StorageError: what others commit is not seen here any more.
        """

    @abstractmethod
    def on_move(self, callback: Callable[[Iterable[BranchName]], None]) -> None:
        """Have *callback* told, on the event loop, of branches that were moved.

        Of this process's it is told once for each transaction, after it and before those who wrote
        are. An engine whose database notifies tells of others' moves, too, as it learns of them;
        what no engine has told, `heads` finds. A branch may be told of that stands where it stood.
        """
