"""Parts of messages as parts of the API's contents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tract.formats.common.own import is_foreign, own
from tract.formats.common.sides import Group, groups_of
from tract.formats.common.values import parsed
from tract.formats.deltas import mended
from tract.formats.format import Json, Sent, Writing
from tract.formats.google_genai.kinds import API, is_fragment, key_of, signs_calls
from tract.formats.google_genai.media import IN_RESPONSES, media_data
from tract.protocols.parts import (
    MediaPart,
    Part,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["parts_of"]


def parts_of(sent: Sent, writing: Writing) -> Iterator[Group]:
    """Yield the parts that a message becomes, by side."""
    return groups_of(sent, lambda part, side: _parts(part, sent, writing))


def _parts(part: Part, sent: Sent, writing: Writing) -> list[tuple[Json, bool]]:
    """Return what a part becomes, and whether each is the API's own."""
    made = None if part.native is None else _own(part, writing)
    if made is not None:
        return [(made, True)]
    if is_foreign(part, sent, writing):
        return []
    return [(each, False) for each in _translated(part, sent, writing)]


def _own(part: Part, writing: Writing) -> Json | None:
    """Return the JSON that a part came as, with the id and the name that it has now.

    One that came without an id is sent without it: the API pairs those by their order.
    """
    made = own(part.native, API, writing)
    if made is None or made.keys() & {"role", "parts"} or is_fragment(made):
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
    return []


def _call(part: ToolCallPart, sent: Sent, writing: Writing) -> Sequence[Json]:
    args = parsed(part.arguments) if part.arguments.strip() else {}
    if args is None:
        writing.lose(sent, "tool_call", "its arguments are not a JSON object; they go as a text")
        args = {"arguments": mended(part.arguments)}
    named = {} if part.id is None else {"id": part.id}
    signed = {} if part.signature is None else {"thoughtSignature": part.signature}
    return [{"functionCall": {**named, "name": part.name, "args": args}, **signed}]


def _result(part: ToolResultPart, sent: Sent, writing: Writing) -> Sequence[Json]:
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
