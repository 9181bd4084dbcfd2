"""Changes to several branches and tracts, in one transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.storage.repositories.erasures import Erased, Marker
from tract.storage.values import BranchName, CommitDraft, CommitRow

__all__ = [
    "AddCommits",
    "AddTag",
    "Change",
    "DeleteBranch",
    "DeleteTag",
    "EraseContents",
    "ForkBranch",
    "Landed",
    "Named",
    "RecordUsage",
    "ResetBranch",
    "SetInfo",
    "TransactionRepository",
]

Named: TypeAlias = str | int
"""A commit: by its hash or a name, or by its number among the drafts of the transaction."""


class AddCommits(NamedTuple):
    """Commit *drafts*, whose targets may be numbers of earlier drafts of the transaction.

    In their contents, *mark* and the number of an earlier draft in 16 hexadecimal digits stand for
    the hash of that commit. An empty mark stands for nothing.
    """

    branch: BranchName
    drafts: Sequence[CommitDraft]
    mark: bytes = b""


class ForkBranch(NamedTuple):
    """Make the branch *name*; see `RefRepository.fork`."""

    branch: BranchName
    name: str
    at: Named | UnsetType | None = UNSET


class ResetBranch(NamedTuple):
    """Move a branch back; see `RefRepository.move`."""

    branch: BranchName
    to: Named | None
    note: str | None = None


class DeleteBranch(NamedTuple):
    """Delete a branch; see `RefRepository.delete`."""

    branch: BranchName
    force: bool = False


class AddTag(NamedTuple):
    """Name a commit, or the head of the branch; see `TagRepository.tag`."""

    branch: BranchName
    name: str
    target: Named | UnsetType | None = UNSET


class DeleteTag(NamedTuple):
    """Delete a tag of the branch's tract; see `TagRepository.untag`."""

    branch: BranchName
    name: str


class RecordUsage(NamedTuple):
    """Record usage for a commit, by default the head; see `UsageRepository.record`."""

    branch: BranchName
    usage: TokenUsage
    raw_json: str
    at: Named | UnsetType = UNSET


class EraseContents(NamedTuple):
    """Erase commits of the branch's tract; see `ErasureRepository.erase`."""

    branch: BranchName
    named: Sequence[str]
    markers: Mapping[str, Marker]


class SetInfo(NamedTuple):
    """Set the title or the metadata of the branch's tract; see `TractRepository.describe`."""

    branch: BranchName
    title: str | UnsetType | None = UNSET
    metadata_json: str | UnsetType | None = UNSET
    check: Callable[[str | None], None] | None = None


Change: TypeAlias = (
    AddCommits
    | ForkBranch
    | ResetBranch
    | DeleteBranch
    | AddTag
    | DeleteTag
    | RecordUsage
    | EraseContents
    | SetInfo
)


class Landed(NamedTuple):
    """What a transaction made: a commit for each draft, and what each erasure did."""

    commits: Sequence[CommitRow]
    erased: Sequence[Erased]


class TransactionRepository(ABC):
    """Makes changes to several branches and tracts together."""

    @abstractmethod
    async def write(
        self,
        changes: Sequence[Change],
        expected: Sequence[tuple[BranchName, str | None]] = (),
    ) -> Landed:
        """Make all *changes*, in order, or none of them.

        *expected* are heads that branches must have before the first change. They do not matter for
        a branch whose changes are nothing but drafts that are kept under their keys.

        Raises:
            HeadMovedError: a branch has another head.
            and what the repositories of the changes raise.
        """
