"""Merges, squashes and picks: what they are asked to do, what they did, and what they commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, SerializeAsAny

from tract.models.annotations import Priority
from tract.models.base import Value
from tract.models.content import ContentModel

__all__ = [
    "ConflictKind",
    "Decision",
    "MergeConflict",
    "MergeContent",
    "MergeKind",
    "MergeResult",
    "OnConflict",
    "Origin",
    "OriginKind",
    "Resolution",
]


class MergeContent(ContentModel):
    """The content of a MERGE commit, naming the merged branch; made by `merge()`."""

    content_type: Literal["merge"] = "merge"
    branch: str


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
    HIDDEN = "hidden"
    """One side hid the entry by a compaction, and the other edited or annotated it."""


class MergeConflict(Value):
    """A shared entry, `target_hash`, whose content or priority the two sides set differently.

    If one side hid it by a compaction, and the other has changed it, the two values are its contents.
    Only `ours` and `theirs` decide that: to show it undoes the compaction; else it stays hidden.

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


class MergeResult(Value):
    """What a merge did.

    `head_hash` is the branch's head afterwards. `merged` lists the commits new to this branch,
    oldest first, without those that the merge itself made. `conflicts` lists those that
    `on_conflict` decided.
    """

    kind: MergeKind
    head_hash: str | None
    merged: tuple[str, ...] = ()
    conflicts: tuple[MergeConflict, ...] = ()


@dataclass(frozen=True)
class Resolution:
    """A content to commit, with its generation config and metadata.

    Return one from a function that decides conflicts to record how the text came about, or pass
    one as `squash=`. With no config, a content that one side already has keeps that side's
    config, and new content gets none; pass `{}` for no config in either case.
    """

    content: BaseModel | Mapping[str, Any]
    _: KW_ONLY
    generation_config: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None


Decision: TypeAlias = (
    BaseModel | Mapping[str, Any] | Resolution | Priority | Literal["ours", "theirs", "base"]
)
"""What a function returns for a conflict: a side, a content, or a priority if it is about one."""

OnConflict: TypeAlias = (
    Literal["raise", "ours", "theirs"] | Callable[[MergeConflict], Decision | Awaitable[Decision]]
)
"""How a merge treats conflicts: raise them, take a side, or ask a function, async or not."""


class OriginKind(StrEnum):
    """How a commit came to stand for other commits."""

    SQUASH = "squash"
    CHERRY_PICK = "cherry-pick"


class Origin(Value):
    """Where a commit came from: `commit_hash` was made from `source_hash`.

    The source is the commit that was picked, or the head of the branch that was squashed.
    """

    kind: OriginKind
    source_hash: str
    commit_hash: str
