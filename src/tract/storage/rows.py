"""Rows of the SQLite driver as the values of `repositories`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract.protocols import CommitStep
from tract.storage.repositories import CommitRecord

__all__ = ["as_bytes", "record_of", "step_of"]


def record_of(row: Sequence[Any]) -> CommitRecord:
    """Return a row of `statements.RECORDS`, which may have further columns, as a record."""
    (
        commit_hash,
        tract_id,
        parent_hash,
        content_hash,
        content_type,
        operation,
        edit_target,
        message,
        token_count,
        metadata_json,
        generation_config_json,
        created_at,
    ) = row[:12]
    return CommitRecord(
        commit_hash.hex(),
        tract_id,
        parent_hash and parent_hash.hex(),
        content_hash.hex(),
        content_type,
        operation,
        edit_target and edit_target.hex(),
        message,
        token_count,
        metadata_json,
        generation_config_json,
        created_at,
    )


def as_bytes(data: Any) -> Any:
    """Return a blob that something else has stored as text in bytes; None stays None."""
    return data.encode() if isinstance(data, str) else data


def step_of(row: Sequence[Any]) -> CommitStep:
    """Return a row of the step statements: hash, parent, time, then the step's own columns."""
    commit_hash, _, _, operation, edit_target, content_type, data, count, source, config = row
    return CommitStep(
        commit_hash.hex(),
        operation,
        edit_target and edit_target.hex(),
        content_type,
        as_bytes(data),
        count,
        source,
        config,
    )
