"""Compiled messages as arguments for Anthropic's Messages API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from tract.formats._ids import fill_ids, portable_ids
from tract.protocols import AnthropicArguments, Message, ToolCall

__all__ = ["to_anthropic"]

_MAX_INPUT_DEPTH = 64

_Block = dict[str, Any]


def to_anthropic(messages: Sequence[Message]) -> AnthropicArguments:
    """Return new arguments for `client.messages.create`: `messages`, and `system` if there is any.

    What the API does not support is adapted:

    - System messages, wherever they stand, are joined by blank lines into `system`.
    - Consecutive messages of one side become one message: tool results before the user's texts,
      the assistant's texts before its tool calls. A single text is a plain string.
    - Blank texts are left out, and so are messages that hold nothing else.
    - Names of users and assistants are dropped: the API has no field for them.
    - Missing ids are made up, repeated ids are made unique, and characters outside
      `[a-zA-Z0-9_-]` are replaced; calls and their results always agree.
    - Arguments that are not a JSON object, cannot be sent as JSON, or are nested deeper than 64
      levels become `{"arguments": <the string>}`; empty ones become `{}`.

    A tool call without its result in *messages*, or a result without its call, is passed through.
    """
    system = "\n\n".join(
        message.content or "" for message in messages if _is_system(message) and _has_text(message)
    )
    named = portable_ids(fill_ids([message for message in messages if not _is_system(message)]))
    sided = [(_side(message), blocks) for message in named if (blocks := _blocks(message))]
    sent = [
        {"role": side, "content": _content(block for _, blocks in run for block in blocks)}
        for side, run in groupby(sided, key=lambda pair: pair[0])
    ]
    return {"system": system, "messages": sent} if system else {"messages": sent}


def _is_system(message: Message) -> bool:
    return message.role == "system" and not message.tool_calls


def _side(message: Message) -> str:
    return "assistant" if message.role == "assistant" or message.tool_calls else "user"


def _blocks(message: Message) -> list[_Block]:
    if message.role == "tool" and not message.tool_calls:
        return [_tool_result(message)]
    text = [{"type": "text", "text": message.content}] if _has_text(message) else []
    return text + [_tool_use(call) for call in message.tool_calls]


def _has_text(message: Message) -> bool:
    return bool(message.content) and not str(message.content).isspace()


def _tool_use(call: ToolCall) -> _Block:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}


def _tool_result(message: Message) -> _Block:
    result: _Block = {
        "type": "tool_result",
        "tool_use_id": message.tool_call_id,
        "content": message.content or "",
    }
    return result | {"is_error": True} if message.is_error else result


def _content(blocks: Iterable[_Block]) -> str | list[_Block]:
    order = {"tool_result": 0, "text": 1, "tool_use": 2}
    ordered = sorted(blocks, key=lambda block: order[block["type"]])
    if len(ordered) == 1 and ordered[0]["type"] == "text":
        return str(ordered[0]["text"])
    return ordered


def _input(arguments: str) -> dict[str, Any]:
    if not arguments.strip():
        return {}
    try:
        parsed = json.loads(arguments)
        # What parsed may still be impossible to send: NaN, 1e999, an escaped lone surrogate.
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return {"arguments": arguments}
    if isinstance(parsed, dict) and _is_flatter_than(parsed, _MAX_INPUT_DEPTH):
        return parsed
    return {"arguments": arguments}


def _is_flatter_than(value: dict[str, Any], levels: int) -> bool:
    """Return True if *value* nests at most *levels* containers; does not recurse.

    The bound is fixed, so the result does not depend on how much stack the caller has left.
    """
    level: list[Any] = [value]
    for _ in range(levels):
        children = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
        ]
        level = [child for child in children if isinstance(child, (dict, list))]
        if not level:
            return True
    return False
