"""The content of merge commits."""

from __future__ import annotations

from typing import Literal

from tract.models.content import ContentModel

__all__ = ["MergeContent"]


class MergeContent(ContentModel):
    """The content of a MERGE commit, which names the branch; made by `merge()`."""

    content_type: Literal["merge"] = "merge"
    branch: str
