"""Converting stored rows to the values that callers get; every dict is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from tract.engine.threads import Threads
from tract.exceptions import BlobNotFoundError, StoreCorruptError
from tract.history.canonical import stored_json, unreadable
from tract.models.annotations import AnnotationContent, Priority, PriorityAnnotation
from tract.models.commit import CommitInfo, moment
from tract.models.erasure import ERASED
from tract.models.operations import CommitOperation
from tract.storage.repositories import CommitRow

__all__ = ["annotation_of", "commit_info", "commit_infos", "parsed"]

_OPERATIONS = {operation.value: operation for operation in CommitOperation}
_QUICK = 200  # records, about a millisecond of work; so is:
_QUICK_TEXT = 64_000  # characters of JSON


def commit_info(record: CommitRow) -> CommitInfo:
    """Return a row as callers see it.

    Raises:
        StoreCorruptError: it holds values that no commit can have.
    """
    metadata, config = record.metadata_json, record.generation_config_json
    try:
        return CommitInfo(
            commit_hash=record.commit_hash,
            tract_id=record.tract_id,
            parent_hash=record.parent_hash,
            content_hash=record.content_hash,
            content_type=record.content_type,
            operation=_OPERATIONS[record.operation],
            edit_target=record.edit_target,
            message=record.message,
            token_count=record.token_count,
            metadata=None if metadata is None else parsed(metadata),
            generation_config=None if config is None else parsed(config),
            created_at=moment(record.created_at),
            merge_parent=record.merge_parent,
            key=record.key,
        )
    except (LookupError, ValueError, OverflowError):
        raise unreadable(f"the row of the commit {record.commit_hash}") from None


async def commit_infos(threads: Threads, records: Sequence[CommitRow]) -> list[CommitInfo]:
    """Return rows as callers see them, made on a thread if they are many or large."""
    texts = 0
    for record in records:
        texts += len(record.metadata_json or "") + len(record.generation_config_json or "")
    if len(records) <= _QUICK and texts <= _QUICK_TEXT:
        return list(map(commit_info, records))
    return await threads.run(_infos, records)


def _infos(records: Sequence[CommitRow]) -> list[CommitInfo]:
    return list(map(commit_info, records))


def annotation_of(record: CommitRow, data: bytes | None) -> PriorityAnnotation:
    """Return the priority that an ANNOTATE commit set.

    Raises:
        BlobNotFoundError: its content is missing.
        StoreCorruptError: its content is not an annotation.
    """
    if data is None:
        raise BlobNotFoundError(record.content_hash)
    try:
        fields = stored_json(data, "")
        if fields["content_type"] == ERASED:
            fields = {"priority": fields["priority"]}
        content = AnnotationContent.model_validate(fields)
    except (ValidationError, StoreCorruptError, LookupError, TypeError):
        raise unreadable(f"the content of the commit {record.commit_hash}") from None
    return PriorityAnnotation(
        target_hash=record.edit_target or "",
        priority=Priority(content.priority),
        reason=content.reason,
        commit_hash=record.commit_hash,
        created_at=moment(record.created_at),
    )


def parsed(text: str | None) -> dict[str, Any] | None:
    """Return a commit's metadata or config, as a new dict; None if there is none."""
    return None if text is None else stored_json(text, "a commit's metadata or config")
