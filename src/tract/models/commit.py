"""Commits as callers see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from tract.models.operations import CommitOperation

__all__ = ["CommitInfo", "VerifyFault", "VerifyReport", "microseconds", "moment"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class CommitInfo(BaseModel):
    """One commit. Its dicts are the caller's own copies.

    `token_count` counts the rendered content alone, without the overhead of a message.
    `created_at` is in UTC with microseconds and strictly increases within a tract.
    `merge_parent` is the head that a MERGE brought in.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)

    commit_hash: str
    tract_id: str
    parent_hash: str | None
    content_hash: str
    content_type: str
    operation: CommitOperation
    edit_target: str | None
    message: str | None
    token_count: int
    metadata: dict[str, Any] | None
    generation_config: dict[str, Any] | None
    created_at: datetime
    merge_parent: str | None = None


class VerifyFault(BaseModel):
    """One thing that `verify()` found wrong; `commit_hash` is the commit it belongs to."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)

    commit_hash: str
    problem: str


class VerifyReport(BaseModel):
    """What `verify()` did: commits checked, and every fault found (none means sound)."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True)

    checked: int
    faults: tuple[VerifyFault, ...]


def microseconds(moment: datetime) -> int:
    """Return an aware time in microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """Return a time in microseconds since 1970-01-01 UTC as an aware datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)
