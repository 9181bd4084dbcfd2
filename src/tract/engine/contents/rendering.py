"""How the contents of built-in types are shown to a model: one message each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from tract.engine.contents.provided import (
    media_result,
    message_of_parts,
    message_of_tools,
    native_message,
)
from tract.history.canonical import canonical_json
from tract.protocols import Message, ToolCall
from tract.protocols.parts import TextPart, ToolResultPart

__all__ = ["EDITED_MARK", "PLAIN", "Renderer", "Teller", "marked", "render"]

EDITED_MARK = " [edited]"
"""What `include_edit_annotations` appends to an edited text."""

Renderer = Callable[[Mapping[str, Any], str | None], Message]
"""Returns the message of a content's fields, with a role in place of its own unless that is None."""


Said: TypeAlias = tuple[str, str, str | None]
"""All that a message of nothing but text has: its role, its text and a name."""
Teller = Callable[[Mapping[str, Any], str | None], Said]
"""Returns what a `Renderer` makes a message of."""


def render(content_type: str, fields: Mapping[str, Any], role: str | None = None) -> Message:
    """Return the message of a built-in content; *role* overrides the type's default role.

    A tool call or result with an overriding role becomes plain text of that role.
    """
    return _RENDERERS[content_type](fields, role)


def _text_of(field: str, default_role: str) -> Teller:
    def teller(fields: Mapping[str, Any], role: str | None) -> Said:
        return fields.get("role") or role or default_role, _as_text(fields[field]), None

    return teller


def _dialogue(fields: Mapping[str, Any], role: str | None) -> Said:
    return role or fields["role"], fields["text"], fields["name"]


def _shown(tell: Teller) -> Renderer:
    return lambda fields, role: Message(*tell(fields, role))


def _tool_io(fields: Mapping[str, Any], role: str | None) -> Message:
    name, text = fields["tool_name"], _as_text(fields["payload"])
    is_call = fields["direction"] == "call"
    if role is not None:
        return Message(role, f"{name}({text})" if is_call else text)
    if is_call:
        return Message("assistant", None, None, (ToolCall(fields["call_id"], name, text),))
    parts = media_result(fields)
    if parts is not None:
        result = ToolResultPart(
            call_id=fields["call_id"], parts=parts, name=name, is_error=fields["status"] == "error"
        )
        return Message.of("tool", (result,))
    return Message(
        "tool",
        text,
        tool_call_id=fields["call_id"],
        tool_name=name,
        is_error=fields["status"] == "error",
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


PLAIN: Mapping[str, Teller] = {
    "artifact": _text_of("content", "assistant"),
    "dialogue": _dialogue,
    "freeform": _text_of("payload", "assistant"),
    "instruction": _text_of("text", "system"),
    "output": _text_of("text", "assistant"),
    "reasoning": _text_of("text", "assistant"),
}
"""What the types say whose contents are shown as one message of nothing but text."""

_RENDERERS: dict[str, Renderer] = {
    **{each: _shown(tell) for each, tell in PLAIN.items()},
    "message": message_of_parts,
    "native": native_message,
    "tool_io": _tool_io,
    "tools": message_of_tools,
}


def marked(message: Message) -> Message:
    """Return *message* with the mark of an edited text; a message without text is unchanged."""
    if message.content is None:
        return message
    if message.given is not None:
        mark = TextPart(text=EDITED_MARK)
        return Message.of(message.role, (*message.given, mark), name=message.name)
    return replace(message, content=message.content + EDITED_MARK)
