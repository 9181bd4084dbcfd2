"""Priorities of entries, and the commits that set them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from tract.models.base import Value
from tract.models.content import ContentModel

__all__ = ["AnnotationContent", "Priority", "PriorityAnnotation"]


class Priority(StrEnum):
    """How an entry is treated when the context is compiled or shortened."""

    SKIP = "skip"
    """Left out of the compiled context; still in the history."""
    NORMAL = "normal"
    PINNED = "pinned"
    """Kept by whatever shortens a context."""


class AnnotationContent(ContentModel):
    """The content of an ANNOTATE commit; made by `annotate()`, not by `commit()`."""

    content_type: Literal["annotation"] = "annotation"
    priority: Literal["skip", "normal", "pinned"]
    reason: str | None = None


class PriorityAnnotation(Value):
    """One priority that was set on an entry, by the commit `commit_hash`."""

    target_hash: str
    priority: Priority
    reason: str | None
    commit_hash: str
    created_at: datetime
