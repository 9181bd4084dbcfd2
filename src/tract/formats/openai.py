"""Messages of OpenAI's Chat Completions API and its many compatible APIs, out and in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from pydantic import BaseModel

from tract.exceptions import ContentValidationError
from tract.formats._ids import fill_ids
from tract.models.content import (
    ContentModel,
    DialogueContent,
    InstructionContent,
    ToolIOContent,
)
from tract.protocols import Message

__all__ = ["from_openai", "has_ids", "message_to_openai", "to_openai"]

_HARMLESS_IF_NONE = {"annotations", "audio", "function_call", "name", "refusal", "tool_calls"}
_HARMLESS_IF_EMPTY = {"annotations": [], "refusal": ""}
_KEYS = {
    "system": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls"},
    "tool": {"role", "content", "name", "tool_call_id"},
}
_KEY_REMEDIES = {
    "audio": "audio cannot be kept. Replace it with its transcript as `content`",
    "function_call": "a deprecated function call cannot be kept. Convert it to `tool_calls`",
    "refusal": "a refusal cannot be kept as such. Move its text to `content`, or drop the message",
}
_ROLE_REMEDIES = {
    "developer": "Use the role 'system' instead",
    "function": "Use the role 'tool' with a `tool_call_id` instead",
}


def to_openai(messages: Sequence[Message]) -> list[Any]:
    """Return a Chat Completions message list, as new plain dicts.

    Tool calls in messages of their own, as `compile(aggregate_same_role=False)` leaves them, are
    merged into the assistant's message before them, because the API wants a turn's calls in one
    message. Missing ids are made up: `call_1`, `call_2`, … A tool result's name is not sent.
    """
    filled = messages if all(map(has_ids, messages)) else fill_ids(messages)
    return [message_to_openai(message) for message in _join_calls(filled)]


def has_ids(message: Message) -> bool:
    """Return True if every tool call or result of a plain message has an id."""
    if message.given is not None:
        return False
    if message.tool_calls:
        return all(call.id is not None for call in message.tool_calls)
    return message.role != "tool" or message.tool_call_id is not None


def _join_calls(messages: Sequence[Message]) -> list[Message]:
    joined: list[Message] = []
    for message in messages:
        only_calls = message.content is None and bool(message.tool_calls)
        if only_calls and joined and _is_assistant(joined[-1]):
            before = joined[-1]
            joined[-1] = replace(before, tool_calls=before.tool_calls + message.tool_calls)
        else:
            joined.append(message)
    return joined


def _is_assistant(message: Message) -> bool:
    return message.role == "assistant" or bool(message.tool_calls)


def message_to_openai(message: Message) -> dict[str, Any]:
    """Return one message, all of whose ids are set, as a new dict."""
    if not message.tool_calls and message.role in ("system", "user", "assistant"):
        plain = {"role": message.role, "content": message.content or ""}
        if message.name is not None:
            plain["name"] = message.name
        return plain
    if _is_assistant(message):
        message = replace(message, role="assistant", tool_call_id=None)
    elif message.role == "tool":
        message = replace(message, name=None)
    else:
        message = replace(message, tool_call_id=None)
    if message.content is None and not message.tool_calls:
        message = replace(message, content="")
    return message.to_dict()


def from_openai(messages: Sequence[Mapping[str, Any] | BaseModel]) -> list[ContentModel]:
    """Return the contents that compile back to *messages*.

    A system message becomes an instruction, or a dialogue if it has a name. A user's or
    assistant's message becomes a dialogue, and each tool call and tool result a `ToolIOContent`.
    Arguments and ids are kept byte for byte. Messages are dicts or the SDK's own objects.

    `compile()` joins consecutive messages of one role unless `aggregate_same_role=False`; a
    conversation with such messages needs that to compile back. An assistant's message with only
    tool calls always joins the assistant's message before it, since its contents are those of one
    message with both. A tool result's `name` is kept as `tool_name` and not sent again. Keys that
    say nothing (`refusal: None`, `annotations: []`) are dropped.

    Raises:
        ContentValidationError: a message would not compile back to itself. Its `path` says where,
            such as `messages[3].content`, and its text what to do.
    """
    contents: list[ContentModel] = []
    tool_names: dict[str, str] = {}
    for index, message in enumerate(_items(messages, "messages", "messages")):
        path = f"messages[{index}]"
        plain = _mapping(message, path)
        role = _role(plain, path)
        _refuse_other_keys(plain, path, _KEYS[role], f"a message of role {role!r}")
        if role == "tool":
            contents.append(_tool_result(plain, path, tool_names))
        elif role == "assistant":
            contents += _assistant(plain, path, tool_names)
        else:
            contents.append(_said(role, plain, path))
    return contents


def _said(role: str, plain: dict[str, Any], path: str) -> ContentModel:
    text, name = _content(plain, path), _name(plain, path)
    if role == "system" and name is None:
        return InstructionContent(text=text)
    speaker = cast(Literal["system", "user", "assistant"], role)
    return DialogueContent(role=speaker, text=text, name=name)


def _assistant(plain: dict[str, Any], path: str, tool_names: dict[str, str]) -> list[ContentModel]:
    calls = _tool_calls(plain, path)
    tool_names |= {str(call.call_id): call.tool_name for call in calls}
    if plain.get("content") is not None:
        return [_said("assistant", plain, path), *calls]
    if not calls:
        raise ContentValidationError(
            "an assistant's message needs content or tool calls. Give it one, or drop it",
            f"{path}.content",
        )
    if plain.get("name") is not None:
        raise ContentValidationError(
            "a name is kept only with text. Drop the name, or give the message a `content`",
            f"{path}.name",
        )
    return list(calls)


def _tool_calls(plain: dict[str, Any], path: str) -> list[ToolIOContent]:
    if plain.get("tool_calls") is None:
        return []
    calls = _items(plain["tool_calls"], f"{path}.tool_calls", "tool calls")
    return [_tool_call(call, f"{path}.tool_calls[{index}]") for index, call in enumerate(calls)]


def _tool_call(call: object, path: str) -> ToolIOContent:
    plain = _mapping(call, path)
    if _text(plain, "type", path) != "function":
        raise ContentValidationError(
            "only calls of the type 'function' can be kept. Convert it to one, or drop it",
            f"{path}.type",
        )
    _refuse_other_keys(plain, path, {"id", "type", "function"}, "a tool call")
    function = _mapping(plain.get("function"), f"{path}.function")
    _refuse_other_keys(function, f"{path}.function", {"name", "arguments"}, "a function")
    return ToolIOContent(
        tool_name=_text(function, "name", f"{path}.function"),
        direction="call",
        payload=_text(function, "arguments", f"{path}.function"),
        call_id=_text(plain, "id", path),
    )


def _tool_result(plain: dict[str, Any], path: str, tool_names: dict[str, str]) -> ToolIOContent:
    call_id, name = _text(plain, "tool_call_id", path), _name(plain, path)
    return ToolIOContent(
        tool_name=name if name is not None else tool_names.get(call_id, "tool"),
        direction="result",
        payload=_content(plain, path),
        call_id=call_id,
    )


def _items(value: object, path: str, what: str) -> list[Any]:
    """Return *value* as a list; strings and mappings are not lists."""
    try:
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, Mapping)):
            return list(value)
    except Exception as error:  # a foreign class may raise anything
        raise _unreadable(error, path) from error
    raise ContentValidationError(
        f"must be a list of {what}, not {type(value).__name__}. Wrap a single one in a list, "
        "and call `list()` on an iterator",
        path,
    )


def _mapping(value: object, path: str) -> dict[str, Any]:
    """Return a mapping or pydantic object as a new dict whose keys are exactly `str`."""
    try:
        if isinstance(value, Mapping):
            return _telling(dict(value))
        if hasattr(value, "model_dump") and not isinstance(value, type):
            return _telling(dict(value.model_dump(exclude_none=True)))
    except Exception as error:  # a foreign class may raise anything
        raise _unreadable(error, path) from error
    raise ContentValidationError(
        f"must be a dict or an object with `model_dump`, not {type(value).__name__}. "
        "Convert it to a dict",
        path,
    )


def _telling(plain: dict[Any, Any]) -> dict[str, Any]:
    return {
        str.__str__(key): value
        for key, value in plain.items()
        if not (value is None and key in _HARMLESS_IF_NONE)
        and not (key in _HARMLESS_IF_EMPTY and value == _HARMLESS_IF_EMPTY[key])
    }


def _unreadable(error: Exception, path: str) -> ContentValidationError:
    problem = f"could not be read ({type(error).__name__})"
    return ContentValidationError(f"{problem}. Use lists, and dicts with string keys", path)


def _role(plain: dict[str, Any], path: str) -> str:
    role = _text(plain, "role", path)
    if role not in _KEYS:
        remedy = _ROLE_REMEDIES.get(role, f"Use one of {', '.join(map(repr, _KEYS))}")
        raise ContentValidationError(f"unknown role {role[:40]!a}. {remedy}", f"{path}.role")
    return role


def _refuse_other_keys(plain: dict[str, Any], path: str, known: set[str], what: str) -> None:
    key = next((key for key in plain if key not in known), None)
    if key is None:
        return
    lost = f"{what} with this key would lose it. Drop the key first"
    simple = key.isascii() and key.isidentifier()
    place = f"{path}.{key}" if simple else f"{path}[{key[:40]!a}]"
    raise ContentValidationError(_KEY_REMEDIES.get(key, lost), place)


def _content(plain: dict[str, Any], path: str) -> str:
    content = plain.get("content")
    if issubclass(type(content), (list, tuple)):
        raise ContentValidationError(
            "content of several parts cannot be kept. Join the text parts into one string",
            f"{path}.content",
        )
    return _text(plain, "content", path)


def _name(plain: dict[str, Any], path: str) -> str | None:
    return _text(plain, "name", path) if "name" in plain else None


def _text(plain: dict[str, Any], key: str, path: str) -> str:
    """Return the string at *key* as an exact `str` that UTF-8 can encode, or raise."""
    place = f"{path}.{key}"
    if key not in plain:
        raise ContentValidationError(f"missing. Add a string {key!r}", place)
    try:
        text = str.__str__(plain[key])  # plain `str()` would show the name of an enum's member
        text.encode()
    except TypeError:
        found = type(plain[key]).__name__
        remedy = "Serialise it" if key in ("content", "arguments") else "Give one"
        raise ContentValidationError(f"must be a string, not {found}. {remedy}", place) from None
    except UnicodeEncodeError as error:
        problem = f"has a lone surrogate at index {error.start}. Remove or replace it"
        raise ContentValidationError(problem, place) from None
    return text
