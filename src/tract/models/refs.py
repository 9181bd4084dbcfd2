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
    """Base of these values: frozen, their validators built when a store is opened."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)


class BranchInfo(_Value):
    """One branch; `head_hash` is None as long as it has no commit."""

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
    """One move of a branch, from `old_hash` to `new_hash`; None is a branch without commits.

    `action` says what moved it, such as `commit`, `fork`, `reset` or `merge`; `note` adds to that.
    """

    branch: str
    old_hash: str | None
    new_hash: str | None
    action: str
    note: str | None
    created_at: datetime


class MergeKind(StrEnum):
    """What a merge came to."""

    UP_TO_DATE = "up-to-date"
    """This branch held it all already; nothing was written."""
    FAST_FORWARD = "fast-forward"
    """This branch had nothing of its own; it moved to the other's head."""
    MERGE = "merge"
    """A commit with two parents."""
    SQUASH = "squash"
    """One commit in place of the other branch's own."""


class ConflictKind(StrEnum):
    """What both sides of a merge set differently."""

    CONTENT = "content"
    PRIORITY = "priority"


class MergeConflict(_Value):
    """A shared entry, `target_hash`, to which both sides of a merge gave another content or priority.

    `base`, `ours` and `theirs` are content models or priorities, as `kind` says: what the entry
    had where the sides parted, and has on each of them now. `base` is None where merges that
    crossed left no single such place.

    The configs are those of the three contents: `{}` where none was set, and for priorities, which
    have none. `base_config` is None where `base` is.
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

    `head_hash` is the branch's head afterwards. `merged` has the commits that this branch did not
    hold before, oldest first, those that the merge itself made left out; `conflicts` what was
    decided by `on_conflict`.
    """

    kind: MergeKind
    head_hash: str | None
    merged: tuple[str, ...] = ()
    conflicts: tuple[MergeConflict, ...] = ()


class OriginKind(StrEnum):
    """How a commit came to stand for others."""

    SQUASH = "squash"
    CHERRY_PICK = "cherry-pick"


class Origin(_Value):
    """Where a commit came from: `commit_hash` stands here for `source_hash`.

    The source is the commit that was picked, or the head of the branch that was squashed.
    """

    kind: OriginKind
    source_hash: str
    commit_hash: str


class EntryChange(StrEnum):
    """One way in which an entry differs between two contexts."""

    ADDED = "added"
    """Only the second has it."""
    REMOVED = "removed"
    """Only the first has it."""
    EDITED = "edited"
    """Its message differs."""
    REPRIORITISED = "reprioritised"
    CONFIG_CHANGED = "config_changed"


class EntryDiff(_Value):
    """One entry that differs, named by the APPEND commit that made it.

    What a context without the entry would tell is None. A config is `{}` where none was set; its
    dict is the caller's own copy. Tokens are those of the entry's message by itself, 0 where its
    priority leaves it out.
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
    """What differs between two contexts: the entries, and by how many tokens the second is longer.

    Entries come in the order of the second context, removed ones behind the entry that they
    followed in the first.
    """

    entries: tuple[EntryDiff, ...]
    token_difference: int


class BranchComparison(_Value):
    """One branch beside others, as `compare()` gives it.

    `entries` and `token_count` are those of its compiled context. Usage adds up what was recorded
    on the branch: in its whole history, and since the commit that all the compared branches share.
    `generation_configs` are those used since then, each once, in the order of their first use.
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
    """How much one branch holds: commits of its history, and the blobs of these with their bytes.

    `entries` and `tokens` are those of its compiled context. A blob counts once, however many
    commits share it.
    """

    commits: int
    entries: int
    tokens: int
    blobs: int
    bytes: int
