"""Short contents: those that say the same as an item, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from tract.exceptions import ContentValidationError
from tract.formats.common.values import is_same, is_storable
from tract.formats.format import Json, Sent, Writing
from tract.history.canonical import canonical_json
from tract.models.content import (
    ContentModel,
    DialogueContent,
    InstructionContent,
    NativeContent,
    ToolIOContent,
)
from tract.protocols import Message, ToolCall

__all__ = ["Short", "answered", "called", "instructed", "said", "shortened"]


class Short(NamedTuple):
    """A short content, and the message that shows it."""

    content: ContentModel
    message: Message


def shortened(
    items: Sequence[Json],
    api: str,
    write: Callable[[Sequence[Sent], Writing], Json],
    short: Callable[[Json], Short | None],
    arguments: Callable[[Json], Json],
) -> list[ContentModel]:
    """Return the contents to commit for *items*: short ones that are written as exactly the item.

    Args:
        items: what the API takes, in order.
        api: its name.
        write: writes messages as the API's arguments.
        short: returns the short content that may say the same as an item.
        arguments: returns the arguments that consist of one item.
    """
    made: list[ContentModel] = []
    for item in items:
        found = short(item)
        if found is not None:
            written = write([Sent(found.message)], Writing(exact=True))
            found = found if is_same(written, arguments(item)) else None
        made.append(NativeContent(api=api, item=item) if found is None else found.content)
    return made


def instructed(text: Any) -> Short | None:
    """Return a system prompt's content."""
    if not is_storable(text):
        return None
    return Short(InstructionContent(text=text), Message("system", text))


def said(role: Literal["user", "assistant"], text: Any) -> Short | None:
    """Return the content of what the user or the model said."""
    if not is_storable(text):
        return None
    return Short(DialogueContent(role=role, text=text), Message(role, text))


def called(call_id: Any, name: Any, given: str | Json) -> Short | None:
    """Return a call's content; *given* are its arguments, as text or as an object."""
    if not (is_storable(call_id) and is_storable(name)):
        return None
    try:
        text = canonical_json(given) if isinstance(given, dict) else given
    except ContentValidationError:  # lone surrogates
        return None
    if not is_storable(text):
        return None
    content = ToolIOContent(tool_name=name, direction="call", payload=given, call_id=call_id)
    return Short(content, Message("assistant", tool_calls=(ToolCall(call_id, name, text),)))


def answered(call_id: Any, name: Any, text: Any, *, failed: bool = False) -> Short | None:
    """Return the content of a call's result."""
    if not (is_storable(call_id) and is_storable(name) and is_storable(text)):
        return None
    content = ToolIOContent(
        tool_name=name,
        direction="result",
        payload=text,
        status="error" if failed else None,
        call_id=call_id,
    )
    message = Message("tool", text, tool_call_id=call_id, tool_name=name, is_error=failed)
    return Short(content, message)
