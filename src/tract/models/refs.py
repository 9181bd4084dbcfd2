"""Branches, tags, merges and comparisons as callers see them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializeAsAny

from tract.models.annotations import Priority
from tract.protocols import Message, TokenUsage

__all__ = [
    "BranchComparison",
    "BranchInfo",
    "BranchStats",
    "ConflictKind",
    "ContextDiff",
    "EntryChange",
    "EntryDiff",
    "MergeConflict",
    "MergeKind",
    "MergeResult",
    "Origin",
    "OriginKind",
    "ReflogEntry",
    "TagInfo",
]


class _Value(BaseModel):
    """Base of these values: frozen, with validators built when a store is opened."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)


class BranchInfo(_Value):
    """One branch; `head_hash` is None while it has no commits."""

    name: str
    head_hash: str | None
    created_at: datetime
    updated_at: datetime


class TagInfo(_Value):
    """One tag: a name for the commit `target_hash`."""

    name: str
    target_hash: str
    created_at: datetime


class ReflogEntry(_Value):
    """One move of a branch from `old_hash` to `new_hash`; None means without commits.

    `action` names what moved it, such as `commit`, `fork`, `reset` or `merge`; `note` adds detail.
    """

    branch: str
    old_hash: str | None
    new_hash: str | None
    action: str
    note: str | None
    created_at: datetime


class MergeKind(StrEnum):
    """What a merge did to the branch."""

    UP_TO_DATE = "up-to-date"
    """This branch already held everything; nothing was written."""
    FAST_FORWARD = "fast-forward"
    """This branch had no commits of its own and moved to the other's head."""
    MERGE = "merge"
    """A commit with two parents was made."""
    SQUASH = "squash"
    """One commit was made in place of the other branch's own."""


class ConflictKind(StrEnum):
    """What the two sides of a merge set differently."""

    CONTENT = "content"
    PRIORITY = "priority"


class MergeConflict(_Value):
    """A shared entry, `target_hash`, whose content or priority the two sides set differently.

    `base`, `ours` and `theirs` are content models or priorities, depending on `kind`: the value
    where the sides parted, and on each side now. `base` is None if earlier merges crossed and left
    more than one such place.

    The configs belong to the three contents: `{}` if none was set, and for priorities, which have
    none. `base_config` is None if `base` is.
    """

    target_hash: str
    kind: ConflictKind
    base: SerializeAsAny[BaseModel] | Priority | None
    ours: SerializeAsAny[BaseModel] | Priority
    theirs: SerializeAsAny[BaseModel] | Priority
    base_config: dict[str, Any] | None
    ours_config: dict[str, Any]
    theirs_config: dict[str, Any]


class MergeResult(_Value):
    """What a merge did.

    `head_hash` is the branch's head afterwards. `merged` lists the commits new to this branch,
    oldest first, without those that the merge itself made. `conflicts` lists those that
    `on_conflict` decided.
    """

    kind: MergeKind
    head_hash: str | None
    merged: tuple[str, ...] = ()
    conflicts: tuple[MergeConflict, ...] = ()


class OriginKind(StrEnum):
    """How a commit came to stand for other commits."""

    SQUASH = "squash"
    CHERRY_PICK = "cherry-pick"


class Origin(_Value):
    """Where a commit came from: `commit_hash` was made from `source_hash`.

    The source is the commit that was picked, or the head of the branch that was squashed.
    """

    kind: OriginKind
    source_hash: str
    commit_hash: str


class EntryChange(StrEnum):
    """How an entry differs between two contexts."""

    ADDED = "added"
    """Only the second context has it."""
    REMOVED = "removed"
    """Only the first context has it."""
    EDITED = "edited"
    """Its message differs."""
    REPRIORITISED = "reprioritised"
    CONFIG_CHANGED = "config_changed"


class EntryDiff(_Value):
    """One entry that differs, named by the APPEND commit that made it.

    Values of a context that lacks the entry are None. A config is `{}` if none was set, and its
    dict is the caller's own copy. Tokens are those of the entry's message alone; 0 if its priority
    leaves it out.
    """

    commit_hash: str
    changes: tuple[EntryChange, ...]
    message_before: Message | None
    message_after: Message | None
    priority_before: Priority | None
    priority_after: Priority | None
    config_before: dict[str, Any] | None
    config_after: dict[str, Any] | None
    tokens_before: int | None
    tokens_after: int | None


class ContextDiff(_Value):
    """How two contexts differ: the entries, and how many more tokens the second has.

    Entries are in the order of the second context; a removed one follows the entry that it
    followed in the first.
    """

    entries: tuple[EntryDiff, ...]
    token_difference: int


class BranchComparison(_Value):
    """One branch among those that `compare()` was given.

    `entries` and `token_count` are those of its compiled context. Usage is the sum of the reports
    on the branch: over its whole history, and since the newest commit that all compared branches
    share. `generation_configs` lists those used since then, each once, in order of first use.
    """

    branch: str
    head_hash: str | None
    entries: int
    token_count: int
    usage: TokenUsage
    usage_since_fork: TokenUsage
    generation_configs: tuple[dict[str, Any], ...]
    last_message: Message | None


class BranchStats(_Value):
    """How much one branch holds: the commits of its history, their blobs, and the blobs' bytes.

    `entries` and `tokens` are those of its compiled context. `attachments` and `attachment_bytes`
    are those that its commits refer to, and are not in `blobs` and `bytes`. A blob or attachment
    counts once, however many commits share it.
    """

    commits: int
    entries: int
    tokens: int
    blobs: int
    bytes: int
    attachments: int = 0
    attachment_bytes: int = 0
