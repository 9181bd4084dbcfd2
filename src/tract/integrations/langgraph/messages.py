"""LangChain's messages as contents: kept to the last field, and shown as messages with parts.

A message of one of LangChain's own classes is kept as the JSON of its fields, in their order. Any
other is kept as the saver's serializer writes it, and shown as far as its fields say.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel

from tract.protocols import Message, ToolCall
from tract.protocols.parts import (
    MediaPart,
    Native,
    NativePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["CLASSES", "CONTENT_TYPES", "LangChainContent", "fields_of"]

CLASSES: Mapping[str, type[BaseMessage]] = {
    "ai": AIMessage,
    "chat": ChatMessage,
    "function": FunctionMessage,
    "human": HumanMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
}
"""The classes whose fields are kept as JSON; nothing else is ever made by its name."""

_ROLES = {"ai": "assistant", "human": "user", "system": "system", "tool": "tool"}
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,(.*)", re.DOTALL)
_KINDS = {"image": "image", "audio": "audio", "video": "video"}
_THINKING = ("thinking", "redacted_thinking")
_CALLS = ("tool_use", "tool_call", "function_call", "server_tool_call", "invalid_tool_call")


class LangChainContent(BaseModel):
    """A message of LangChain's.

    `kind` is its type, `fields` the JSON of its fields. What that cannot say is in `packed`: the
    name of a serialization and its bytes in base64, which the saver's serializer reads.
    """

    content_type: str = "langchain"
    kind: str
    fields: str
    packed: tuple[str, str] | None = None

    render_version: ClassVar[int] = 1

    def to_messages(self) -> Message:
        """Return the message as a model gets it, with its tool calls, thinking and media."""
        fields = json.loads(self.fields)
        role = _ROLES.get(self.kind) or str(fields.get("role") or "user")
        if self.kind in ("tool", "function"):
            return _result(fields)
        parts = [*_parts(fields.get("content")), *_calls(fields)]
        name = fields.get("name")
        plain = [part for part in parts if isinstance(part, TextPart)]
        calls = [part for part in parts if isinstance(part, ToolCallPart)]
        if len(plain) < 2 and len(plain) + len(calls) == len(parts):
            return Message(
                role,
                plain[0].text if plain else None if calls else "",
                name,
                tuple(ToolCall(each.id, each.name, each.arguments) for each in calls),
            )
        return Message.of(role, parts, name=name)


CONTENT_TYPES: Mapping[str, type[BaseModel]] = {"langchain": LangChainContent}
"""What to give to `TractStore.open(content_types=…)` where no saver does."""


def fields_of(message: BaseMessage) -> dict[str, Any]:
    """Return the fields of a message of any class that its context shows."""
    found = {name: getattr(message, name, None) for name in ("content", "name", "role", "id")}
    for name in ("tool_calls", "invalid_tool_calls", "tool_call_id", "status"):
        if (value := getattr(message, name, None)) is not None:
            found[name] = value
    return found


def _result(fields: Mapping[str, Any]) -> Message:
    part = ToolResultPart(
        call_id=fields.get("tool_call_id"),
        parts=tuple(_parts(fields.get("content"))),
        name=fields.get("name"),
        is_error=fields.get("status") == "error",
    )
    return Message.of("tool", [part])


def _calls(fields: Mapping[str, Any]) -> Iterator[Part]:
    for call in fields.get("tool_calls") or ():
        arguments = json.dumps(call.get("args"), ensure_ascii=False)
        yield ToolCallPart(id=call.get("id"), name=str(call.get("name") or ""), arguments=arguments)
    for call in fields.get("invalid_tool_calls") or ():
        yield ToolCallPart(
            id=call.get("id"),
            name=str(call.get("name") or ""),
            arguments=str(call.get("args") or ""),
        )


def _parts(content: Any) -> Iterator[Part]:
    if isinstance(content, str):
        if content:
            yield TextPart(text=content)
        return
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str):
            yield TextPart(text=block)
        elif isinstance(block, dict) and block.get("type") not in _CALLS:  # those of `tool_calls`
            yield _block(block)


def _block(block: dict[str, Any]) -> Part:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return TextPart(text=block["text"])
    if kind in _THINKING:
        return ThinkingPart(
            text=str(block.get("thinking") or ""),
            signature=_text(block.get("signature")),
            encrypted=_text(block.get("data")),
            native=Native("anthropic.messages", json.dumps(block, ensure_ascii=False)),
        )
    if kind == "reasoning":
        return ThinkingPart(text=_reasoning(block), id=_text(block.get("id")))
    if kind == "refusal":
        return RefusalPart(text=str(block.get("refusal") or ""))
    return _media(block) or NativePart(
        native=Native("langchain", json.dumps(block, ensure_ascii=False))
    )


def _reasoning(block: Mapping[str, Any]) -> str:
    if isinstance(block.get("reasoning"), str):
        return str(block["reasoning"])
    summary = block.get("summary")
    texts = [each.get("text") for each in summary or () if isinstance(each, dict)]
    return "\n\n".join(text for text in texts if isinstance(text, str))


def _media(block: Mapping[str, Any]) -> Part | None:
    """Return the image, sound or file of a block, in whichever of the usual shapes it is."""
    kind = str(block.get("type"))
    held = block.get(kind) if isinstance(block.get(kind), (dict, str)) else block.get("source")
    inner: Mapping[str, Any] = held if isinstance(held, dict) else block
    url = held if isinstance(held, str) else inner.get("url") or inner.get("image_url")
    data = inner.get("base64") or inner.get("data") or inner.get("file_data")
    media_type = inner.get("mime_type") or inner.get("media_type")
    if isinstance(url, str) and (found := _DATA_URL.match(url)):
        media_type, data, url = found[1] or None, found[2], None
    part: dict[str, Any] = {
        "kind": _KINDS.get(kind.removesuffix("_url").removeprefix("input_"), "document"),
        "media_type": _text(media_type),
        "detail": _text(inner.get("detail")),
        "name": _text(inner.get("filename")),
    }
    if isinstance(data, str) and (decoded := _decoded(data)):
        return MediaPart(**part, data=decoded)
    if isinstance(url, str) and url:
        return MediaPart(**part, url=url)
    file_id = inner.get("file_id")
    return MediaPart(**part, file_id=file_id) if isinstance(file_id, str) and file_id else None


def _decoded(data: str) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
