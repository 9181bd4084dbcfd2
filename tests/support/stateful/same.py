"""Comparing results with what they must be: every field, including its type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from support.customs import CUSTOM
from support.model import Commit, Content, Setup, Tract, View
from support.wire import check_anthropic, check_openai, openai_messages
from tract import (
    AnnotationContent,
    ArtifactContent,
    CommitInfo,
    CommitOperation,
    CompiledContext,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    OutputContent,
    Priority,
    PriorityAnnotation,
    ReasoningContent,
    ToolIOContent,
    to_anthropic,
)

MODELS: dict[str, type[BaseModel]] = {
    "annotation": AnnotationContent,
    "artifact": ArtifactContent,
    "dialogue": DialogueContent,
    "freeform": FreeformContent,
    "instruction": InstructionContent,
    "output": OutputContent,
    "reasoning": ReasoningContent,
    "tool_io": ToolIOContent,
    **CUSTOM,
}
_SHOWN = 3000


def same(what: str, found: Any, wanted: Any) -> None:
    """Raise unless two values are equal; 1, 1.0 and True are not."""
    if found == wanted and _told(found) == _told(wanted):
        return
    raise AssertionError(
        f"{what}\n found: {_told(found)[:_SHOWN]}\nwanted: {_told(wanted)[:_SHOWN]}"
    )


def _told(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, default=repr)


def spoil(*values: Any) -> None:
    """Change JSON values throughout, as a caller that owns them may."""
    for value in values:
        if isinstance(value, dict):
            spoil(*value.values())
            value["changed"] = "by the caller"
        elif isinstance(value, list):
            spoil(*value)
            value.append("changed by the caller")


def same_infos(what: str, found: Sequence[CommitInfo], wanted: Sequence[Commit]) -> None:
    """Compare commits, then change what was found, which must affect nobody."""
    same(what, [info.model_dump() for info in found], [commit.info() for commit in wanted])
    for info in found:
        same(f"{what}: types", (type(info), type(info.operation)), (CommitInfo, CommitOperation))
        spoil(info.metadata, info.generation_config)


def same_annotations(
    what: str, found: Sequence[PriorityAnnotation], wanted: Sequence[dict[str, Any]]
) -> None:
    """Compare annotations."""
    same(what, [annotation.model_dump() for annotation in found], list(wanted))
    same(f"{what}: types", [type(a.priority) for a in found], [Priority] * len(wanted))


def same_content(what: str, found: BaseModel, wanted: Content) -> None:
    """Compare a content model with the fields that were stored."""
    kind = wanted["content_type"]
    same(f"{what}: type", type(found), MODELS[kind])
    told = {"content_type": kind, **found.model_dump()}
    if told.get("role", 0) is None:  # it is not stored
        del told["role"]
    same(what, told, wanted)


def same_context(
    what: str,
    found: CompiledContext,
    tract: Tract,
    head: str | None,
    setup: Setup,
    view: View | None = None,
) -> None:
    """Compare a context with that of a head, then change what was found."""
    wanted = tract.context(head, setup, view)
    for name, value in wanted.items():
        if name == "dicts":
            same(f"{what}: to_dicts()", found.to_dicts(), value)
        else:
            same(f"{what}: {name}", getattr(found, name), value)
    for changing in (found.messages, found.generation_configs, found.commit_hashes):
        changing.clear()
    spoil(found.to_dicts(), found.generation_configs)


def same_sent(what: str, found: CompiledContext) -> None:
    """Compare what providers are sent for a context."""
    messages = found.messages
    kept = found.to_openai(open_calls="keep")
    same(f"{what}: to_openai()", kept, openai_messages(messages))
    check_anthropic(to_anthropic(messages), messages)
    sent = found.to_openai()
    check_openai(sent)
    same(f"{what}: open calls", _unanswered(sent), set())
    spoil(kept)
    spoil(sent)


def _unanswered(sent: list[dict[str, Any]]) -> set[str]:
    """Return the ids of calls that no result names."""
    called = {call["id"] for message in sent for call in message.get("tool_calls", ())}
    return called - {message.get("tool_call_id") for message in sent}
