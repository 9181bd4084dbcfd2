"""What stands in the place of erased contents, and what an erasure reports."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from tract.models.base import Value
from tract.models.content import ContentModel

__all__ = [
    "ERASED",
    "CollectReport",
    "ErasedCommit",
    "ErasedContent",
    "ErasureReceipt",
    "TractErasureReceipt",
]

ERASED = "erased"
"""The content type of what stands in the place of an erased content."""


class ErasedContent(ContentModel):
    """What stands in the place of an erased content; made by `erase()`, not by `commit()`.

    `of_type` and `role` are the type of that content and the role that it was shown with. An
    annotation keeps its `priority`, as do contents whose type has one, and a compaction what it hides:
    its fields but for the summary.
    """

    content_type: Literal["erased"] = "erased"
    of_type: str
    role: str
    priority: Literal["skip", "normal", "pinned"] | None = None
    reason: str
    erased_at: datetime
    compaction: dict[str, Any] | None = None


class ErasureReceipt(Value):
    """What an erasure did, to be kept: which commits of a tract, when, why, and how much.

    `commits` are those that were named; others of the tract that held the same contents are
    `along`. `contents` and `attachments` are the numbers of those that are gone. `kept` contents
    stay in the database because other tracts hold them. `pending` says where erased bytes may still
    be: in the write-ahead `log`, which other processes were reading, or where only `vacuum` takes
    them out. It is None if they are nowhere, as after `vacuum=True`; on PostgreSQL, if no version of a row
    has them.
    """

    tract_id: str
    erased_at: datetime
    reason: str
    commits: tuple[str, ...]
    along: tuple[str, ...]
    contents: int
    kept: int
    attachments: int
    pending: Literal["log", "vacuum"] | None


class ErasedCommit(Value):
    """A commit whose content `verify()` found erased, with when and why."""

    commit_hash: str
    erased_at: datetime
    reason: str


class TractErasureReceipt(Value):
    """What `erase_tract()` did: how many commits and contents it deleted, when, and why.

    Attachments count as contents. Contents that other tracts hold stay, and are not counted. For
    `pending` see `ErasureReceipt`.
    """

    tract_id: str
    erased_at: datetime
    reason: str
    commits: int
    contents: int
    pending: Literal["log", "vacuum"] | None


class CollectReport(Value):
    """What `collect()` freed: contents and attachments that nothing referred to, and their bytes."""

    contents: int
    nbytes: int
    pending: Literal["log", "vacuum"] | None
