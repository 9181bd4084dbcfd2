"""How long histories are kept, and what shortening them reports."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from tract.models.base import Value
from tract.models.erasure import CollectReport

__all__ = ["PruneProgress", "PruneReceipt", "Retention", "RetentionReport"]


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
