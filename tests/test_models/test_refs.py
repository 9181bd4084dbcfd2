"""Branches, merges and comparisons: values that keep to their shape."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tract import (
    BranchComparison,
    BranchInfo,
    BranchStats,
    ConflictKind,
    ContextDiff,
    DialogueContent,
    EntryChange,
    EntryDiff,
    MergeConflict,
    MergeKind,
    MergeResult,
    Message,
    Origin,
    OriginKind,
    Priority,
    ReflogEntry,
    TagInfo,
    TokenUsage,
    ToolCall,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE = Message("assistant", None, tool_calls=(ToolCall("c", "f", '{"a": 1}'),))
ENTRY = EntryDiff(
    commit_hash="a",
    changes=(EntryChange.EDITED, EntryChange.CONFIG_CHANGED),
    message_before=MESSAGE,
    message_after=Message("user", "Hi"),
    priority_before=Priority.NORMAL,
    priority_after=Priority.NORMAL,
    config_before={},
    config_after={"stop": ["a"]},
    tokens_before=7,
    tokens_after=5,
    hides=(),
)
CONFLICT = MergeConflict(
    target_hash="a",
    kind=ConflictKind.CONTENT,
    base=None,
    ours=DialogueContent(role="user", text="Hi"),
    theirs=DialogueContent(role="user", text="Hello"),
    base_config=None,
    ours_config={"stop": ["a"]},
    theirs_config={},
)
VALUES: list[BaseModel] = [
    BranchInfo(name="main", head_hash=None, created_at=NOW, updated_at=NOW),
    TagInfo(name="v1", target_hash="a", created_at=NOW),
    ReflogEntry(
        branch="main", old_hash="a", new_hash=None, action="reset", note=None, created_at=NOW
    ),
    CONFLICT,
    MergeResult(kind=MergeKind.MERGE, head_hash="m", merged=("a", "b"), conflicts=(CONFLICT,)),
    Origin(kind=OriginKind.SQUASH, source_hash="a", commit_hash="b"),
    ENTRY,
    ContextDiff(entries=(ENTRY,), token_difference=-2),
    BranchComparison(
        branch="warm",
        head_hash="a",
        entries=1,
        token_count=12,
        usage=TokenUsage(10, 5, 15),
        usage_since_fork=TokenUsage(0),
        generation_configs=({"temperature": 0.9},),
        last_message=MESSAGE,
    ),
    BranchStats(
        commits=3,
        entries=2,
        tokens=12,
        blobs=2,
        bytes=99,
        attachments=1,
        attachment_bytes=4,
        compiled_tokens=24,
        stable_tokens=10,
    ),
]
values = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@values
def test_a_value_is_frozen(value: BaseModel) -> None:
    name = next(iter(type(value).model_fields))

    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, getattr(value, name))


@values
def test_a_value_survives_pickling(value: BaseModel) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


@values
def test_every_field_but_what_a_merge_may_leave_out_is_needed(value: BaseModel) -> None:
    optional = {name for name, field in type(value).model_fields.items() if not field.is_required()}

    assert optional == ({"merged", "conflicts"} if isinstance(value, MergeResult) else set())


@pytest.mark.parametrize("value", [v for v in VALUES if v not in (CONFLICT, VALUES[4])])
def test_a_value_goes_through_json(value: BaseModel) -> None:
    """Conflicts do not come back: their contents may be of any model."""
    assert type(value).model_validate_json(value.model_dump_json()) == value


def test_a_conflict_shows_its_contents_whole() -> None:
    assert CONFLICT.model_dump()["ours"] == {
        "content_type": "dialogue",
        "role": "user",
        "text": "Hi",
        "name": None,
    }


def test_a_conflict_keeps_the_very_contents() -> None:
    ours = DialogueContent(role="user", text="Hi")

    assert MergeConflict(**{**dict(CONFLICT), "ours": ours}).ours is ours


@pytest.mark.parametrize(
    ("enum", "names"),
    [
        (MergeKind, ["up-to-date", "fast-forward", "merge", "squash"]),
        (ConflictKind, ["content", "priority", "hidden"]),
        (OriginKind, ["squash", "cherry-pick"]),
        (
            EntryChange,
            [
                *("added", "removed", "edited", "reprioritised", "config_changed"),
                *("compacted", "expanded"),
            ],
        ),
    ],
)
def test_kinds_read_as_their_words(enum: type[StrEnum], names: list[Any]) -> None:
    assert [str(kind) for kind in enum] == names
