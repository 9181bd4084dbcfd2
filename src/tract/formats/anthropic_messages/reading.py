"""An item of the Messages API as parts: a pure view, whatever the item holds."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from tract.formats.anthropic_messages.kinds import (
    is_server_result,
    kind_of,
    native_of,
)
from tract.formats.common.media import attached
from tract.formats.common.values import json_text, optional, required
from tract.formats.format import Json, Reading
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["is_fragment", "read"]

_AMISS = (AttributeError, LookupError, TypeError, ValueError)
"""What a block raises that is not of the shape that its type promises."""


def is_fragment(item: Json) -> bool:
    """Return True if *item* is the part of a request that holds its system prompt."""
    return "role" not in item and "system" in item


def read(item: Json, *, keep: bool = False) -> Reading:
    """Return an item as parts; with *keep*, each has its own JSON."""
    if is_fragment(item):
        return Reading("system", _content({"content": item["system"]}, keep))
    role, parts = item.get("role"), _content(item, keep)
    if role == "user" and parts and all(map(_is_result, parts)):
        return Reading("tool", parts)
    return Reading(role if isinstance(role, str) else "assistant", parts)


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResultPart) and part.kind != "server"


def _content(item: Json, keep: bool) -> tuple[Part, ...]:
    content = item.get("content")
    if isinstance(content, str):
        block = {"type": "text", "text": content}
        return (_part(block, keep),) if content else ()
    if isinstance(content, list):
        return tuple(_part(block, keep) for block in content)
    says_more = content is not None or item.keys() - {"role", "content"}
    return (NativePart(native=native_of(item)),) if says_more else ()


def _part(block: Any, keep: bool) -> Part:
    try:
        part = _reader(kind_of(block))(block)
    except _AMISS:
        part = None
    if part is None:
        return NativePart(native=native_of(block))
    return replace(part, native=native_of(block)) if keep else part


def _reader(kind: str) -> Callable[[Json], Part | None]:
    return _READERS.get(kind) or (_server_result if is_server_result(kind) else _nothing)


def _nothing(block: Json) -> None:
    return None


def _text(block: Json) -> Part:
    return TextPart(text=required(block["text"]))


def _image(block: Json) -> Part | None:
    return _media("image", block["source"], None)


def _document(block: Json) -> Part | None:
    title = block.get("title")
    return _media("document", block["source"], title if isinstance(title, str) else None)


def _media(kind: Literal["image", "document"], source: Json, name: str | None) -> Part | None:
    match source["type"]:
        case "base64":
            return _bytes(kind, source, name)
        case "url":
            return MediaPart(kind=kind, url=required(source["url"]), name=name)
        case "file":
            return MediaPart(kind=kind, file_id=required(source["file_id"]), name=name)
        case "text":
            return _plain_text(kind, required(source["data"]), name)
        case "content" if all(kind_of(each) == "text" for each in _blocks(source["content"])):
            return _plain_text(kind, _texts(source["content"]), name)
    return None


def _bytes(kind: Literal["image", "document"], source: Json, name: str | None) -> Part:
    media_type, found = required(source["media_type"]), attached(source["data"])
    if found is None:
        found = {"data": base64.b64decode(required(source["data"]), validate=True)}
    return MediaPart(**{**found, "kind": kind, "media_type": media_type, "name": name})


def _plain_text(kind: Literal["image", "document"], text: str, name: str | None) -> Part:
    return MediaPart(kind=kind, media_type="text/plain", data=text.encode(), name=name)


def _search_result(block: Json) -> Part:
    texts = [required(block["title"]), required(block["source"]), _texts(block["content"])]
    return TextPart(text="\n".join(text for text in texts if text))


def _thinking(block: Json) -> Part:
    return ThinkingPart(
        text=required(block["thinking"]), signature=required(block.get("signature") or "") or None
    )


def _redacted(block: Json) -> Part:
    return ThinkingPart(encrypted=required(block["data"]))


def _call(kind: Literal["function", "server"]) -> Callable[[Json], Part]:
    def reader(block: Json) -> Part:
        return ToolCallPart(
            id=optional(block.get("id")),
            name=required(block["name"]),
            arguments=json_text(block["input"]),
            kind=kind,
        )

    return reader


def _result(block: Json) -> Part:
    return ToolResultPart(
        call_id=optional(block.get("tool_use_id")),
        parts=_result_parts(block.get("content")),
        is_error=block.get("is_error") is True,
    )


def _server_result(block: Json) -> Part:
    content = block.get("content")
    return ToolResultPart(
        call_id=optional(block.get("tool_use_id")),
        parts=_result_parts(content),
        is_error=block.get("is_error") is True or kind_of(content).endswith("_error"),
        kind="server",
    )


def _result_parts(content: Any) -> tuple[Part, ...]:
    if isinstance(content, dict):
        return (NativePart(native=native_of(content)),)
    return _content({"content": content}, keep=False)


def _compaction(block: Json) -> Part:
    return TextPart(text=required(block["content"]))


_READERS: dict[str, Callable[[Json], Part | None]] = {
    "compaction": _compaction,
    "document": _document,
    "image": _image,
    "mcp_tool_use": _call("server"),
    "redacted_thinking": _redacted,
    "search_result": _search_result,
    "server_tool_use": _call("server"),
    "text": _text,
    "thinking": _thinking,
    "tool_result": _result,
    "tool_use": _call("function"),
}


def _blocks(content: Any) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise TypeError("not a list of blocks")
    return content


def _texts(content: Any) -> str:
    return "\n\n".join(required(block["text"]) for block in _blocks(content))
