"""Contents of the API as the contents to commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeGuard

from tract.exceptions import ContentValidationError
from tract.formats.format import Json, Sent, Writing
from tract.formats.google_genai.given import given_contents, given_instruction, given_tools
from tract.formats.google_genai.kinds import API, is_fragment
from tract.formats.google_genai.writing import write
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

__all__ = ["contents", "from_google"]


def from_google(
    contents: object,
    *,
    system_instruction: object = None,
    tools: object = None,
) -> list[ContentModel]:
    """Return the contents to commit for the arguments of google-genai's `generate_content`.

    The system instruction comes first, then the tools, then one content for each of *contents*, or
    its short form where that says the same. All that the SDK takes is taken: texts, parts and
    contents, as dicts or as its own objects, alone or in a list. Dicts come back as they are given,
    in camel case or in snake case; objects become the JSON that the API itself uses.

    Raises:
        ContentValidationError: an item is none of those, or holds what JSON cannot. Its `path`
            says where, such as `contents[3].parts[0]`.
    """
    made: list[ContentModel] = []
    if system_instruction is not None:
        made += _contents([{"systemInstruction": given_instruction(system_instruction)}])
    if tools is not None:
        made.append(ToolsContent(api=API, tools=given_tools(tools)))
    return made + _contents(given_contents(contents))


def contents(items: Sequence[Json]) -> list[ContentModel]:
    """Return the contents to commit for *items*, in order."""
    return [_short(item) or NativeContent(api=API, item=item) for item in items]


_contents = contents


def _short(item: Json) -> ContentModel | None:
    """Return the short content that is written as exactly *item*; None if there is none."""
    found = _candidate(item)
    if found is None:
        return None
    content, message = found
    written = write([Sent(message)], Writing(exact=True))
    if is_fragment(item):
        given = item.get("systemInstruction")
        expected: Json = {"contents": [], "config": {"system_instruction": given}}
    else:
        expected = {"contents": [item]}
    return content if _is_same(written, expected) else None


def _candidate(item: Json) -> tuple[ContentModel, Message] | None:
    if is_fragment(item):
        text = item.get("systemInstruction")
        if not _is_storable(text):
            return None
        return InstructionContent(text=text), Message("system", text)
    parts = item.get("parts")
    part = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    if not isinstance(part, dict) or len(part) != 1:
        return None
    match item.get("role"), next(iter(part)):
        case "user" | "model", "text":
            return _said(item["role"], part["text"])
        case "model", "functionCall":
            return _called(part["functionCall"])
        case "user", "functionResponse":
            return _answered(part["functionResponse"])
    return None


def _said(role: str, text: Any) -> tuple[ContentModel, Message] | None:
    if not text or not _is_storable(text):  # an empty text of another origin is not sent
        return None
    if role == "user":
        return DialogueContent(role="user", text=text), Message("user", text)
    return DialogueContent(role="assistant", text=text), Message("assistant", text)


def _called(call: Any) -> tuple[ContentModel, Message] | None:
    if not isinstance(call, dict) or not isinstance(call.get("args"), dict):
        return None
    call_id, name = call.get("id"), call.get("name")
    if not (_is_storable(name) and _is_storable(call_id)):  # without an id it is sent without one
        return None
    try:
        text = canonical_json(call["args"])
    except ContentValidationError:  # lone surrogates
        return None
    content = ToolIOContent(tool_name=name, direction="call", payload=call["args"], call_id=call_id)
    return content, Message("assistant", tool_calls=(ToolCall(call_id, name, text),))


def _answered(result: Any) -> tuple[ContentModel, Message] | None:
    response = result.get("response") if isinstance(result, dict) else None
    if not isinstance(response, dict) or len(response) != 1:
        return None
    call_id, name, failed = result.get("id"), result.get("name"), "error" in response
    text = response.get("error" if failed else "output")
    if not (_is_storable(name) and _is_storable(text) and _is_storable(call_id)):
        return None
    content = ToolIOContent(
        tool_name=name,
        direction="result",
        payload=text,
        status="error" if failed else None,
        call_id=call_id,
    )
    message = Message("tool", text, tool_call_id=call_id, tool_name=name, is_error=failed)
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
