"""What stands in the place of erased contents, and what an erasure reports."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from tract.models.base import Value
from tract.models.content import ContentModel

__all__ = [
    "ERASED",
    "CollectReport",
    "ErasedCommit",
    "ErasedContent",
    "ErasureReceipt",
    "PruneProgress",
    "PruneReceipt",
    "Retention",
    "RetentionReport",
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


class Retention(Value):
    """How much of a history is kept as it is: by *max_age*, by the number of commits, or by both.

    Given both, a commit stays as it is that is younger than *max_age* or among the newest *keep*.

    Raises:
        ValueError: neither is given, *max_age* is not a timedelta from 0 up, or *keep* is not an
            integer from 0 up.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    max_age: Annotated[timedelta, Field(ge=timedelta(0))] | None = None
    keep: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _something_is_kept(self) -> Self:
        if self.max_age is None and self.keep is None:
            raise ValueError("give max_age, keep, or both")
        return self


class PruneProgress(Value):
    """How far `prune()` has come: *erased* and *deleted* are numbers of commits."""

    tract_id: str
    erased: int
    deleted: int


class PruneReceipt(Value):
    """What a prune did, to be kept: up to when, why, and how much.

    Commits made at *before* or later are as they were. Of *erased* commits the contents are gone,
    *deleted* ones are gone as a whole. `contents` and `attachments` are the numbers of those that
    are gone. `kept` contents stay in the database because other tracts hold them. For `pending` see
    `ErasureReceipt`.
    """

    tract_id: str
    before: datetime
    pruned_at: datetime
    reason: str
    erased: int
    deleted: int
    contents: int
    kept: int
    attachments: int
    pending: Literal["log", "vacuum"] | None


class RetentionReport(Value):
    """What `retain()` did: a receipt for each tract that lost something, and what was collected."""

    receipts: tuple[PruneReceipt, ...]
    collected: CollectReport
