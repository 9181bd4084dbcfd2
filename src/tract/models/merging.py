"""What merges are asked to do, and the content of the commits that they make."""

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
    """The content of a MERGE commit, which names the branch; made by `merge()`."""

    content_type: Literal["merge"] = "merge"
    branch: str


@dataclass(frozen=True)
class Resolution:
    """A content to commit, with the generation config and the metadata of its commit.

    A function that decides conflicts returns it to say how its text came about, and `squash=`
    takes it. Without a config, a content that one of the sides has keeps that side's config, and a
    new one has none; `{}` is none in any case.
    """

    content: BaseModel | Mapping[str, Any]
    _: KW_ONLY
    generation_config: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None


Decision: TypeAlias = (
    BaseModel | Mapping[str, Any] | Resolution | Priority | Literal["ours", "theirs", "base"]
)
"""What a function decides for a conflict: a side, a content or, where it is about one, a priority."""

OnConflict: TypeAlias = (
    Literal["raise", "ours", "theirs"] | Callable[[MergeConflict], Decision | Awaitable[Decision]]
)
"""What a merge does about conflicts: raise them, take a side, or ask a function, async or not."""
