"""Contents, options, annotations and commits: values that keep to their shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from tract import (
    AnnotationContent,
    ArtifactContent,
    BudgetAction,
    CommitInfo,
    CommitOperation,
    Content,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    OutputContent,
    Priority,
    PriorityAnnotation,
    ReasoningContent,
    TokenBudgetConfig,
    ToolIOContent,
    TractConfig,
    VerifyFault,
    VerifyReport,
)

CONTENT: TypeAdapter[Any] = TypeAdapter(Content)
CONTENTS: list[BaseModel] = [
    InstructionContent(text="Be brief."),
    DialogueContent(role="user", text="Hi", name="ann"),
    ToolIOContent(tool_name="f", direction="call", payload='{"a": 1}', call_id="c"),
    ToolIOContent(tool_name="f", direction="result", payload=[1, None], status="error"),
    ReasoningContent(text="Hm."),
    ArtifactContent(artifact_type="code", content="x = 1", language="python"),
    OutputContent(text="# Done", format="markdown"),
    FreeformContent(payload={"a": [1, 2.5, None, True]}),
]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def info(**changes: Any) -> CommitInfo:
    fields: dict[str, Any] = {
        "commit_hash": "c",
        "tract_id": "t",
        "parent_hash": None,
        "content_hash": "b",
        "content_type": "dialogue",
        "operation": CommitOperation.APPEND,
        "edit_target": None,
        "message": None,
        "token_count": 1,
        "metadata": None,
        "generation_config": {"stop": ["a"]},
        "created_at": NOW,
    }
    return CommitInfo(**(fields | changes))


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: type(content).__name__)
def test_the_union_tells_contents_apart_by_their_type(content: BaseModel) -> None:
    assert CONTENT.validate_python(content.model_dump()) == content
    assert CONTENT.validate_json(content.model_dump_json()) == content


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: type(content).__name__)
def test_a_content_is_frozen(content: BaseModel) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        content.content_type = "other"  # type: ignore[attr-defined]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: type(content).__name__)
def test_a_content_has_no_unknown_fields(content: BaseModel) -> None:
    with pytest.raises(ValidationError, match="extra"):
        type(content).model_validate(content.model_dump() | {"extra": 1})


@pytest.mark.parametrize(
    "fields",
    [
        {"content_type": "instruction"},
        {"content_type": "instruction", "text": 1},
        {"content_type": "instruction", "text": b"a"},
        {"content_type": "instruction", "text": None},
        {"content_type": "dialogue", "role": "tool", "text": "a"},
        {"content_type": "dialogue", "role": "user", "text": "a", "name": 1},
        {"content_type": "tool_io", "tool_name": "f", "direction": "up", "payload": 1},
        {"content_type": "tool_io", "tool_name": "f", "direction": "call"},
        {
            "content_type": "tool_io",
            "tool_name": "f",
            "direction": "result",
            "payload": 1,
            "status": "ok",
        },
        {"content_type": "output", "text": "a", "format": "html"},
        {"content_type": "artifact", "content": "a"},
        {"content_type": "freeform"},
        {"content_type": "unknown"},
        {"text": "a"},
    ],
)
def test_a_content_with_missing_or_mistyped_fields_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CONTENT.validate_python(fields)


def test_an_annotation_has_one_of_three_priorities() -> None:
    assert [AnnotationContent(priority=p.value).priority for p in Priority] == list(Priority)
    with pytest.raises(ValidationError):
        AnnotationContent.model_validate({"priority": "high"})


@pytest.mark.parametrize(
    "value",
    [
        info(),
        PriorityAnnotation(
            target_hash="a", priority=Priority.SKIP, reason=None, commit_hash="c", created_at=NOW
        ),
        VerifyFault(commit_hash="a", problem="p"),
        VerifyReport(checked=1, faults=()),
        TokenBudgetConfig(max_tokens=1),
        TractConfig(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_library_hands_out_is_frozen(value: BaseModel) -> None:
    field = next(iter(type(value).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, field, None)


def test_a_commit_survives_json() -> None:
    commit = info(metadata={"a": [1, None]}, operation=CommitOperation.EDIT, edit_target="e")

    assert CommitInfo.model_validate_json(commit.model_dump_json()) == commit


@pytest.mark.parametrize("enum", [CommitOperation, Priority, BudgetAction])
def test_members_of_enums_are_their_lower_case_names(
    enum: type[CommitOperation | Priority | BudgetAction],
) -> None:
    assert [str(member) for member in enum] == [member.name.lower() for member in enum]


@pytest.mark.parametrize(
    "options",
    [
        {"max_content_bytes": 0},
        {"cache_max_bytes": -1},
        {"busy_timeout": -0.1},
        {"durability": "none"},
        {"readers": 0},
        {"readers": 17},
        {"type_to_role": {"reasoning": "tool"}},
        {"cache_size": 1},
    ],
)
def test_an_option_out_of_its_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        TractConfig(**options)


def test_the_defaults_are_those_of_the_design() -> None:
    config = TractConfig()

    assert config.max_content_bytes == 32 * 2**20
    assert config.cache_max_bytes == 64 * 2**20
    assert config.durability == "normal"
    assert config.token_budget is None


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": 10, "action": "shout"},
        {"max_tokens": 10, "action": "callback"},
        {"max_tokens": 10, "action": "warn", "callback": print},
        {"max_tokens": 10, "action": "reject", "callback": print},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TokenBudgetConfig(**options)


def test_a_budget_with_a_callback_calls_it() -> None:
    budget = TokenBudgetConfig(max_tokens=10, action=BudgetAction.CALLBACK, callback=print)

    assert budget.callback is print
