"""Plain messages as Chat Completions messages: the way of most contexts, and the fast one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tract.protocols import Message

__all__ = ["has_ids", "is_assistant", "join_calls", "message_to_openai"]


_FIT_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def has_ids(message: Message) -> bool:
    """Return True if a plain message can be sent as it stands.

    Then every tool call or result has an id, and the speaker's name is one that the API takes.
    """
    if message.given is not None:
        return False
    if message.name is not None and not _FIT_NAME.fullmatch(message.name):
        return False
    if message.tool_calls:
        return all(call.id is not None for call in message.tool_calls)
    return message.role != "tool" or message.tool_call_id is not None


def join_calls(messages: Sequence[Message]) -> list[Message]:
    """Return plain messages; those with calls alone are joined to the assistant's before them."""
    joined: list[Message] = []
    for message in messages:
        only_calls = message.content is None and bool(message.tool_calls)
        if only_calls and joined and is_assistant(joined[-1]):
            before = joined[-1]
            joined[-1] = replace(before, tool_calls=before.tool_calls + message.tool_calls)
        else:
            joined.append(message)
    return joined


def is_assistant(message: Message) -> bool:
    """Return True if a plain message is sent as the assistant's."""
    return message.role == "assistant" or bool(message.tool_calls)


def message_to_openai(message: Message) -> dict[str, Any]:
    """Return one plain message as a new dict; calls without ids stay without."""
    if not message.tool_calls and message.role in ("system", "user", "assistant"):
        plain = {"role": message.role, "content": message.content or ""}
        if message.name is not None:
            plain["name"] = message.name
        return plain
    if is_assistant(message):
        message = replace(message, role="assistant", tool_call_id=None)
    elif message.role == "tool":
        message = replace(message, name=None)
    else:
        message = replace(message, tool_call_id=None)
    if message.content is None and not message.tool_calls:
        message = replace(message, content="")
    made = message.to_dict()
    for call in made.get("tool_calls", ()):
        if call["id"] is None:
            del call["id"]
    return made
