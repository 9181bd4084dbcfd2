"""What a merge is asked to do, and the content of the commits that it makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from tract.models.annotations import Priority
from tract.models.content import ContentModel
from tract.models.refs import MergeConflict

__all__ = ["Decision", "MergeContent", "OnConflict", "Resolution"]


class MergeContent(ContentModel):
    """The content of a MERGE commit, naming the merged branch; made by `merge()`."""

    content_type: Literal["merge"] = "merge"
    branch: str


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
