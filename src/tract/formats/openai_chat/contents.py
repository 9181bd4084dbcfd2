"""Chat Completions messages as contents to commit: short ones where they say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from tract.formats.common.values import is_storable
from tract.formats.format import Json
from tract.formats.items import is_model, listed, plain_items, plain_object
from tract.formats.openai_chat.replies import sendable
from tract.formats.openai_chat.shapes import API
from tract.models.content import (
    ContentModel,
    DialogueContent,
    InstructionContent,
    NativeContent,
    ToolIOContent,
    ToolsContent,
)

__all__ = ["contents", "from_openai"]

_CALL_KEYS = frozenset({"id", "type", "function"})
_FUNCTION_KEYS = frozenset({"name", "arguments"})
_SAID_KEYS = frozenset({"role", "content", "name"})
_RESULT_KEYS = frozenset({"role", "content", "name", "tool_call_id"})
_CALLING_KEYS = frozenset({"role", "content", "name", "tool_calls"})


def from_openai(
    messages: Sequence[Mapping[str, Any] | BaseModel],
    *,
    tools: Sequence[Mapping[str, Any] | BaseModel] | None = None,
) -> list[ContentModel]:
    """Return the contents that compile back to *messages*, in the order to commit them.

    Messages are dicts or the SDK's own objects, of any API that speaks like Chat Completions. A
    plain system message becomes an instruction, a user's or assistant's text a dialogue, and each
    plain tool call and tool result a `ToolIOContent`. Any other message (parts, images, thinking,
    refusals, other roles, keys that only one provider has) becomes a `NativeContent` that holds it
    as it is. So does a message of calls alone at the beginning of *messages* or behind another one
    of the assistant's, which it would join.

    All that dicts hold comes back, arguments and ids byte for byte; only a tool result's `name` is
    kept as `tool_name` and not sent again. Of the SDK's own messages, what says nothing
    (`refusal=None`, `annotations=[]`) is left out, as the next request wants it.

    Args:
        messages: the messages of a request, or replies.
        tools: the tools of the request, which become a `ToolsContent` that comes first.

    Raises:
        ContentValidationError: *messages* is not a list, a message is not a JSON object, or one
            holds what JSON cannot. Its `path` says where, such as `messages[3].content`.
    """
    made: list[ContentModel] = []
    if tools is not None:
        made.append(ToolsContent(api=API, tools=plain_items(tools, "tools")))
    items = []
    for index, message in enumerate(listed(messages, "messages")):
        item = plain_object(message, f"messages[{index}]")
        is_reply = is_model(message) and item.get("role") == "assistant"
        items.append(sendable(item) if is_reply else item)
    return made + contents(items)


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
    if not (item.keys() <= keys and is_storable(text)):
        return None
    if "name" not in item:
        if role == "system":
            return InstructionContent(text=str(text))
        return DialogueContent(role=role, text=str(text))
    return DialogueContent(role=role, text=str(text), name=name) if is_storable(name) else None


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
    return all(map(is_storable, (call["id"], function["name"], function["arguments"])))


def _result(item: Json, tool_names: dict[str, str]) -> list[ContentModel] | None:
    call_id, text = item.get("tool_call_id"), item.get("content")
    if not (item.keys() <= _RESULT_KEYS and is_storable(call_id) and is_storable(text)):
        return None
    name = item.get("name", tool_names.get(str(call_id), "tool"))
    if not is_storable(name):
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
        if is_storable(name) and isinstance(call.get("id"), str):
            found[call["id"]] = str(name)
    return found
