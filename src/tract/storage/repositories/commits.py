"""Commits one by one: written, read, and found by their configs; their contents and usage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tract.exceptions import TractError
from tract.models.query import ConfigCondition, ConfigField
from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.storage.values import (
    BranchName,
    CommitDraft,
    CommitRow,
    MergeBasis,
    StreamEnd,
)

__all__ = ["BlobRepository", "CommitRepository", "OutdatedMergeError", "UsageRepository"]


class OutdatedMergeError(TractError):
    """What a merge was computed from is not so any more; nothing was written. No caller sees it."""


class CommitRepository(ABC):
    """Commits: written on a branch's head, read by hash, and found by config."""

    @abstractmethod
    async def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        *,
        expected_head: str | UnsetType | None = UNSET,
        ending: StreamEnd | None = None,
    ) -> list[CommitRow]:
        """Commit *drafts* in order on the branch's head at that moment, and move the head.

        Times strictly increase within the tract. *ending* ends a stream with them; nothing is
        written and the result empty where it claims a stream that is not as it was any more.

        Raises:
            HeadMovedError: the head is not *expected_head*.
            StreamRecoveredError: *ending* has an owner, and the stream is not that owner's any more.
            EditTargetError: a draft's target is not an entry of this branch's history.
            CommitNotFoundError: an annotation's target is no commit of this tract.
        """

    @abstractmethod
    async def merge(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: MergeBasis,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRow]:
        """Commit the *drafts* of a merge like `write`, as long as *basis* still holds at the head.

        Raises:
            OutdatedMergeError: it does not.
            HeadMovedError: the head is not *expected_head*.
        """

    @abstractmethod
    def check_writable(self) -> None:
        """Refuse what would write in the end, before anybody is asked or anything is paid for it.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
        """

    @abstractmethod
    async def get(self, tract_id: str, commit_hash: str) -> CommitRow | None:
        """Return one commit of the tract, or None."""

    @abstractmethod
    async def resolve(self, tract_id: str, named: str) -> str | None:
        """Return the hash of the commit that a hash, a tag or a branch names; None: an empty branch.

        Raises:
            CommitNotFoundError: it names none.
        """

    @abstractmethod
    async def query(
        self,
        branch: BranchName,
        conditions: Sequence[ConfigCondition],
        *,
        branch_only: bool = False,
        limit: int | None = None,
    ) -> list[CommitRow]:
        """Return the commits of the tract that meet all *conditions*, oldest first.

        With *branch_only*, only those in the branch's history. Without conditions, all of them.

        Raises:
            QueryError: a field has more awkward keys than the database can search through.
        """

    @abstractmethod
    async def get_by_config(
        self,
        tract_id: str,
        json_path: ConfigField,
        operator: str,
        value: Any,
        *,
        limit: int | None = None,
    ) -> list[CommitRow]:
        """Do what `query` does for one condition that is yet to be checked.

        Raises:
            QueryError: the field, the operator or the value cannot be used.
        """

    @abstractmethod
    async def create_config_index(self, json_path: ConfigField) -> None:
        """Make queries on a field quick for all tracts; nothing happens if it is already.

        Raises:
            QueryError: the field cannot be used, or not be indexed.
        """


class BlobRepository(ABC):
    """Contents by hash."""

    @abstractmethod
    async def get(self, tract_id: str, commit_hash: str) -> tuple[CommitRow, bytes]:
        """Return a commit with its content.

        Raises:
            CommitNotFoundError: the tract has no such commit.
            BlobNotFoundError: its content is missing.
        """


class UsageRepository(ABC):
    """What APIs reported."""

    @abstractmethod
    async def record(
        self, branch: BranchName, usage: TokenUsage, raw_json: str, *, head_hash: str
    ) -> str:
        """Keep *usage* for the branch's head, in place of what was reported before; return the head.

        Raises:
            HeadMovedError: the head is not *head_hash*.
        """

    @abstractmethod
    async def record_at(
        self, tract_id: str, commit_hash: str, usage: TokenUsage, raw_json: str
    ) -> None:
        """Keep *usage* for a commit that is there, the head of its branch or not."""
