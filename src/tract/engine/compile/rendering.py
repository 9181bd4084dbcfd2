"""Rendering a content's fields as the message that a model gets, and joining messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tract.history.canonical import canonical_json
from tract.protocols import Message, ToolCall

__all__ = [
    "EDITED_MARK",
    "JOINT",
    "custom_text",
    "joined",
    "joined_runs",
    "joins",
    "marked",
    "render",
]

JOINT = "\n\n"
"""The separator between the texts of joined messages: a blank line."""

EDITED_MARK = " [edited]"
"""What `include_edit_annotations` appends to an edited text."""

Fields = Mapping[str, Any]


def render(content_type: str, fields: Fields, role: str | None = None) -> Message:
    """Return the message of a built-in content; *role* overrides the type's default role.

    A tool call or result with an overriding role becomes plain text of that role.
    """
    return _RENDERERS[content_type](fields, role)


def custom_text(fields: Fields) -> str:
    """Return the text of a custom content without `to_text()`.

    It is the field `text` or `content`, whichever is a string first; otherwise the canonical JSON
    of all fields but `content_type`.
    """
    for name in ("text", "content"):
        if isinstance(fields.get(name), str):
            return str(fields[name])
    return canonical_json({name: fields[name] for name in fields if name != "content_type"})


def _text_of(field: str, default_role: str) -> Callable[[Fields, str | None], Message]:
    def renderer(fields: Fields, role: str | None) -> Message:
        return Message(role or default_role, _as_text(fields[field]))

    return renderer


def _dialogue(fields: Fields, role: str | None) -> Message:
    return Message(role or fields["role"], fields["text"], fields["name"])


def _tool_io(fields: Fields, role: str | None) -> Message:
    name, text = fields["tool_name"], _as_text(fields["payload"])
    is_call = fields["direction"] == "call"
    if role is not None:
        return Message(role, f"{name}({text})" if is_call else text)
    if is_call:
        return Message("assistant", None, None, (ToolCall(fields["call_id"], name, text),))
    return Message(
        "tool",
        text,
        tool_call_id=fields["call_id"],
        tool_name=name,
        is_error=fields["status"] == "error",
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


_RENDERERS: dict[str, Callable[[Fields, str | None], Message]] = {
    "artifact": _text_of("content", "assistant"),
    "dialogue": _dialogue,
    "freeform": _text_of("payload", "assistant"),
    "instruction": _text_of("text", "system"),
    "output": _text_of("text", "assistant"),
    "reasoning": _text_of("text", "assistant"),
    "tool_io": _tool_io,
}


def joins(before: Message, after: Message) -> bool:
    """Return True if *after* joins the message that ends with *before*.

    Texts of one role and name do, and tool calls join any assistant's message. Tool results never
    join. A text after or with tool calls does not join either, because it would move before earlier
    calls.
    """
    if before.role != after.role or after.role == "tool":
        return False
    if after.tool_calls:
        return after.content is None
    return not before.tool_calls and before.name == after.name


def joined(group: Sequence[Message]) -> Message:
    """Return one message made of messages that each join the one before."""
    if len(group) == 1:
        return group[0]
    texts = [message.content for message in group if message.content is not None]
    return replace(
        group[0],
        content=JOINT.join(texts) if texts else None,
        tool_calls=tuple(call for message in group for call in message.tool_calls),
    )


def joined_runs(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield *messages*, joining each to the one before where it `joins`."""
    group: list[Message] = []
    for message in messages:
        if group and not joins(group[-1], message):
            yield joined(group)
            group = []
        group.append(message)
    if group:
        yield joined(group)


def marked(message: Message) -> Message:
    """Return *message* with the mark of an edited text; a message without text is unchanged."""
    if message.content is None:
        return message
    return replace(message, content=message.content + EDITED_MARK)
