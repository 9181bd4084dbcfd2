"""What the API refuses of single parts, left out or mended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tract.formats.common.sides import Block, Side
from tract.formats.common.values import is_blank, without
from tract.formats.format import Json, Writing
from tract.formats.google_genai.kinds import data_of, field, key_of, known_keys
from tract.formats.google_genai.replies import part_as_sent

__all__ = ["NAME", "mended_blocks"]

# "Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z,
# 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]+|[A-Za-z0-9_-]+)={0,2}")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(?:\s*;.*)?")
_SIGNATURE = "thoughtSignature"


def mended_blocks(blocks: Iterable[Block], side: Side, writing: Writing) -> list[Block]:
    """Return the blocks that the API takes on a side, in their order."""
    kept = []
    for block in blocks:
        block = _filled(block)
        found = data_of(block.json)
        if found == ["text"] and block.json["text"] == "" and _is_idle(block, side):
            continue
        why = _refused(block, found, side)
        if why is None:
            kept.append(_signed(block, writing))
        else:
            writing.lose(block.sent, _kind(found), why)
    return kept


def _is_idle(block: Block, side: Side) -> bool:
    """Return True for an empty text that says nothing; the API takes those that it knows."""
    return side == "system" or not (block.is_own or key_of(block.json, _SIGNATURE))


def _filled(block: Block) -> Block:
    """Return a part without nulls; one that is only a signature as the empty text that it signs."""
    part = block.json
    data = [part[key] for name in data_of(part) if (key := key_of(part, name))]
    if any(None in each.values() for each in (part, *data) if isinstance(each, dict)):
        part = part_as_sent(part)
    if block.is_own and not data and key_of(part, _SIGNATURE):
        part = {**part, "text": ""}
    return block if part is block.json else block._replace(json=part)


def _refused(block: Block, found: list[str], side: Side) -> str | None:
    """Return why the API refuses a part, or None if it takes it."""
    part = block.json
    if not found and side != "system" and part.keys() - set(known_keys(part)):
        return None  # of a later release
    if len(found) != 1:
        return f"a part has one kind of data, not {', '.join(found) or 'none'}"
    data = field(part, found[0])
    if side == "system":
        blank = found != ["text"] or is_blank(data)
        return "a system instruction consists of texts that say something" if blank else None
    if found == ["text"]:
        return None if isinstance(data, str) else "a text is a string"
    if not isinstance(data, dict):
        return f"{found[0]} is not an object"
    if found == ["inlineData"] and not block.is_own:
        return None  # encoded here: matching megabytes of it would take long
    return _refused_data(found[0], data)


def _refused_data(kind: str, data: Json) -> str | None:
    match kind:
        case "functionCall" | "functionResponse":
            given = data.get("args" if kind == "functionCall" else "response")
            if not _matches(NAME, data.get("name")) or not isinstance(given, dict | None):
                return "it has no name that the API takes, or no object"
        case "inlineData":
            named = _matches(_MEDIA_TYPE, field(data, "mimeType"))
            if not named or not _is_base64(data.get("data")):
                return "its media type or its bytes are not there"
        case "fileData":
            uri = field(data, "fileUri")
            if is_blank(uri):
                return "it does not say where the file is"
    return None


def _signed(block: Block, writing: Writing) -> Block:
    """Return a block without a signature that did not arrive whole."""
    key = key_of(block.json, _SIGNATURE)
    if key is None or _is_base64(block.json[key]):
        return block
    writing.lose(block.sent, "signature", "it did not arrive whole")
    return block._replace(json=without(block.json, key))


def _is_base64(text: Any) -> bool:
    return isinstance(text, str) and len(text) % 4 == 0 and bool(_BASE64.fullmatch(text))


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))


def _kind(found: list[str]) -> str:
    return _NAMES.get(found[0], "native") if len(found) == 1 else "native"


_NAMES = {
    "fileData": "media",
    "functionCall": "tool_call",
    "functionResponse": "tool_result",
    "inlineData": "media",
    "text": "text",
}
