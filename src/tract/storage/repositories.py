"""What the engine asks of a database: four repositories, and the values they exchange.

The contracts are here; implementations keep them and add nothing to say. Every write is one
transaction: it has happened as a whole when the call returns, and not at all when it raises.
Any method may raise a `StorageError`. JSON travels as text, times as microseconds since
1970-01-01 UTC, hashes as 64 hexadecimal digits. Where a caller names a commit, a tag, a branch or
a short hash does as well; what is none of these is a hash that nothing has, and a short hash of
several commits raises an `AmbiguousHashError`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from tract.exceptions import TractError
from tract.models.query import ConfigCondition, ConfigField
from tract.protocols import UNSET, CommitStep, TokenUsage, UnsetType
from tract.storage.values import (
    Arrivals,
    BranchName,
    CommitDraft,
    CommitRecord,
    Cursor,
    Located,
    MergeBasis,
    Move,
    Origin,
    Position,
    RefRecord,
    Relation,
    Sizes,
    SpooledStream,
    SpoolPart,
    StoredCommit,
    StreamEnd,
    StreamName,
    Survey,
    TakenBack,
)

__all__ = [
    "ArrivalRepository",
    "Arrivals",
    "BlobRepository",
    "BranchName",
    "CommitDraft",
    "CommitRecord",
    "CommitRepository",
    "Cursor",
    "Located",
    "MergeBasis",
    "Move",
    "Origin",
    "OutdatedMergeError",
    "Position",
    "RefRecord",
    "RefRepository",
    "Relation",
    "Sizes",
    "SpoolPart",
    "SpoolRepository",
    "SpooledStream",
    "StoredCommit",
    "StreamEnd",
    "StreamName",
    "Survey",
    "TakenBack",
    "UsageRepository",
]


class OutdatedMergeError(TractError):
    """What a merge was computed from is not so any more; nothing was written. No caller sees it."""


class CommitRepository(ABC):
    """Commits: written on a branch's head, read by hash, in order, and by config."""

    @abstractmethod
    async def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        *,
        expected_head: str | UnsetType | None = UNSET,
        ending: StreamEnd | None = None,
    ) -> list[CommitRecord]:
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
    def check_writable(self) -> None:
        """Refuse what would write in the end, before anybody is asked or anything is paid for it.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
        """

    @abstractmethod
    async def merge(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: MergeBasis,
        *,
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitRecord]:
        """Commit the *drafts* of a merge like `write`, as long as *basis* still holds at the head.

        Raises:
            OutdatedMergeError: it does not.
            HeadMovedError: the head is not *expected_head*.
        """

    @abstractmethod
    async def still_holds(self, tract_id: str, head_hash: str | None, basis: MergeBasis) -> bool:
        """Tell whether a merge computed from *basis* would be the same on another head.

        It is where that goes on from `basis.ours`, which is among its first parents, by commits and
        merges that have nothing of what the merge brings, change no entry that it touches, and for
        a squash are none of the same. What is too much to look through counts as a no.
        """

    @abstractmethod
    async def get(self, tract_id: str, commit_hash: str) -> CommitRecord | None:
        """Return one commit of the tract, or None."""

    @abstractmethod
    async def resolve(self, tract_id: str, named: str) -> str | None:
        """Return the hash of the commit that a hash, a tag or a branch names; None: an empty branch.

        Raises:
            CommitNotFoundError: it names none.
        """

    @abstractmethod
    async def locate(
        self, branch: BranchName, position: Position, known: Callable[[str], bool]
    ) -> Located:
        """Find a head and, if it is not far, the steps to it from its nearest *known* ancestor.

        *known* is called from other threads and must be quick and free of side effects.

        Raises:
            CommitNotFoundError: *position* names a commit that the tract does not have.
        """

    @abstractmethod
    def history(
        self, tract_id: str, head_hash: str, known: Callable[[str], bool]
    ) -> AsyncIterator[tuple[str | None, Sequence[CommitStep]]]:
        """Yield all steps from the nearest *known* ancestor to a head, in batches, oldest first.

        Each batch comes with the base that the whole run starts from.
        """

    @abstractmethod
    async def log(
        self,
        branch: BranchName,
        *,
        limit: int | None,
        before: str | UnsetType | None = UNSET,
        in_context: bool = False,
    ) -> list[CommitRecord]:
        """Return the newest *limit* commits of the branch, or of the ancestors of *before*.

        Newest first by time, or *in_context*: the last ones of the order that is folded, the last
        first. Nothing is before None.

        Raises:
            CommitNotFoundError: the tract has no commit *before*.
        """

    @abstractmethod
    async def relation(self, branch: BranchName, other: BranchName) -> Relation:
        """Return how two branches of a tract stand to each other.

        Raises:
            BranchNotFoundError: *other* is not there.
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

    @abstractmethod
    async def steps(self, tract_id: str, hashes: Sequence[str]) -> list[CommitStep]:
        """Return commits of the tract as the fold reads them."""

    @abstractmethod
    async def origins(
        self, tract_id: str, commit: str | UnsetType | None = UNSET
    ) -> list[tuple[str, Origin]]:
        """Return what one of the tract's commits, or all of them, came from, oldest first.

        None is no commit, and came from nothing.

        Raises:
            CommitNotFoundError: the tract has no commit *commit*.
        """

    @abstractmethod
    async def annotations(self, branch: BranchName, target: str) -> list[StoredCommit]:
        """Return the ANNOTATE commits of *target* in the branch's history, oldest first.

        Raises:
            CommitNotFoundError: the tract has no commit *target*.
        """

    @abstractmethod
    async def query(
        self,
        branch: BranchName,
        conditions: Sequence[ConfigCondition],
        *,
        branch_only: bool = False,
        limit: int | None = None,
    ) -> list[CommitRecord]:
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
    ) -> list[CommitRecord]:
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

    @abstractmethod
    def stored(self, tract_id: str, heads: Iterable[str]) -> AsyncIterator[Sequence[StoredCommit]]:
        """Yield *heads* and every commit that they reach, in batches, newest first.

        A parent that is not there ends its line; blobs are as stored, right or wrong.
        """


class BlobRepository(ABC):
    """Contents by hash."""

    @abstractmethod
    async def get(self, tract_id: str, commit_hash: str) -> tuple[CommitRecord, bytes]:
        """Return a commit with its content.

        Raises:
            CommitNotFoundError: the tract has no such commit.
            BlobNotFoundError: its content is missing.
        """


class RefRepository(ABC):
    """Branches and tags, by their short names."""

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

    @abstractmethod
    async def branches(self, tract_id: str) -> list[RefRecord]:
        """Return the tract's branches, by name."""

    @abstractmethod
    async def misplaced(self, tract_id: str) -> list[tuple[str, str]]:
        """Return the names of branches whose rows do not fit their heads, each with its head.

        One that should not be empty comes with the commit that its run began at.
        """

    @abstractmethod
    async def moves(self, tract_id: str) -> list[Move]:
        """Return where the tract's branches have pointed, oldest first."""

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

    @abstractmethod
    async def tags(self, tract_id: str) -> list[RefRecord]:
        """Return the tract's tags, by name."""

    @abstractmethod
    async def head(self, branch: BranchName) -> str | None:
        """Return the hash of the branch's head, or None if it is empty."""

    @abstractmethod
    async def heads(self, tract_id: str) -> list[str]:
        """Return where the refs of a tract point or pointed, whether those commits are there or not.

        Together they reach all its commits.
        """

    @abstractmethod
    async def tract_ids(self) -> list[str]:
        """Return the ids of all tracts that have commits, on whichever branch or on none, sorted."""


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
        """Have *callback* told, on the event loop, of the branches that this process has moved.

        It is called once for each transaction, after it and before those who wrote are told.
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


class SpoolRepository(ABC):
    """Streams that are still open, part by part, each with the owner that writes it.

    Signs of life have a time, by the store's clock; each sign of a stream is later than the one before.
    """

    @abstractmethod
    async def save(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName] = ()
    ) -> list[StreamName]:
        """Add *parts* to streams of *owner*, and note that it still writes those *touched*.

        Part 0 begins a stream. Return those of the streams that are not, or no longer, the owner's:
        they are left alone.
        """

    @abstractmethod
    async def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        """Have those of *streams* that are *owner*'s belong to the owner "", which is nobody."""

    @abstractmethod
    async def spooled(self) -> list[SpooledStream]:
        """Return every stream of the store of which something is stored, oldest sign first."""

    @abstractmethod
    async def fragments(self, stream: StreamName) -> list[Any]:
        """Return what is stored of a stream, in order; empty if nothing is."""

    @abstractmethod
    async def drop(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        """Forget a stream, with *claim* only if it is still as it was then."""
