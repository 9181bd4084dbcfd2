"""Items of the Messages API as the contents to commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from tract.exceptions import ContentValidationError
from tract.formats.anthropic_messages.kinds import API
from tract.formats.anthropic_messages.reading import is_fragment
from tract.formats.anthropic_messages.writing import write
from tract.formats.format import Json, Sent, Writing, as_json
from tract.history.canonical import canonical_json
from tract.models.content import (
    ContentModel,
    DialogueContent,
    InstructionContent,
    NativeContent,
    ToolIOContent,
    ToolsContent,
)
from tract.protocols import Message, ToolCall

__all__ = ["contents", "from_anthropic"]


def from_anthropic(
    messages: Iterable[object],
    *,
    system: str | Iterable[object] | None = None,
    tools: Iterable[object] | None = None,
) -> list[ContentModel]:
    """Return the contents that compile back to the arguments of a Messages call.

    The system prompt comes first, then the tools, then one content for each message, or each
    message's short form where that says the same. Messages and blocks are dicts or the SDK's own
    objects. `await client.messages.create(**request)` and
    `from_anthropic(request["messages"], system=request.get("system"))` take the same values.

    Raises:
        ContentValidationError: an item is not a JSON object, or holds what JSON cannot. Its `path`
            says where, such as `messages[3].content[0].source`.
    """
    items: list[Json] = []
    if system is not None:
        fragment = {"system": system if isinstance(system, str) else _resolved(list(system))}
        canonical_json(fragment["system"], "system", surrogates=True)
        items.append(fragment)
    made = contents(items)
    if tools is not None:
        made.append(ToolsContent(api=API, tools=_items(tools, "tools")))
    return made + contents(_items(messages, "messages"))


def contents(items: Sequence[Json]) -> list[ContentModel]:
    """Return the contents to commit for *items*, in order."""
    names: dict[Any, str] = {}
    made: list[ContentModel] = []
    for item in items:
        short = _short(item, names)
        made.append(NativeContent(api=API, item=item) if short is None else short)
    return made


def _items(values: Iterable[object], path: str) -> list[Json]:
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        raise ContentValidationError(
            f"must be a list of JSON objects, not {type(values).__name__}", path
        )
    return [_item(value, f"{path}[{index}]") for index, value in enumerate(values)]


def _item(value: object, path: str) -> Json:
    found = _resolved(value)
    if not isinstance(found, dict):
        raise ContentValidationError(
            f"must be a JSON object or the SDK's own object, not {type(value).__name__}", path
        )
    canonical_json(found, path, surrogates=True)
    return found


def _resolved(value: Any) -> Any:
    """Return *value* with the SDK's objects in it as dicts."""
    if isinstance(value, (list, tuple)):
        return [_resolved(each) for each in value]
    found = as_json(value)
    return value if found is None else {key: _resolved(each) for key, each in found.items()}


def _short(item: Json, names: dict[Any, str]) -> ContentModel | None:
    """Return the short content that is written as exactly *item*; None if there is none.

    *names* are the tools of the calls so far, by the calls' ids.
    """
    found = _candidate(item, names)
    if found is None:
        return None
    content, message = found
    written = write([Sent(message)], Writing(exact=True))
    expected = item if is_fragment(item) else {"messages": [item]}
    if is_fragment(item):
        written.pop("messages")
    return content if _is_same(written, expected) else None


def _candidate(item: Json, names: dict[Any, str]) -> tuple[ContentModel, Message] | None:
    if is_fragment(item):
        text = item["system"]
        if not _is_storable(text):
            return None
        return InstructionContent(text=text), Message("system", text)
    role, said = item.get("role"), item.get("content")
    if role in ("user", "assistant") and _is_storable(said):
        return DialogueContent(role=role, text=said), Message(role, said)
    _remember_names(said, names)
    block = said[0] if isinstance(said, list) and len(said) == 1 else None
    if not isinstance(block, dict):
        return None
    return _called(block) or _answered(block, names)


def _remember_names(said: Any, names: dict[Any, str]) -> None:
    for block in said if isinstance(said, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_use":
            call_id, name = block.get("id"), block.get("name")
            if isinstance(call_id, str) and isinstance(name, str):
                names[call_id] = name


def _called(block: Json) -> tuple[ContentModel, Message] | None:
    call_id, name, given = block.get("id"), block.get("name"), block.get("input")
    if not (_is_storable(call_id) and _is_storable(name)) or not isinstance(given, dict):
        return None
    try:
        text = canonical_json(given)
    except ContentValidationError:  # lone surrogates
        return None
    content = ToolIOContent(tool_name=name, direction="call", payload=given, call_id=call_id)
    return content, Message("assistant", tool_calls=(ToolCall(call_id, name, text),))


def _answered(block: Json, names: dict[Any, str]) -> tuple[ContentModel, Message] | None:
    call_id, text = block.get("tool_use_id"), block.get("content")
    if not (_is_storable(call_id) and _is_storable(text)) or call_id not in names:
        return None
    failed = block.get("is_error") is True
    content = ToolIOContent(
        tool_name=names[call_id],
        direction="result",
        payload=text,
        status="error" if failed else None,
        call_id=call_id,
    )
    message = Message("tool", text, tool_call_id=call_id, tool_name=names[call_id], is_error=failed)
    return content, message


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
