"""Parts of messages as blocks of the Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tract.formats.anthropic_messages.arguments import as_input, parsed
from tract.formats.anthropic_messages.kinds import API, Side
from tract.formats.anthropic_messages.media import media_block
from tract.formats.deltas import mended
from tract.formats.format import Json, Sent, Writing
from tract.history.media import put_back
from tract.parts import (
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
from tract.protocols import Message

__all__ = ["Block", "Group", "groups_of", "own_item", "side_of"]


class Block(NamedTuple):
    """A block on its way out, and the message that it is of."""

    json: Json
    sent: Sent
    is_own: bool
    """The API made it; it goes out as it came."""


class Group(NamedTuple):
    """Blocks of one message that stand on one side of the conversation."""

    side: Side
    blocks: list[Block]
    item: Json | None = None
    """The item that the whole message came as."""


def own_item(message: Message, writing: Writing) -> Json | None:
    """Return the item of this API that a message came as, with its media put back."""
    if message.native is None or message.native.api != API:
        return None
    item = put_back(message.native.item, writing.load)
    return item if isinstance(item, dict) else None


def side_of(message: Message) -> Side:
    """Return the side that a message speaks for."""
    if message.tool_calls or message.role == "assistant":
        return "assistant"
    return "system" if message.role in ("system", "developer") else "user"


def groups_of(sent: Sent, writing: Writing) -> Iterator[Group]:
    """Yield a message's blocks by side: calls are the model's, results the user's."""
    side = side_of(sent.message)
    group: Group | None = None
    for part in sent.message.parts:
        block = _block(part, side, sent, writing)
        if block is None:
            continue
        stands = _side_of(part, side)
        if group is None or group.side != stands:
            if group is not None:
                yield group
            group = Group(stands, [])
        group.blocks.append(block)
    if group is not None:
        yield group


def _side_of(part: Part, side: Side) -> Side:
    if isinstance(part, ToolCallPart | ThinkingPart):
        return "assistant"
    if isinstance(part, ToolResultPart):
        return "assistant" if part.kind == "server" else "user"
    return side


def _block(part: Part, side: Side, sent: Sent, writing: Writing) -> Block | None:
    if part.native is not None and part.native.api == API:
        own = _own_block(part, part.native, writing)
        if own is not None:
            return Block(own, sent, True)
    translated = _translated(part, side, sent, writing)
    return None if translated is None else Block(translated, sent, False)


def _own_block(part: Part, native: Native, writing: Writing) -> Json | None:
    block = put_back(native.item, writing.load)
    if not isinstance(block, dict) or "role" in block or is_system_prompt(block):
        return None
    match part:
        case ToolCallPart():
            return {**block, "id": part.id, "name": part.name}
        case ToolResultPart():
            return {**block, "tool_use_id": part.call_id}
    return block


def is_system_prompt(block: Json) -> bool:
    """Return True if *block* is a fragment of a request, which is in no message."""
    return "type" not in block and "system" in block


def _translated(part: Part, side: Side, sent: Sent, writing: Writing) -> Json | None:
    match part:
        case TextPart() | RefusalPart():
            return {"type": "text", "text": mended(part.text)}
        case ToolCallPart():
            return _tool_use(part, sent, writing)
        case ToolResultPart():
            return _tool_result(part, sent, writing)
        case MediaPart():
            return _medium(part, side, sent, writing)
        case ThinkingPart():
            writing.lose(sent, "thinking", "only the API that made it takes it back")
        case NativePart():
            writing.lose(sent, part.kind, f"only {part.native.api} has it")
    return None


def _tool_use(part: ToolCallPart, sent: Sent, writing: Writing) -> Json | None:
    if part.kind == "server":
        writing.lose(sent, "tool_call", "only the API that ran the tool takes the call back")
        return None
    if part.signature is not None:
        writing.lose(sent, "signature", "only the API that made it takes it back")
    if part.arguments.strip() and parsed(part.arguments) is None:
        writing.lose(sent, "tool_call", "its arguments are no JSON object, and are sent as a text")
    named = {} if part.id is None else {"id": part.id}
    called = {**named, "name": part.name, "input": as_input(part.arguments)}
    return {"type": "tool_use", **called}


def _tool_result(part: ToolResultPart, sent: Sent, writing: Writing) -> Json | None:
    if part.kind == "server":
        writing.lose(sent, "tool_result", "only the API that ran the tool takes the result back")
        return None
    named = {} if part.call_id is None else {"tool_use_id": part.call_id}
    result: Json = {"type": "tool_result", **named}
    result["content"] = _result_content(part.parts, sent, writing)
    return result | {"is_error": True} if part.is_error else result


def _result_content(parts: Sequence[Part], sent: Sent, writing: Writing) -> str | list[Json]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return mended(parts[0].text)
    blocks = [_block(part, "user", sent, writing) for part in parts]
    return [block.json for block in blocks if block is not None] or ""


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
