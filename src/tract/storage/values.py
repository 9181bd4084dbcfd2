"""The values that repositories and their callers exchange; see `repositories`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from tract.models.operations import CommitOperation, OnKey
from tract.protocols import UNSET, CommitStep, TokenUsage, UnsetType

__all__ = [
    "Arrivals",
    "Attached",
    "BranchName",
    "CommitDraft",
    "CommitRow",
    "Cursor",
    "ExistingBranch",
    "Heads",
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
    "StoredContent",
    "StreamEnd",
    "StreamName",
    "Survey",
    "TakenBack",
    "TractTimes",
]


class BranchName(NamedTuple):
    """A branch of a tract. If it does not exist, its first commit makes it."""

    tract_id: str
    branch: str


class ExistingBranch(BranchName):
    """A branch that must exist: calls with it raise a BranchNotFoundError otherwise.

    It equals the `BranchName` of the same branch, and hashes alike.
    """

    __slots__ = ()


class StreamName(NamedTuple):
    """A stream of a branch; `stream_id` is unique in the store."""

    branch: BranchName
    stream_id: str


class StreamFate:
    """What has been committed of an open stream; all writes of the stream carry it.

    The caller of a cancelled write cannot know whether it was made. So a repository sets the fate
    once the transaction has committed, even if the caller is gone, and before it begins a later
    write of the same store, which goes by it.
    """

    __slots__ = ("ended", "saved")

    def __init__(self) -> None:
        self.saved: SpoolPart | None = None
        """The last part that was stored."""
        self.ended: bool = False
        """Whether the stream was ended by a `StreamEnd`."""

    def save(self, part: SpoolPart) -> None:
        """Note that a part was stored."""
        self.saved = part

    def end(self) -> None:
        """Note that the stream was ended."""
        self.ended = True


class SpoolPart(NamedTuple):
    """What arrived of a stream since its previous part; `number` starts at 0."""

    stream: StreamName
    number: int
    fragments: Sequence[Any]
    fate: StreamFate | None = None


class SpooledStream(NamedTuple):
    """A stream with stored parts, as it was at `updated_at`, its owner's last sign of life."""

    stream: StreamName
    owner: str
    updated_at: int


class StreamEnd(NamedTuple):
    """How a stream ends, in the transaction that makes its commits: its parts are deleted.

    With `owner`, the stream's own process ends it, and must still own it, unless the `fate` says
    that no part was saved. With `claim`, another process does, and the commits are made only if the
    stream is still as claimed. `usage`, counts and raw report, is recorded for the commit
    `head_hash`.
    """

    stream: StreamName
    owner: str | None = None
    claim: SpooledStream | None = None
    head_hash: str | None = None
    usage: tuple[TokenUsage, str] | None = None
    fate: StreamFate | None = None


class Origin(NamedTuple):
    """Where a commit's content came from: `kind` is `squash` or `cherry-pick`."""

    kind: str
    source_hash: str


class Attached(NamedTuple):
    """An attachment that a content refers to, with its bytes unless the tract has them already."""

    sha256: str
    data: bytes | None = None
    media_type: str | None = None


class CommitDraft(NamedTuple):
    """A commit without its place yet; `target` may be the index of an earlier draft of the call.

    `merge_parent` is the head that a merge brings in. `attachments` are all that the content
    refers to, each once. `key` is the name that a caller gives the commit. If there is a commit
    under it already, `on_key` says what happens: an `error`, nothing but that one (`keep`), or
    `replace`, which gives the key to the new commit.
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
    attachments: tuple[Attached, ...] = ()
    key: str | None = None
    on_key: OnKey = "error"

    @property
    def step_data(self) -> bytes:
        """What the fold gets of the content: nothing of a state, which may be large."""
        return b"" if self.operation == CommitOperation.STATE else self.data


class CommitRow(NamedTuple):
    """A commit as stored, without its content."""

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
    key: str | None = None


class StoredContent(NamedTuple):
    """What a commit holds, with the little that lists of entries show of the commit itself."""

    commit_hash: str
    content_hash: str
    content_type: str
    metadata_json: str | None
    created_at: int
    data: bytes | None
    """None if it is missing."""


class StoredCommit(NamedTuple):
    """A commit and its blob as stored, for checking; a missing blob is None.

    Columns with values that were never stored so are blank, and named in `unreadable`. Of an erased
    commit, the data are those of what stands in its place, whose hash is `erased_as`.
    """

    record: CommitRow
    data: bytes | None
    token_source: str = ""
    unreadable: tuple[str, ...] = ()
    erased_as: str | None = None


class Misplaced(NamedTuple):
    """A commit whose place contradicts its history, or the head of a *branch* whose place does.

    With a *key*, the commit that the key should name and does not, or does and should not. One that
    *is_lost* was never reached by any ref.
    """

    commit_hash: str
    branch: str | None = None
    key: str | None = None
    is_lost: bool = False


class RefRecord(NamedTuple):
    """A branch or a tag, by its short name; an empty branch has no `commit_hash`."""

    name: str
    commit_hash: str | None
    created_at: int
    updated_at: int


class Move(NamedTuple):
    """A branch moved from *old_hash* to *new_hash*; None means that it was empty or missing."""

    branch: str
    old_hash: str | None
    new_hash: str | None
    action: str
    note: str | None
    created_at: int


class Relation(NamedTuple):
    """How two heads of a tract relate to each other.

    `parents` holds the two parents of the commits that either head reaches, newest first, down to
    their merge bases; how far, `merge_bases` decides. It holds all of them if one head is None.
    `changes` holds the operation and target of every EDIT and ANNOTATE among them. `squashed` are
    the commits that *theirs* was squashed into. `erasures` is the number of the tract's last erasure
    before the heads were read.
    """

    ours: str | None
    theirs: str | None
    parents: Mapping[str, tuple[str | None, str | None]]
    changes: Mapping[str, tuple[str, str]]
    squashed: Sequence[str] = ()
    erasures: int = 0


class Basis(NamedTuple):
    """What commits were computed from that are to be written on a head that may have moved since.

    A merge has two heads, and what it brings. `touched` are the entries
    that are changed, decided or hidden, and with `any_edit` it matters what else of `ours` is
    edited; `squash` says that one commit replaces what is brought. A compaction, or what undoes one,
    has only `ours`, and brings nothing. `erasures` is the number of the tract's last erasure before
    any content was read that is written again; None if none is.
    """

    ours: str | None
    theirs: str | None = None
    brought: Set[str] = frozenset()
    touched: Set[str] = frozenset()
    squash: bool = False
    any_edit: bool = False
    erasures: int | None = None


class Sizes(NamedTuple):
    """What a head reaches: commits, their blobs and attachments, each once, and the bytes of these.

    `erasures` counts the erasures of the tract, and is 0 without commits.
    """

    commits: int
    blobs: int
    nbytes: int
    attachments: int = 0
    attached_nbytes: int = 0
    erasures: int = 0


class Survey(NamedTuple):
    """What happened on a branch, in total and since the commits that other branches share.

    `usage` and `usage_since` are sums of the reports; `configs_since` are configs as JSON, oldest
    commit first.
    """

    head_hash: str | None
    usage: Sequence[TokenUsage]
    usage_since: Sequence[TokenUsage]
    configs_since: Sequence[str]


class Position(NamedTuple):
    """Where to look in a history: at a commit, or a branch's newest commit up to a time.

    A `commit_hash` of None is the empty history. With neither it is the branch's head.
    """

    commit_hash: str | UnsetType | None = UNSET
    at_time: int | None = None


class Located(NamedTuple):
    """A head and how to reach it.

    `head_hash` is None if the history is empty. `steps` lead to the head from `base_hash`, which
    is known to the caller or None for the beginning. They are None if there were too many to read
    at once, and empty if the head itself is known. `erasures` is the time of the tract's
    last erasure; the steps are no older.
    """

    head_hash: str | None
    usage: TokenUsage | None
    base_hash: str | None
    steps: Sequence[CommitStep] | None
    erasures: int = 0


class KnownHead(NamedTuple):
    """Where a branch points, and what an API reported for that commit.

    `erasures` is the time of the tract's last erasure.
    """

    commit_hash: str
    usage: TokenUsage | None
    erasures: int = 0


class Cursor(NamedTuple):
    """How far a reader of a branch has come; `Cursor(commit_hash)` is just after a commit.

    It has passed the line of `base`, and the first `skip` commits that the line of `target` adds
    to it; without a target it follows the branch. `ahead` names the commits that come next, and
    `then` is the cursor after them.
    """

    base: str | None
    skip: int = 0
    target: str | None = None
    ahead: tuple[str, ...] = ()
    then: Cursor | None = None

    @property
    def key(self) -> tuple[str | None, int, str | None, int]:
        """What distinguishes this cursor from others of its branch."""
        return self.base, self.skip, self.target, len(self.ahead)

    @property
    def is_at_head(self) -> bool:
        """Whether it has passed everything on the branch."""
        return self.target is None and not self.ahead


class TakenBack(NamedTuple):
    """The branch no longer has the end of what was read, or not in that order.

    Up to `new_hash` the branch still begins with what was read; None if with nothing of it.
    `dropped` are the commits that were read after that.
    """

    new_hash: str | None
    dropped: Sequence[str]


class TractTimes(NamedTuple):
    """When a tract was begun and last erased: while both stay, nothing was erased."""

    begun: int
    erased: int


class Heads(NamedTuple):
    """Where branches point, in the order asked for, and the times of their tracts.

    A head is None for a branch that is empty or missing, and a tract that is missing has no times.
    """

    heads: Sequence[str | None]
    times: Mapping[str, TractTimes]


class Arrivals(NamedTuple):
    """The next commits of a branch after a cursor, and the cursor after them.

    The records follow what was read, or what `taken_back` leaves of it.
    """

    taken_back: TakenBack | None
    records: Sequence[CommitRow]
    cursor: Cursor
    times: TractTimes | None = None
    """Those of the tract when the records were read; None without records."""
