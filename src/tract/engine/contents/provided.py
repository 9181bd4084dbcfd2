"""Rendering contents that hold what providers send: messages of parts, native items, tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tract.formats.registry import FORMATS
from tract.history.canonical import canonical_json
from tract.models.compaction import COMPACTION
from tract.protocols import Message
from tract.protocols.parts import (
    MediaPart,
    Native,
    NativePart,
    Part,
    TextPart,
    ToolResultPart,
    from_json_parts,
)

__all__ = [
    "TOOLS",
    "media_result",
    "message_of_parts",
    "message_of_tools",
    "native_message",
    "shown_content",
    "without_results",
]

TOOLS = "$tools"
"""The role of an entry that holds tool definitions, which is not shown as a message."""

Fields = Mapping[str, Any]


def message_of_parts(fields: Fields, role: str | None) -> Message:
    """Return the message of a `MessageContent`."""
    parts = from_json_parts(fields["parts"])
    return Message.of(role or fields["role"], parts, name=fields["name"])


def native_message(fields: Fields, role: str | None, data: bytes = b"") -> Message:
    """Return the message of a `NativeContent`, which keeps its item unless its role is another.

    *data* is the content's canonical JSON, if that is at hand: the item's is cut out of it.
    """
    item = fields["item"]
    text = _item_in(data, fields["api"]) or canonical_json(item, surrogates=True)
    native = Native(fields["api"], text)
    source = FORMATS.get(native.api)
    if source is None:  # of a later release, or of a program's own
        said = item.get("role")
        named = said if isinstance(said, str) else "assistant"
        return Message.of(role or named, (NativePart(native=native),), native=native)
    found = source.read(item)
    if role is not None and role != found.role:
        return Message.of(role, found.parts, name=found.name)
    return Message.of(found.role, found.parts, name=found.name, native=native)


def _item_in(data: bytes, api: str) -> str | None:
    """Return the JSON of an item in that of its content, whose last key it is; None if it is not."""
    before = _BEFORE_ITEM.get(api)
    if before is None or not data.startswith(before) or data.count(_ITEM) > 1:
        return None  # one with a key of that name may be what another program has written
    return data[len(before) : -1].decode()


def media_result(fields: Fields) -> tuple[Part, ...] | None:
    """Return the parts of a tool's result that is a list of blocks with media among them.

    Tools return such lists in the form of some API, or in that of the Model Context Protocol. None
    stands for any other payload, which is shown as text.
    """
    payload = fields["payload"]
    if fields["direction"] != "result" or type(payload) is not list:
        return None
    blocks = [_of_mcp(block) for block in payload if type(block) is dict]
    if len(blocks) < len(payload) or not any(block.get("type") in _MEDIA for block in blocks):
        return None
    for api, holder, key in _HOLDERS:
        item = {**holder, key: blocks}
        if api == "anthropic.messages":
            item = {"role": "user", "content": [item]}
        results = [
            part for part in FORMATS[api].read(item).parts if isinstance(part, ToolResultPart)
        ]
        if len(results) == 1 and _are_media(results[0].parts):
            return results[0].parts
    return None


def _of_mcp(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block in the Model Context Protocol's form as Anthropic has it; others as they are."""
    if block.get("type") != "image" or "mimeType" not in block or "data" not in block:
        return block
    source = {"type": "base64", "media_type": block["mimeType"], "data": block["data"]}
    return {"type": "image", "source": source}


def _are_media(parts: Sequence[Part]) -> bool:
    known = all(isinstance(part, TextPart | MediaPart) for part in parts)
    return known and any(isinstance(part, MediaPart) for part in parts)


_ITEM = b'"item":'
_BEFORE_ITEM = {
    api: f'{{"api":"{api}","content_type":"native",'.encode() + _ITEM for api in FORMATS
}
_MEDIA = frozenset({"document", "file", "image", "image_url", "input_file", "input_image"})
_HOLDERS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("anthropic.messages", {"type": "tool_result", "tool_use_id": "a"}, "content"),
    ("openai.responses", {"type": "function_call_output", "call_id": "a"}, "output"),
    ("openai.chat", {"role": "tool", "tool_call_id": "a"}, "content"),
)
"""Where each API has the blocks of a result."""


def message_of_tools(fields: Fields, role: str | None) -> Message:
    """Return what stands for tool definitions: a message that is never shown."""
    native = Native(fields["api"], canonical_json(fields["tools"], surrogates=True))
    return Message(TOOLS, given=(), native=native)


_NO_SUMMARY: Fields = {"content_type": "dialogue", "role": "user", "text": "", "name": None}


def shown_content(content_type: str, fields: Fields) -> tuple[str, Fields]:
    """Return the type and fields of what shows a content: of a compaction, its summary.

    A compaction without one has a summary that is never shown.
    """
    if content_type != COMPACTION:
        return content_type, fields
    summary = fields["summary"]
    shown = _NO_SUMMARY if summary is None else summary
    return shown["content_type"], shown


def without_results(message: Message, placeholder: str) -> Message:
    """Return *message* with a placeholder in the place of what its tool results hold."""
    parts = [
        replace(part, parts=(TextPart(text=placeholder),), native=None)
        if isinstance(part, ToolResultPart)
        else part
        for part in message.parts
    ]
    return Message.of(message.role, parts, name=message.name)
