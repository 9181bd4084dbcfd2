"""Parts of messages as parts of the API's contents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tract.formats.deltas import mended
from tract.formats.format import Json, Sent, Writing
from tract.formats.google_genai.kinds import API, Side, is_fragment, key_of, signs_calls
from tract.formats.google_genai.media import IN_RESPONSES, media_data
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

_MAX_DEPTH = 64


class Block(NamedTuple):
    """A part on its way out, and the message that it is of."""

    json: Json
    sent: Sent
    is_own: bool
    """The API made it; it goes out as it came."""


class Group(NamedTuple):
    """Parts of one message that stand on one side of the conversation."""

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
        return "model"
    return "system" if message.role in ("system", "developer") else "user"


def groups_of(sent: Sent, writing: Writing) -> Iterator[Group]:
    """Yield a message's parts by side: calls are the model's, results the user's."""
    side = side_of(sent.message)
    group: Group | None = None
    for part in sent.message.parts:
        for stands, block in _blocks(part, side, sent, writing):
            if group is None or group.side != stands:
                if group is not None:
                    yield group
                group = Group(stands, [])
            group.blocks.append(block)
    if group is not None:
        yield group


def _blocks(part: Part, side: Side, sent: Sent, writing: Writing) -> Iterator[tuple[Side, Block]]:
    stands = _side_of(part, side)
    if part.native is not None and part.native.api == API:
        own = _own(part, part.native, writing)
        if own is not None:
            yield stands, Block(own, sent, True)
            return
    for each in _translated(part, sent, writing):
        yield stands, Block(each, sent, False)


def _side_of(part: Part, side: Side) -> Side:
    if isinstance(part, ToolCallPart | ThinkingPart):
        return "model"
    if isinstance(part, ToolResultPart):
        return "model" if part.kind == "server" else "user"
    return side


def _own(part: Part, native: Native, writing: Writing) -> Json | None:
    """Return the JSON that a part came as, with the id and the name that it has now.

    One that came without an id is sent without it: the API pairs those by their order.
    """
    made = put_back(native.item, writing.load)
    if not isinstance(made, dict) or made.keys() & {"role", "parts"} or is_fragment(made):
        return None
    match part:
        case ToolCallPart(kind="function"):
            return _renamed(made, "functionCall", part.id, part.name)
        case ToolResultPart(kind="function"):
            return _renamed(made, "functionResponse", part.call_id, part.name)
    return made


def _renamed(part: Json, data: str, call_id: str | None, name: str | None) -> Json:
    key = key_of(part, data)
    if key is None:
        return part
    mended_id = {"id": call_id} if part[key].get("id") is not None else {}
    named = {} if name is None else {"name": name}
    return {**part, key: {**part[key], **mended_id, **named}}


def _translated(part: Part, sent: Sent, writing: Writing) -> Sequence[Json]:
    match part:
        case TextPart() | RefusalPart():
            return [{"text": mended(part.text)}]
        case ToolCallPart():
            return _call(part, sent, writing)
        case ToolResultPart():
            return _result(part, sent, writing)
        case MediaPart():
            return _medium(part, sent, writing)
        case ThinkingPart():
            writing.lose(sent, "thinking", "only the API that made it takes it back")
        case NativePart():
            writing.lose(sent, part.kind, f"only {part.native.api} has it")
    return []


def _call(part: ToolCallPart, sent: Sent, writing: Writing) -> Sequence[Json]:
    if part.kind == "server":
        writing.lose(sent, "tool_call", "only the API that ran the tool takes the call back")
        return []
    args = _args(part.arguments)
    if args is None:
        writing.lose(sent, "tool_call", "its arguments are not a JSON object; they go as a text")
        args = {"arguments": mended(part.arguments)}
    named = {} if part.id is None else {"id": part.id}
    signed = {} if part.signature is None else {"thoughtSignature": part.signature}
    return [{"functionCall": {**named, "name": part.name, "args": args}, **signed}]


def _args(arguments: str) -> Json | None:
    """Return the JSON object that *arguments* are; None if they cannot be sent as one."""
    if not arguments.strip():
        return {}
    try:
        found = json.loads(arguments)
        # What parsed may still be impossible to send: NaN, 1e999, an escaped lone surrogate.
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_flatter_than(found, _MAX_DEPTH) else None


def _is_flatter_than(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        inner = [
            child for each in level for child in (each.values() if type(each) is dict else each)
        ]
        level = [child for child in inner if isinstance(child, (dict, list))]
        if not level:
            return True
    return False


def _result(part: ToolResultPart, sent: Sent, writing: Writing) -> Sequence[Json]:
    if part.kind == "server":
        writing.lose(sent, "tool_result", "only the API that ran the tool takes the result back")
        return []
    shown: list[Json] = []
    beside: list[Json] = []
    for inner in part.parts:
        if isinstance(inner, MediaPart):
            for made in _medium(inner, sent, writing):
                fits = signs_calls(writing.model) is not False and _fits_in_response(made)
                (shown if fits else beside).append(made)
        elif not isinstance(inner, TextPart):
            writing.lose(sent, inner.type, "a result has text and media only")
    if beside:
        writing.lose(sent, "media", "a result does not take it; it stands behind the result")
    named = {} if part.call_id is None else {"id": part.call_id}
    said = {"error" if part.is_error else "output": mended(part.text)}
    result: Json = {**named, "name": part.name or "tool", "response": said}
    if shown:
        result["parts"] = shown
    return [{"functionResponse": result}, *beside]


def _fits_in_response(made: Json) -> bool:
    media_type = next(iter(made.values())).get("mimeType") or ""
    return bool(IN_RESPONSES.fullmatch(media_type))


def _medium(part: MediaPart, sent: Sent, writing: Writing) -> Sequence[Json]:
    found = media_data(part, writing.load)
    if isinstance(found, str):
        writing.lose(sent, "media", found)
        return []
    if part.detail not in (None, "auto"):
        writing.lose(sent, "detail", "the API has no field for it")
    return [found]
