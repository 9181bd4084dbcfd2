"""Messages of any origin as items of the Responses API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tract.formats.common.own import is_foreign, own
from tract.formats.common.values import string
from tract.formats.deltas import mended
from tract.formats.format import Json, Sent, Writing
from tract.formats.openai_responses.blocks import media_block
from tract.formats.openai_responses.kinds import (
    ANSWERED_BY,
    API,
    BLOCKS,
    ITEMS,
    ROLES,
    SERVER_TOOLS,
    is_fragment,
    kind_of,
)
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["Entry", "items_of", "own_entry", "result_item"]


class Entry(NamedTuple):
    """An item on its way out, and the message that it is of."""

    item: Json
    sent: Sent
    is_own: bool
    """It came from the API."""
    result: ToolResultPart | None = None
    """What the item is the result of a call with."""


def own_entry(item: Json, sent: Sent) -> Entry:
    """Return the item that a message came as, on its way out."""
    found = (part for part in sent.message.parts if isinstance(part, ToolResultPart))
    return Entry(item, sent, True, next(found, None))


def items_of(sent: Sent, writing: Writing) -> Iterable[Entry]:
    """Return the items that a message of another API becomes, in the order of its parts."""
    message = sent.message
    role = _role(sent, writing)
    is_result = message.role == "tool"
    if message.content and message.given is None and not message.tool_calls and not is_result:
        return (Entry({"role": role, "content": mended(message.content)}, sent, False),)
    return _items_of(sent, role, writing)


def _items_of(sent: Sent, role: str, writing: Writing) -> Iterator[Entry]:
    content: list[tuple[Json, bool]] = []
    before: Part | None = None
    for part in sent.message.parts:
        block = _block(part, role, sent, writing)
        if block is not None:
            content.append(block)
        entry = None if block is not None else _item(part, before, sent, writing)
        if entry is not None:
            yield from _message(role, content, sent)
            content = []
            yield entry
        before = part
    yield from _message(role, content, sent)


def result_item(part: ToolResultPart, call: str, sent: Sent, writing: Writing) -> Json | None:
    """Return the result of a call of kind *call*; None if the API has no way to say it."""
    kind = ANSWERED_BY[call][0]
    answer: Json = {"type": kind, **_id_of_call(part.call_id)}
    match call:
        case "shell_call":
            outcome = {"type": "exit", "exit_code": 1 if part.is_error else 0}
            printed = {"stdout": mended(part.text), "stderr": "", "outcome": outcome}
            return {**answer, "output": [printed]}
        case "apply_patch_call":
            status = "failed" if part.is_error else "completed"
            return {**answer, "status": status, "output": mended(part.text)}
        case "tool_search_call":
            if part.text and not part.is_error:
                return {**answer, "type": "function_call_output", "output": mended(part.text)}
            return {**answer, "execution": "client", "status": "completed", "tools": []}
        case "computer_call":
            return _screenshot(answer, part, writing)
    return {**answer, "output": _output(part.parts, sent, writing)}


def _screenshot(answer: Json, part: ToolResultPart, writing: Writing) -> Json | None:
    for each in part.parts:
        block = media_block(each, writing.load) if isinstance(each, MediaPart) else ""
        if isinstance(block, dict) and block["type"] == "input_image":
            shown = {key: block[key] for key in ("image_url", "file_id") if key in block}
            return {**answer, "output": {"type": "computer_screenshot", **shown}}
    return None


def _role(sent: Sent, writing: Writing) -> str:
    role = sent.message.role
    if role in ROLES or writing.exact:
        return role
    if role == "tool":
        return "user"
    writing.lose(sent, "role", f"{role[:80]!r} is not a role of this API; it is sent as the user's")
    return "user"


def _message(role: str, content: Sequence[tuple[Json, bool]], sent: Sent) -> Iterator[Entry]:
    if not content:
        return
    given = [block for block, _ in content]
    is_own = any(own for _, own in content)
    if len(given) == 1 and not is_own and given[0]["type"].endswith("_text"):
        yield Entry({"role": role, "content": given[0]["text"]}, sent, False)
    else:
        yield Entry({"role": role, "content": given}, sent, is_own)


def _block(part: Part, role: str, sent: Sent, writing: Writing) -> tuple[Json, bool] | None:
    """Return the part as a content block, and whether it is the API's own; None if it is none."""
    if part.native is not None and part.native.api == API:
        given = own(part.native, API, writing)
        return (given, True) if given is not None and _is_block(part, given) else None
    if isinstance(part, TextPart):
        return (_text(mended(part.text), role), False) if part.text or writing.exact else None
    if isinstance(part, RefusalPart):
        refused = {"type": "refusal", "refusal": mended(part.text)}
        return (refused if role == "assistant" else _text(mended(part.text), role), False)
    if isinstance(part, MediaPart):
        return _shown(part, role, sent, writing)
    return None


def _is_block(part: Part, own: Json) -> bool:
    if isinstance(part, TextPart | RefusalPart | MediaPart):
        return True
    kind = string(own.get("type"))
    strange = kind not in ITEMS and not own.keys() & {"id", "call_id", "role"}
    return isinstance(part, NativePart) and (kind in BLOCKS or strange) and not is_fragment(own)


def _text(text: str, role: str) -> Json:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": []}
    return {"type": "input_text", "text": text}


def _shown(part: MediaPart, role: str, sent: Sent, writing: Writing) -> tuple[Json, bool] | None:
    refused = role == "assistant"
    found = (
        "the API takes no media of the assistant" if refused else media_block(part, writing.load)
    )
    if isinstance(found, str):
        writing.lose(sent, "media", found)
        return None
    return found, False


def _item(part: Part, before: Part | None, sent: Sent, writing: Writing) -> Entry | None:
    """Return a part that is not a block as an item; None if the API takes none."""
    result = part if isinstance(part, ToolResultPart) else None
    if part.native is not None and part.native.api == API:
        made = _own(part, before, writing)
        return None if made is None else Entry(made, sent, True, result)
    made = _translated(part, sent, writing)
    return None if made is None else Entry(made, sent, False, result)


def _own(part: Part, before: Part | None, writing: Writing) -> Json | None:
    """Return a part's own item, with the id and name that it has now."""
    if before is not None and before.native == part.native:
        return None  # a call and its result in one item
    item = own(part.native, API, writing)
    if item is None or is_fragment(item):
        return None
    kind = kind_of(item)
    match part:
        case ToolCallPart() if kind in ("function_call", "custom_tool_call"):
            return {**item, "call_id": part.id, "name": part.name}
        case ToolCallPart() if kind not in SERVER_TOOLS and part.kind != "server":
            return {**item, "call_id": part.id}
        case ToolResultPart() if kind not in SERVER_TOOLS and part.kind != "server":
            return {**item, "call_id": part.call_id}
    return item


def _translated(part: Part, sent: Sent, writing: Writing) -> Json | None:
    if is_foreign(part, sent, writing):
        return None
    match part:
        case ToolCallPart():
            return _call(part, sent, writing)
        case ToolResultPart():
            call = "custom_tool_call" if part.kind == "custom" else "function_call"
            return result_item(part, call, sent, writing)
    return None


def _call(part: ToolCallPart, sent: Sent, writing: Writing) -> Json:
    if part.signature is not None:
        writing.lose(sent, "signature", "only the API that made it takes it back")
    said = mended(part.arguments)
    named = {**_id_of_call(part.id), "name": part.name}
    if part.kind == "custom":
        return {"type": "custom_tool_call", **named, "input": said}
    return {"type": "function_call", **named, "arguments": said}


def _id_of_call(call_id: str | None) -> Json:
    return {} if call_id is None else {"call_id": call_id}


def _output(parts: Sequence[Part], sent: Sent, writing: Writing) -> Any:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return mended(parts[0].text)
    found: list[Json] = []
    for part in parts:
        block = _block(part, "user", sent, writing)
        if block is not None:
            found.append(block[0])
        elif not isinstance(part, TextPart | MediaPart):
            writing.lose(sent, part.type, "the API takes none in a result")
    return found or ""
