"""Items of the Responses API as the contents to commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from tract.formats.format import Json, Sent, Writing
from tract.formats.items import plain_items
from tract.formats.openai_responses.kinds import API, is_fragment, kind_of
from tract.formats.openai_responses.replies import as_sent
from tract.formats.openai_responses.writing import write
from tract.models.content import (
    ContentModel,
    DialogueContent,
    InstructionContent,
    NativeContent,
    ToolIOContent,
    ToolsContent,
)
from tract.protocols import Message, ToolCall

__all__ = ["contents", "from_responses"]


def from_responses(
    input: str | Sequence[object],
    *,
    instructions: str | Sequence[object] | None = None,
    tools: Sequence[object] | None = None,
) -> list[ContentModel]:
    """Return the contents that compile back to the arguments of a Responses call.

    The instructions come first, then the tools, then one content for each item, or its short form
    where that says the same. Items are dicts or the SDK's own objects: those of an `input`, of a
    reply's `output`, and of a compaction's. What only the SDK adds to its objects is left out. A
    string as `input` is a user's message, as for the API.

    Raises:
        ContentValidationError: an item is not a JSON object, or holds what JSON cannot. Its `path`
            says where, such as `input[3].content[0].image_url`.
    """
    items: list[Json] = []
    if isinstance(instructions, str):
        items.append({"instructions": instructions})
    elif instructions is not None:
        items.append({"instructions": _items(instructions, "instructions")})
    made = contents(items)
    if tools is not None:
        made.append(ToolsContent(api=API, tools=plain_items(tools, "tools")))
    if isinstance(input, str):
        return made + contents([{"role": "user", "content": input}])
    return made + contents(_items(input, "input"))


def _items(given: Sequence[object], path: str) -> list[Json]:
    plain = plain_items(given, path)
    return [
        item if isinstance(value, Mapping) else as_sent(item)
        for value, item in zip(given, plain, strict=True)
    ]


def contents(items: Sequence[Json]) -> list[ContentModel]:
    """Return the contents to commit for *items*, in order."""
    names: dict[str, str] = {}
    return [_content(item, at, names) for at, item in enumerate(items)]


def _content(item: Json, at: int, names: dict[str, str]) -> ContentModel:
    found = _candidate(item, at, names)
    if found is not None:
        content, message = found
        written = write([Sent(message)], Writing(exact=True))
        expected = {**item, "input": []} if is_fragment(item) else {"input": [item]}
        if _is_same(written, expected):
            return content
    return NativeContent(api=API, item=item)


def _candidate(item: Json, at: int, names: dict[str, str]) -> tuple[ContentModel, Message] | None:
    """Return the short content that may say the same as *item*, and how it is shown.

    *names* are the tools of the calls so far, by the calls' ids. A system message stays as it came:
    whether a short one becomes the instructions depends on what stands before it. An empty text
    stays, too, because a short one is left out of requests.
    """
    if is_fragment(item):
        text = item["instructions"]
        if at > 0 or not _is_storable(text):
            return None
        return InstructionContent(text=text), Message("system", text)
    kind, role, said = kind_of(item), item.get("role"), item.get("content")
    if kind == "message" and role in ("user", "assistant") and said and _is_storable(said):
        return DialogueContent(role=role, text=said), Message(role, said)
    if kind == "function_call":
        return _called(item, names)
    return _answered(item, names) if kind == "function_call_output" else None


def _called(item: Json, names: dict[str, str]) -> tuple[ContentModel, Message] | None:
    call_id, name, said = item.get("call_id"), item.get("name"), item.get("arguments")
    if not (_is_storable(call_id) and _is_storable(name) and _is_storable(said)):
        return None
    names[call_id] = name
    content = ToolIOContent(tool_name=name, direction="call", payload=said, call_id=call_id)
    return content, Message("assistant", tool_calls=(ToolCall(call_id, name, said),))


def _answered(item: Json, names: dict[str, str]) -> tuple[ContentModel, Message] | None:
    call_id, text = item.get("call_id"), item.get("output")
    if not (_is_storable(call_id) and _is_storable(text)) or call_id not in names:
        return None
    name = names[call_id]
    content = ToolIOContent(tool_name=name, direction="result", payload=text, call_id=call_id)
    return content, Message("tool", text, tool_call_id=call_id, tool_name=name)


def _is_storable(text: Any) -> TypeGuard[str]:
    """Return True if *text* is a string that a short content can hold."""
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_same(one: Any, other: Any) -> bool:
    """Return True if two values are the same JSON: 1, 1.0 and true differ."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
