"""Commits, entries and messages as the JSON that the page reads; see docs/decisions/viewer.md."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from pydantic import BaseModel

from tract import (
    AnnotationContent,
    CommitInfo,
    CompactionContent,
    DefaultContextCompiler,
    EntryInfo,
    ErasedContent,
    MediaPart,
    Message,
    NativePart,
    NullTokenCounter,
    Part,
    RefusalPart,
    StateContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolsContent,
)
from tract.viewer.media import picture

__all__ = ["APIS", "Shape", "detail_of", "entry_of", "message_of", "plain", "pretty", "row_of"]

Shape: TypeAlias = dict[str, Any]
"""A JSON object."""

APIS: Mapping[str, str] = {
    "openai": "openai.chat",
    "responses": "openai.responses",
    "anthropic": "anthropic.messages",
    "google": "google.generate_content",
}
"""The APIs whose requests the page shows, by the names that it has for them."""

PREVIEW = 240
"""How many characters of a content a row has."""
LONGEST = 20_000
"""How many characters of one string in an API's own JSON the page shows; base64 is longer."""
_SAFE = 2**53
"""Integers beyond this lose digits in a page."""
_TOLD_BY_PARTS = {"instruction", "dialogue", "reasoning", "output", "erased", "annotation", "merge"}
"""Contents whose messages say all that they hold."""

_renderer = DefaultContextCompiler(NullTokenCounter())


def plain(value: Any) -> Any:
    """Return *value* as JSON that loses nothing in a page: long integers become strings."""
    match value:
        case BaseModel():
            return plain(value.model_dump())
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case bytes():
            return f"<{len(value):,} bytes>"
        case datetime():
            return value.isoformat()
        case None | bool() | str():
            return value
        case int():
            return value if -_SAFE < value < _SAFE else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case Sequence() | set() | frozenset():
            return [plain(each) for each in value]
    return str(value)


def pretty(value: Any) -> str:
    """Return a value as JSON to be read, with what is too long to read cut."""
    return json.dumps(_cut(value), indent=2, ensure_ascii=False, default=plain)


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]}… ({len(value) - LONGEST:,} more characters)"
    if isinstance(value, BaseModel):
        return _cut(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): _cut(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(each) for each in value]
    return value


def messages_of(content: BaseModel) -> tuple[Message, ...]:
    """Return what a model gets of a content, by itself; nothing if no model sees it."""
    kind = getattr(content, "content_type", "")
    if isinstance(content, AnnotationContent | StateContent | ToolsContent) or kind in (
        "merge",
        "expansion",
    ):
        return ()
    if isinstance(content, CompactionContent) and content.summary is None:
        return ()
    if isinstance(content, ErasedContent):
        return (Message(content.role, "[erased]"),)
    if type(content).__module__.startswith("tract."):
        return _renderer.messages(kind, content.model_dump())
    return _of_own_type(content)


def _of_own_type(content: BaseModel) -> tuple[Message, ...]:
    """Return the messages of a content whose type an application has registered."""
    to_messages, to_text = (getattr(content, each, None) for each in ("to_messages", "to_text"))
    if callable(to_messages):
        made = to_messages()
        return (made,) if isinstance(made, Message) else tuple(made)
    text = str(to_text()) if callable(to_text) else pretty(content)
    return (Message("assistant", text),)


def message_of(message: Message) -> Shape:
    """Return a message with all of its parts."""
    return {
        "role": message.role,
        "name": message.name,
        "parts": [_part(each) for each in message.parts],
    }


def _part(part: Part) -> Shape:
    match part:
        case TextPart() | RefusalPart():
            return {"type": part.type, "text": part.text}
        case ThinkingPart():
            sealed = part.encrypted is not None
            return {"type": part.type, "text": part.text, "sealed": sealed}
        case ToolCallPart():
            call = {"id": part.id, "name": part.name, "arguments": part.arguments}
            return {"type": part.type, "kind": part.kind, **call}
        case ToolResultPart():
            told = {"call_id": part.call_id, "name": part.name, "is_error": part.is_error}
            return {"type": part.type, **told, "parts": [_part(each) for each in part.parts]}
        case MediaPart():
            return _media(part)
        case NativePart():
            return {"type": part.type, "kind": part.kind, "text": pretty(part.native.item)}


def _media(part: MediaPart) -> Shape:
    shape: Shape = {"type": part.type, "kind": part.kind, "media_type": part.media_type}
    shape |= {"name": part.name, "width": part.width, "height": part.height}
    if part.attachment is not None:
        return shape | {"attachment": part.attachment}
    if part.data is not None:
        return shape | picture(part.data)
    return shape | {"elsewhere": part.url or part.file_id}


def row_of(info: CommitInfo, content: BaseModel | None) -> Shape:
    """Return a commit as a list shows it; without a *content*, as one that could not be read."""
    return {
        "hash": info.commit_hash,
        "parents": [each for each in (info.parent_hash, info.merge_parent) if each],
        "op": info.operation.value,
        "type": info.content_type,
        "target": info.edit_target,
        "note": info.message,
        "tokens": info.token_count,
        "at": info.created_at.isoformat(),
        "key": info.key,
        "config": plain(info.generation_config),
        "metadata": plain(info.metadata),
        **_glance(content),
    }


def _glance(content: BaseModel | None) -> Shape:
    """Return what can be told of a content in one line."""
    if content is None:
        return {"role": None, "preview": "", "kinds": [], "unreadable": True}
    messages = messages_of(content)
    kinds = {each.type for message in messages for each in message.parts if each.type != "text"}
    shape: Shape = {
        "role": messages[0].role if messages else None,
        "preview": _preview(content, messages)[:PREVIEW],
        "kinds": sorted(kinds),
    }
    match content:
        case AnnotationContent():
            shape |= {"priority": content.priority, "reason": content.reason}
        case CompactionContent():
            shape |= _compaction(content.model_dump())
        case ErasedContent():
            shape |= _erased(content)
    return shape


def _compaction(fields: Mapping[str, Any]) -> Shape:
    hides, clears = fields.get("hides", ()), fields.get("clears", ())
    return {
        "hides": [*hides],
        "clears": [*clears],
        "reason": fields.get("reason"),
        "empty": fields.get("summary") is None,
    }


def _erased(content: ErasedContent) -> Shape:
    erased = {"reason": content.reason, "at": content.erased_at.isoformat()}
    shape: Shape = {"erased": {**erased, "of": content.of_type}, "priority": content.priority}
    return shape if content.compaction is None else shape | _compaction(content.compaction)


def _preview(content: BaseModel, messages: Sequence[Message]) -> str:
    if isinstance(content, ToolsContent):
        return "tools: " + ", ".join(map(_name_of_tool, content.tools))
    for message in messages:
        for part in message.parts:
            if text := _text(part):
                return text
    if isinstance(content, AnnotationContent):
        return content.reason or ""
    for name in ("branch", "reason"):
        if isinstance(found := getattr(content, name, None), str):
            return found
    if isinstance(content, StateContent):
        return pretty(content.payload)[:PREVIEW]
    return ""


def _text(part: Part) -> str:
    match part:
        case TextPart() | RefusalPart() | ThinkingPart():
            return part.text
        case ToolCallPart():
            return f"{part.name}({part.arguments})"
        case ToolResultPart():
            return next(filter(None, map(_text, part.parts)), "")
        case MediaPart():
            return f"[{part.kind}]"
        case NativePart():
            return f"[{part.kind}]"


def _name_of_tool(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    named = function if isinstance(function, Mapping) else tool
    return str(named.get("name") or tool.get("type") or "?")


def detail_of(content: BaseModel | None) -> Shape:
    """Return all that a content holds: its messages, and its JSON where they do not say it all."""
    if content is None:
        return {"messages": [], "raw": None}
    told = getattr(content, "content_type", "") in _TOLD_BY_PARTS
    return {
        "messages": [message_of(each) for each in messages_of(content)],
        "raw": None if told else pretty(content),
    }


def entry_of(entry: EntryInfo, cleared: Mapping[str, str]) -> Shape:
    """Return an entry of a context as a list shows it; *cleared* says which commit cleared which."""
    kinds = {each.type for message in entry.messages for each in message.parts}
    texts = (_text(part) for message in entry.messages for part in message.parts)
    return {
        "hash": entry.commit_hash,
        "shown": entry.edited_by or entry.commit_hash,
        "hidden_by": entry.hidden_by,
        "cleared_by": cleared.get(entry.commit_hash),
        "priority": entry.priority.value,
        "tokens": entry.token_count,
        "type": entry.content_type,
        "role": entry.role,
        "preview": next(filter(None, texts), "")[:PREVIEW],
        "kinds": sorted(kinds - {"text"}),
        "at": entry.created_at.isoformat(),
        "config": plain(entry.generation_config),
        "erased": entry.content_type == "erased",
    }
