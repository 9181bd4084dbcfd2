"""Commits one by one, written, read and found by their configs; their contents and usage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tract.exceptions import TractError
from tract.models.queries.query import Condition, ConfigField
from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.storage.values import (
    Attached,
    Basis,
    BranchName,
    CommitDraft,
    CommitRow,
    StoredContent,
    StreamEnd,
)

__all__ = [
    "AttachmentRepository",
    "BlobRepository",
    "CommitRepository",
    "KeyRepository",
    "OutdatedBasisError",
    "QueryRepository",
    "UsageRepository",
]


class OutdatedBasisError(TractError):
    """What was computed no longer fits the head; nothing was written. It never reaches a caller."""


class CommitRepository(ABC):
    """Writes commits on a branch's head, reads them by hash, and finds them by config."""

    @abstractmethod
    async def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        *,
        expected_head: str | UnsetType | None = UNSET,
        ending: StreamEnd | None = None,
    ) -> list[CommitRow]:
        """Commit *drafts*, in order, on the branch's current head, and move the head.

        Times strictly increase within the tract. *ending* ends a stream in the same transaction,
        and its fate is set once that has committed. If it claims a stream that has changed since,
        nothing is written and the result is empty. The bytes that drafts bring are given to the
        tract.

        Raises:
            ContentValidationError: a draft refers to an attachment that the tract was not given.
            HeadMovedError: the head is not *expected_head*.
            StreamRecoveredError: *ending* has an owner that no longer owns the stream.
            EditTargetError: a draft's target is not an entry of this branch's history.
            CommitNotFoundError: an annotation's target is not a commit of this tract.
        """

    @abstractmethod
    async def write_on(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: Basis,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRow]:
        """Commit *drafts* like `write`, if the *basis* that they were computed from still holds.

        See `ComparisonRepository.still_holds`.

        Raises:
            OutdatedBasisError: *basis* does not hold any more.
            HeadMovedError: the head is not *expected_head*.
        """

    @abstractmethod
    def check_writable(self) -> None:
        """Raise if writes cannot succeed; called before work that would lead up to one.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
        """

    @abstractmethod
    async def get(self, tract_id: str, commit_hash: str) -> CommitRow | None:
        """Return one commit of the tract, or None."""

    @abstractmethod
    async def resolve(self, tract_id: str, named: str) -> str | None:
        """Return the hash of the commit that a hash, tag or branch names; None for an empty branch.

        Raises:
            CommitNotFoundError: *named* does not name a commit.
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
        """Do what `QueryRepository.query` does for one condition, which is checked here.

        Raises:
            QueryError: the field, the operator or the value is not valid.
        """

    @abstractmethod
    async def create_config_index(self, json_path: ConfigField) -> None:
        """Make queries on a field quick for all tracts; do nothing if they are.

        Raises:
            QueryError: the field is not valid, or cannot be indexed.
        """


class QueryRepository(ABC):
    """Finds commits by conditions."""

    @abstractmethod
    async def query(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool = False,
        limit: int | None = None,
        newest: bool = False,
        after: str | None = None,
        before: str | None = None,
    ) -> list[CommitRow]:
        """Return the commits of the tract that meet all *conditions*, oldest or *newest* first.

        With *branch_only*, only those in the branch's history; with *after* and *before*, only those
        made later than one commit of the tract and earlier than another. No conditions match every
        commit.

        Raises:
            CommitNotFoundError: the tract has no commit *after* or *before*.
            QueryError: a field has too many keys that JSON escapes for the database to search.
        """

    @abstractmethod
    async def query_contents(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool = False,
        limit: int | None = None,
        newest: bool = False,
        after: str | None = None,
        before: str | None = None,
    ) -> list[tuple[CommitRow, StoredContent]]:
        """Do what `query` does, and return what the commits hold, in the same read."""

    @abstractmethod
    async def count(
        self,
        branch: BranchName,
        conditions: Sequence[Condition],
        *,
        branch_only: bool = False,
        after: str | None = None,
        before: str | None = None,
    ) -> int:
        """Return the number of commits that `query` would return without a limit.

        Raises:
            CommitNotFoundError: the tract has no commit *after* or *before*.
            QueryError: a field has too many keys that JSON escapes for the database to search.
        """


class BlobRepository(ABC):
    """Reads contents by the hash of their commit."""

    @abstractmethod
    async def get(self, tract_id: str, commit_hash: str) -> tuple[CommitRow, bytes]:
        """Return a commit and its content.

        Raises:
            CommitNotFoundError: the tract has no such commit.
            BlobNotFoundError: its content is missing.
        """

    @abstractmethod
    async def get_many(self, tract_id: str, named: Sequence[str]) -> list[StoredContent]:
        """Return commits and their contents in the order in which they are named, in one trip.

        Raises:
            CommitNotFoundError: the tract does not have one of them.
        """


class UsageRepository(ABC):
    """Keeps what APIs reported."""

    @abstractmethod
    async def record(
        self, tract_id: str, commit_hash: str, usage: TokenUsage, raw_json: str
    ) -> None:
        """Record *usage* for an existing commit, replacing an earlier report."""

    @abstractmethod
    async def newest(
        self, tract_id: str, commit_hash: str, among: int
    ) -> tuple[str, TokenUsage] | None:
        """Return the report for the newest commit that has one, and that commit's hash.

        Looked at are a commit, its parent, that one's parent and so on, *among* in all; not what a
        merge brought.
        """


class AttachmentRepository(ABC):
    """Keeps attachments. Commits bring theirs along, too; see `CommitRepository.write`."""

    @abstractmethod
    async def add(self, tract_id: str, attached: Attached) -> None:
        """Give bytes to a tract. Given again, only a media type changes anything."""

    @abstractmethod
    async def load(self, tract_id: str, hashes: Sequence[str]) -> dict[str, bytes]:
        """Return bytes by hash, in one trip: of those that the tract was given and that are there.

        They are returned as they are stored, right or wrong.
        """

    @abstractmethod
    async def uses(self, content_hashes: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return the attachments that contents are recorded to refer to; none are left out."""


class KeyRepository(ABC):
    """Reads commits by key. Keys belong to a tract, whatever the branch."""

    @abstractmethod
    async def find(self, tract_id: str, keys: Sequence[str]) -> dict[str, CommitRow]:
        """Return the commits that *keys* name, in that order; those that name none are left out."""

    @abstractmethod
    async def listed(
        self,
        tract_id: str,
        prefix: str = "",
        *,
        newest: bool = False,
        before: str | None = None,
        limit: int | None = None,
    ) -> list[CommitRow]:
        """Return the commits whose keys begin with *prefix*, by the code points of the keys.

        Keys of more than 1,500 bytes go by their first 256 characters. With *newest*, the newest
        commit comes first. *before* is the last key of the page before.

        Raises:
            CommitNotFoundError: *before* names no commit, and the order is that of time.
        """
