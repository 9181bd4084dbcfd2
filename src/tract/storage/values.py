"""The values that the repositories and their callers exchange; see `repositories`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from tract.protocols import UNSET, CommitStep, TokenUsage, UnsetType

__all__ = [
    "Arrivals",
    "BranchName",
    "CommitDraft",
    "CommitRow",
    "Cursor",
    "ExistingBranch",
    "KnownHead",
    "Located",
    "Misplaced",
    "Move",
    "Origin",
    "Position",
    "RefRecord",
    "Relation",
    "Sizes",
    "SpoolPart",
    "SpooledStream",
    "StoredCommit",
    "StreamEnd",
    "StreamName",
    "Survey",
    "TakenBack",
]


class BranchName(NamedTuple):
    """A branch of a tract. Where there is none of the name, its first commit makes it."""

    tract_id: str
    branch: str


class ExistingBranch(BranchName):
    """A branch that has to be there: what is asked of it raises a BranchNotFoundError if it is not.

    It is equal to the `BranchName` of the same branch, and as a key stands for the same.
    """

    __slots__ = ()


class StreamName(NamedTuple):
    """A stream of a branch; `stream_id` is unique in the store."""

    branch: BranchName
    stream_id: str


class SpoolPart(NamedTuple):
    """What came of a stream since its part before; numbers start at 0, fragments are JSON values."""

    stream: StreamName
    number: int
    fragments: Sequence[Any]


class SpooledStream(NamedTuple):
    """A stream of which parts are stored, as it was at `updated_at`, its owner's last sign."""

    stream: StreamName
    owner: str
    updated_at: int


class StreamEnd(NamedTuple):
    """What happens in the same transaction as a stream's commits: its parts are dropped.

    `owner` ends a stream of its own, of which parts were saved. With `claim` somebody else does, and
    the commits are made only if the stream is still as it was then. `usage` is kept for the commit
    `head_hash`, as counts and as the report itself.
    """

    stream: StreamName
    owner: str | None = None
    claim: SpooledStream | None = None
    head_hash: str | None = None
    usage: tuple[TokenUsage, str] | None = None


class Origin(NamedTuple):
    """Where a commit's content came from: `kind` is `squash` or `cherry-pick`."""

    kind: str
    source_hash: str


class CommitDraft(NamedTuple):
    """A commit that has no place yet; `target` may be an earlier draft's index in the same call.

    `merge_parent` is the head that a merge brings in.
    """

    content_type: str
    operation: str
    content_hash: str
    data: bytes
    target: str | int | None
    message: str | None
    metadata_json: str | None
    generation_config_json: str | None
    token_count: int
    token_source: str
    merge_parent: str | None = None
    origins: tuple[Origin, ...] = ()


class CommitRow(NamedTuple):
    """A commit as it is stored, apart from its content."""

    commit_hash: str
    tract_id: str
    parent_hash: str | None
    content_hash: str
    content_type: str
    operation: str
    edit_target: str | None
    message: str | None
    token_count: int
    metadata_json: str | None
    generation_config_json: str | None
    created_at: int
    merge_parent: str | None = None


class StoredCommit(NamedTuple):
    """A commit and its blob as they lie in the database, for checking; None: no such blob.

    Columns that hold what cannot have been stored are blank, and named in `unreadable`.
    """

    record: CommitRow
    data: bytes | None
    token_source: str = ""
    unreadable: tuple[str, ...] = ()


class Misplaced(NamedTuple):
    """A commit that is not filed where its history says, or the head of a *branch* that is not."""

    commit_hash: str
    branch: str | None = None


class RefRecord(NamedTuple):
    """A branch or a tag, by its short name; an empty branch has no `commit_hash`."""

    name: str
    commit_hash: str | None
    created_at: int
    updated_at: int


class Move(NamedTuple):
    """A branch pointed to *old_hash* and then to *new_hash*; None: it was empty, or not there."""

    branch: str
    old_hash: str | None
    new_hash: str | None
    action: str
    note: str | None
    created_at: int


class Relation(NamedTuple):
    """How two heads of a tract stand to each other.

    `parents` has the two parents of every commit that either reaches. `changes` tells of every
    EDIT and ANNOTATE among them its operation and its target. `squashed` are the commits that
    *theirs* was squashed into.
    """

    ours: str | None
    theirs: str | None
    parents: Mapping[str, tuple[str | None, str | None]]
    changes: Mapping[str, tuple[str, str]]
    squashed: Sequence[str] = ()


class MergeBasis(NamedTuple):
    """What a merge was computed from: two heads, the parents as `Relation` has them, what it brings.

    `touched` are the entries that this changes, or that the merge decides on; `squash` tells that
    what it brings is replaced by one commit.
    """

    ours: str | None
    theirs: str
    parents: Mapping[str, tuple[str | None, str | None]]
    brought: Set[str]
    touched: Set[str] = frozenset()
    squash: bool = False


class Sizes(NamedTuple):
    """What a head reaches: commits, the blobs that these have, and the blobs' bytes."""

    commits: int
    blobs: int
    nbytes: int


class Survey(NamedTuple):
    """What happened on a branch, in all and since the commits that other branches share.

    `usage` and `usage_since` are what was reported, `configs_since` the configs as JSON, oldest
    commit first.
    """

    head_hash: str | None
    usage: Sequence[TokenUsage]
    usage_since: Sequence[TokenUsage]
    configs_since: Sequence[str]


class Position(NamedTuple):
    """Where to look in a history: a commit, or a branch's newest commit at or before a time.

    A `commit_hash` of None is the moment before the first commit. With neither it is the branch's
    head.
    """

    commit_hash: str | UnsetType | None = UNSET
    at_time: int | None = None


class Located(NamedTuple):
    """A head and how to reach it.

    `head_hash` is None where the history is empty there. `steps` lead from `base_hash` (known to
    the caller, or None for the beginning) to the head; None where they were too many to read
    at once, and empty where the head itself is known.
    """

    head_hash: str | None
    usage: TokenUsage | None
    base_hash: str | None
    steps: Sequence[CommitStep] | None


class KnownHead(NamedTuple):
    """Where a branch points, and what an API reported for that commit."""

    commit_hash: str
    usage: TokenUsage | None


class Cursor(NamedTuple):
    """How far someone has read a branch; `Cursor(commit_hash)` stands behind a commit.

    It has read the line of `base`, and the first `skip` commits of what the line of `target` goes
    on with; without a target it goes on to wherever the branch points. `ahead` names what comes
    next, and `then` is where it stands behind that.
    """

    base: str | None
    skip: int = 0
    target: str | None = None
    ahead: tuple[str, ...] = ()
    then: Cursor | None = None

    @property
    def place(self) -> tuple[str | None, int, str | None, int]:
        """What tells this cursor from others of its branch."""
        return self.base, self.skip, self.target, len(self.ahead)

    @property
    def is_at_head(self) -> bool:
        """Whether it had read all of the branch."""
        return self.target is None and not self.ahead


class TakenBack(NamedTuple):
    """The end of what was read is not on the branch any more, or not in that order.

    What was read begins as the branch does, up to `new_hash`, or nowhere where that is None.
    `dropped` are the commits that were read behind it.
    """

    new_hash: str | None
    dropped: Sequence[str]


class Arrivals(NamedTuple):
    """The next commits of a branch behind a cursor, and the cursor behind them.

    The records follow on what was read, or on what `taken_back` has left of it.
    """

    taken_back: TakenBack | None
    records: Sequence[CommitRow]
    cursor: Cursor
