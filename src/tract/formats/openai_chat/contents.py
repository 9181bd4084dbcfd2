"""Chat Completions messages as contents to commit: short ones where they say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract.formats.format import Json
from tract.formats.openai_chat.shapes import API
from tract.models.content import (
    ContentModel,
    DialogueContent,
    InstructionContent,
    NativeContent,
    ToolIOContent,
)

__all__ = ["contents"]

_CALL_KEYS = frozenset({"id", "type", "function"})
_FUNCTION_KEYS = frozenset({"name", "arguments"})
_SAID_KEYS = frozenset({"role", "content", "name"})
_RESULT_KEYS = frozenset({"role", "content", "name", "tool_call_id"})
_CALLING_KEYS = frozenset({"role", "content", "name", "tool_calls"})


def contents(items: Sequence[Json]) -> list[ContentModel]:
    """Return the contents to commit for *items*, in order.

    A message of calls alone is a list of `ToolIOContent` only after a message that is known not to
    be the assistant's: calls join the assistant's message before them.
    """
    made: list[ContentModel] = []
    tool_names: dict[str, str] = {}
    before: object = "assistant"
    for item in items:
        short = _short(item, tool_names, joins=before == "assistant")
        made += [NativeContent(api=API, item=item)] if short is None else short
        before = item.get("role")
        tool_names |= _called(item)
    return made


def _short(item: Json, tool_names: dict[str, str], *, joins: bool) -> list[ContentModel] | None:
    """Return the short contents that say exactly the same as *item*; None if there are none."""
    role = item.get("role")
    if role == "tool":
        return _result(item, tool_names)
    if role not in ("system", "user", "assistant"):
        return None
    if role == "assistant" and "tool_calls" in item:
        return _calling(item, joins=joins)
    said = _said(item)
    return None if said is None else [said]


def _said(item: Json, keys: frozenset[str] = _SAID_KEYS) -> ContentModel | None:
    text, name, role = item.get("content"), item.get("name"), item["role"]
    if not (item.keys() <= keys and _is_text(text)):
        return None
    if "name" not in item:
        if role == "system":
            return InstructionContent(text=str(text))
        return DialogueContent(role=role, text=str(text))
    return DialogueContent(role=role, text=str(text), name=name) if _is_text(name) else None


def _calling(item: Json, *, joins: bool) -> list[ContentModel] | None:
    calls = item["tool_calls"]
    if not isinstance(calls, list) or not calls or not all(map(_is_plain_call, calls)):
        return None
    made: list[ContentModel] = [
        ToolIOContent(
            tool_name=call["function"]["name"],
            direction="call",
            payload=call["function"]["arguments"],
            call_id=call["id"],
        )
        for call in calls
    ]
    if item.keys() == {"role", "content", "tool_calls"} and item["content"] is None:
        return None if joins else made
    said = _said(item, _CALLING_KEYS)
    return None if said is None else [said, *made]


def _is_plain_call(call: Any) -> bool:
    if not isinstance(call, dict) or call.keys() != _CALL_KEYS or call["type"] != "function":
        return False
    function = call["function"]
    if not isinstance(function, dict) or function.keys() != _FUNCTION_KEYS:
        return False
    return all(map(_is_text, (call["id"], function["name"], function["arguments"])))


def _result(item: Json, tool_names: dict[str, str]) -> list[ContentModel] | None:
    call_id, text = item.get("tool_call_id"), item.get("content")
    if not (item.keys() <= _RESULT_KEYS and _is_text(call_id) and _is_text(text)):
        return None
    name = item.get("name", tool_names.get(str(call_id), "tool"))
    if not _is_text(name):
        return None
    return [ToolIOContent(tool_name=name, direction="result", payload=text, call_id=call_id)]


def _called(item: Json) -> dict[str, str]:
    """Return the names of the tools that a message calls, by the ids of the calls."""
    calls = item.get("tool_calls")
    if item.get("role") != "assistant" or not isinstance(calls, list):
        return {}
    found = {}
    for call in calls:
        if not isinstance(call, dict):
            continue
        called = call.get("custom" if call.get("type") == "custom" else "function")
        name = called.get("name") if isinstance(called, dict) else None
        if _is_text(name) and isinstance(call.get("id"), str):
            found[call["id"]] = str(name)
    return found


def _is_text(value: object) -> bool:
    """Return True for a string that UTF-8 can encode."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
