"""Items mended where the API would refuse them; those that it takes stay as they are."""

from __future__ import annotations

import re
from typing import Any

from tract.formats.common.media import IMAGES
from tract.formats.common.values import as_text, is_blank, objects, without
from tract.formats.format import Json, Sent, Writing
from tract.formats.openai_responses.blocks import media_block, source_of
from tract.formats.openai_responses.kinds import (
    INPUT_BLOCKS,
    PREFIXES,
    ROLES,
    SERVER_TOOLS,
    kind_of,
)
from tract.formats.openai_responses.replies import as_sent
from tract.formats.openai_responses.translating import Entry
from tract.protocols.parts import MediaPart

__all__ = ["mended_item"]

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OPENAI = re.compile(r"(?:.*[./])?(?:gpt-(?!oss)|o\d|chatgpt-|codex-|computer-use-)")
"""Models whose API checks how ids begin."""
_RUNNING = frozenset({"calling", "generating", "in_progress", "interpreting", "searching"})


def mended_item(entry: Entry, writing: Writing) -> Json | None:
    """Return an item as the API takes it, or None if it takes none of it."""
    item, sent = as_sent(entry.item), entry.sent
    if item.get("id") is not None:
        found = _with_fitting_id(item, sent, writing)
        if found is None:
            return None
        item = found
    match kind_of(item):
        case "message":
            return _message(item, sent, writing)
        case "function_call":
            return _with_text(item, "arguments")
        case "custom_tool_call":
            return _with_text(item, "input")
        case "function_call_output" | "custom_tool_call_output":
            return _output(item, sent, writing)
        case "reasoning":
            return _reasoning(item)
        case "item_reference":
            return _reference(item, sent, writing)
        case "compaction" if is_blank(item.get("encrypted_content")):
            writing.lose(sent, "compaction", "it has no encrypted content")
            return None
        case kind if kind in SERVER_TOOLS and _is_running(item):
            writing.lose(sent, "tool_call", "the provider's tool was cut off")
            return None
    return item


def _reference(item: Json, sent: Sent, writing: Writing) -> Json | None:
    if "id" in item:
        return {**item, "type": "item_reference"}
    writing.lose(sent, "item_reference", "it does not name an item")
    return None


def _is_running(item: Json) -> bool:
    status = item.get("status")
    return isinstance(status, str) and status in _RUNNING


def _with_fitting_id(item: Json, sent: Sent, writing: Writing) -> Json | None:
    """Return an item whose id the API takes. Thinking of another model than OpenAI's has another."""
    kind, own_id = kind_of(item), item["id"]
    if _matches(own_id) and _begins_well(kind, own_id, writing.model):
        return item
    if kind == "reasoning":
        writing.lose(sent, "thinking", "another model made it")
        return None
    return without(item, "id")


def _matches(own_id: Any) -> bool:
    return isinstance(own_id, str) and _ID.fullmatch(own_id) is not None


def _begins_well(kind: str, own_id: str, model: str | None) -> bool:
    if model is None or not _OPENAI.match(model):
        return True
    return own_id.startswith(PREFIXES.get(kind, ""))


def _message(item: Json, sent: Sent, writing: Writing) -> Json | None:
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        writing.lose(sent, "role", f"{str(role)[:80]!r} is not a role of this API")
        item = {**item, "role": "user"}
    content = item.get("content")
    if isinstance(content, str):
        return item
    kept = _blocks(content, str(item["role"]), sent, writing)
    if not kept:
        writing.lose(sent, "message", "there is nothing in it that the API takes")
        return None
    return item if kept == content else {**item, "content": kept}


def _blocks(content: Any, role: str, sent: Sent, writing: Writing) -> list[Json]:
    found = (_block(block, role, sent, writing) for block in objects(content))
    return [block for block in found if block is not None]


def _block(block: Json, role: str, sent: Sent, writing: Writing) -> Json | None:
    """Return a block as the API takes it from *role*, or None if it takes none of it."""
    kind = block.get("type")
    if role == "assistant":
        if kind == "input_text" or kind == "text":
            return _text({"type": "output_text", "annotations": []}, block)
        if isinstance(kind, str) and kind in INPUT_BLOCKS:
            writing.lose(sent, "media", "the API takes no media of the assistant")
            return None
        return block
    if kind in ("output_text", "text", "refusal"):
        return _text({"type": "input_text"}, block)
    if kind == "input_image" or kind == "input_file":
        return _medium(block, sent, writing)
    return block


def _medium(block: Json, sent: Sent, writing: Writing) -> Json | None:
    """Return an image or a file as the API takes it, or None if it is nowhere to be found."""
    kind = block["type"]
    found = [key for key in _SOURCES[kind] if not is_blank(block.get(key))]
    if not found:
        writing.lose(sent, "media", "it does not say where it is")
        return None
    if found[0] in ("file_id", "file_url") or block[found[0]].startswith(_STARTS[kind]):
        return block
    data = source_of(block[found[0]], bare=True).get("data")
    medium = MediaPart(kind="image" if kind == "input_image" else "document", data=data or b"")
    made = media_block(medium, writing.load)
    if isinstance(made, str):
        writing.lose(sent, "media", "the API takes no such URL or data")
        return None
    return {**made, **block, found[0]: made.get(found[0])}


_SOURCES = {
    "input_file": ("file_id", "file_url", "file_data"),
    "input_image": ("file_id", "image_url"),
}
_STARTS = {
    "input_file": ("data:",),
    "input_image": ("https://", "http://", *(f"data:{kind};base64," for kind in IMAGES)),
}


def _text(start: Json, block: Json) -> Json:
    text = block.get("text", block.get("refusal"))
    return {**start, "text": text if isinstance(text, str) else ""}


def _with_text(item: Json, key: str) -> Json:
    given = item.get(key)
    if isinstance(given, str):
        return item
    return {**item, key: "{}" if given is None else as_text(given)}


def _output(item: Json, sent: Sent, writing: Writing) -> Json:
    output = item.get("output")
    if isinstance(output, str):
        return item
    if not isinstance(output, list):
        return {**item, "output": as_text(output)}
    kept = _blocks(output, "user", sent, writing)
    return item if kept == output else {**item, "output": kept or ""}


def _reasoning(item: Json) -> Json:
    if item.get("encrypted_content") == "":
        item = without(item, "encrypted_content")
    return item if isinstance(item.get("summary"), list) else {**item, "summary": []}
