"""Entries that others committed to a conversation's branch, as messages of pydantic-ai."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_ai.conversation_store import ConversationEntry
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    DocumentUrl,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
    VideoUrl,
)

from tract.integrations.pydantic_ai.contents import ENTRIES, ENTRY
from tract.models.commit import EntryInfo
from tract.protocols import Message
from tract.protocols import parts as ours

__all__ = ["entries_of", "is_foreign"]

_URLS: Mapping[str, Callable[..., UserContent]] = {
    "image": ImageUrl,
    "audio": AudioUrl,
    "video": VideoUrl,
    "document": DocumentUrl,
}
_TOOLS = "$tools"  # the role of entries that define tools, which are not messages


def is_foreign(entry: EntryInfo) -> bool:
    """Return True for an entry that others made, and False for tools, which are not messages."""
    native = entry.message.native
    return entry.role != _TOOLS and (native is None or native.api != ENTRY)


def entries_of(listed: Sequence[EntryInfo]) -> list[ConversationEntry]:
    """Return entries of a context as those of a conversation; others' are called by their hashes."""
    made: list[ConversationEntry] = []
    for entry in listed:
        native = entry.message.native
        if native is not None and native.api == ENTRY:
            made += ENTRIES.validate_json(f"[{native.text}]")
        elif is_foreign(entry):
            parent_id = made[-1].id if made else None
            message = _message(entry)
            made.append(
                ConversationEntry(id=entry.commit_hash, parent_id=parent_id, message=message)
            )
    return made


def _message(entry: EntryInfo) -> ModelMessage:
    messages = entry.messages
    if all(message.role == "assistant" for message in messages):
        said = [part for message in messages for part in _said(message.parts)]
        return ModelResponse(parts=said, timestamp=entry.created_at)
    told = [part for message in messages for part in _told(message)]
    return ModelRequest(parts=told, timestamp=entry.created_at)


def _said(parts: Iterable[ours.Part]) -> Iterator[ModelResponsePart]:
    for part in parts:
        match part:
            case ours.ThinkingPart():
                if part.text:
                    yield ThinkingPart(part.text)
            case ours.ToolCallPart():
                yield ToolCallPart(part.name, part.arguments, **_id(part.id))
            case ours.TextPart() | ours.RefusalPart():
                yield TextPart(part.text)
            case _:
                yield TextPart(f"[{part.type}]")


def _told(message: Message) -> Iterator[ModelRequestPart]:
    if message.role == "system":
        yield SystemPromptPart(message.content or "")
        return
    told: list[UserContent] = []
    for part in message.parts:
        if isinstance(part, ours.ToolResultPart):
            found = [_content(each) for each in part.parts]
            content = found[0] if len(found) == 1 else found
            given = _id(part.call_id) | ({"outcome": "failed"} if part.is_error else {})
            yield ToolReturnPart(part.name or "", content, **given)
        else:
            told.append(_content(part))
    if told:
        text = told[0]
        yield UserPromptPart(text if len(told) == 1 and isinstance(text, str) else told)


def _id(given: str | None) -> dict[str, Any]:
    return {} if given is None else {"tool_call_id": given}


def _content(part: ours.Part) -> UserContent:
    match part:
        case ours.TextPart() | ours.RefusalPart() | ours.ThinkingPart():
            return part.text
        case ours.MediaPart():
            if part.url is not None:
                return _URLS[part.kind](url=part.url, media_type=part.media_type)
            if part.data is not None:
                media_type = part.media_type or "application/octet-stream"
                return BinaryContent(data=part.data, media_type=media_type)
    return f"[{part.type}]"
