"""Parts of messages as blocks of the Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tract.formats.anthropic_messages.kinds import API
from tract.formats.anthropic_messages.media import media_block
from tract.formats.common.own import is_foreign, own
from tract.formats.common.sides import Group, Side, groups_of
from tract.formats.common.values import as_object, parsed
from tract.formats.deltas import mended
from tract.formats.format import Json, Sent, Writing
from tract.protocols.parts import (
    MediaPart,
    Part,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["blocks_of"]


def blocks_of(sent: Sent, writing: Writing) -> Iterator[Group]:
    """Yield a message's blocks by side."""
    return groups_of(sent, lambda part, side: _blocks(part, side, sent, writing))


def _blocks(part: Part, side: Side, sent: Sent, writing: Writing) -> list[tuple[Json, bool]]:
    """Return a part's block, and whether it is the API's own; none if the API takes none."""
    own_block = None if part.native is None else _own_block(part, writing)
    if own_block is not None:
        return [(own_block, True)]
    translated = None if is_foreign(part, sent, writing) else _translated(part, side, sent, writing)
    return [] if translated is None else [(translated, False)]


def _own_block(part: Part, writing: Writing) -> Json | None:
    block = own(part.native, API, writing)
    if block is None or "role" in block or ("type" not in block and "system" in block):
        return None  # a fragment of a request, which is in no message
    match part:
        case ToolCallPart():
            return {**block, "id": part.id, "name": part.name}
        case ToolResultPart():
            return {**block, "tool_use_id": part.call_id}
    return block


def _translated(part: Part, side: Side, sent: Sent, writing: Writing) -> Json | None:
    match part:
        case TextPart() | RefusalPart():
            return {"type": "text", "text": mended(part.text)}
        case ToolCallPart():
            return _tool_use(part, sent, writing)
        case ToolResultPart():
            named = {} if part.call_id is None else {"tool_use_id": part.call_id}
            result: Json = {"type": "tool_result", **named}
            result["content"] = _result_content(part.parts, sent, writing)
            return result | {"is_error": True} if part.is_error else result
        case MediaPart():
            return _medium(part, side, sent, writing)
    return None


def _tool_use(part: ToolCallPart, sent: Sent, writing: Writing) -> Json:
    if part.signature is not None:
        writing.lose(sent, "signature", "only the API that made it takes it back")
    if part.arguments.strip() and parsed(part.arguments) is None:
        writing.lose(sent, "tool_call", "its arguments are no JSON object, and are sent as a text")
    named = {} if part.id is None else {"id": part.id}
    called = {**named, "name": part.name, "input": as_object(part.arguments)}
    return {"type": "tool_use", **called}


def _result_content(parts: Sequence[Part], sent: Sent, writing: Writing) -> str | list[Json]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return mended(parts[0].text)
    return [block for part in parts for block, _ in _blocks(part, "user", sent, writing)] or ""


def _medium(part: MediaPart, side: Side, sent: Sent, writing: Writing) -> Json | None:
    # "'image' blocks are not permitted within assistant turns"
    refused = side != "user"
    found = f"the API takes no {part.kind} there" if refused else media_block(part, writing.load)
    if isinstance(found, str):
        writing.lose(sent, "media", found)
        return None
    if part.detail not in (None, "auto"):
        writing.lose(sent, "detail", "the API has no field for it")
    return found
