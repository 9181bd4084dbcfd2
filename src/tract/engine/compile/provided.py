"""Rendering contents that hold what providers send: messages of parts, native items, tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tract.formats.registry import FORMATS
from tract.history.canonical import canonical_json
from tract.parts import Native, NativePart, from_json_parts
from tract.protocols import Message

__all__ = ["TOOLS", "message_of_parts", "message_of_tools", "native_message"]

TOOLS = "$tools"
"""The role of an entry that holds tool definitions, which is not shown as a message."""

Fields = Mapping[str, Any]


def message_of_parts(fields: Fields, role: str | None) -> Message:
    """Return the message of a `MessageContent`."""
    parts = from_json_parts(fields["parts"])
    return Message.of(role or fields["role"], parts, name=fields["name"])


def native_message(fields: Fields, role: str | None) -> Message:
    """Return the message of a `NativeContent`, which keeps its item unless its role is another."""
    item = fields["item"]
    native = Native(fields["api"], canonical_json(item, surrogates=True))
    source = FORMATS.get(native.api)
    if source is None:  # of a later release, or of a program's own
        said = item.get("role")
        named = said if isinstance(said, str) else "assistant"
        return Message.of(role or named, (NativePart(native=native),), native=native)
    found = source.read(item)
    if role is not None and role != found.role:
        return Message.of(role, found.parts, name=found.name)
    return Message.of(found.role, found.parts, name=found.name, native=native)


def message_of_tools(fields: Fields, role: str | None) -> Message:
    """Return what stands for tool definitions: a message that is never shown."""
    native = Native(fields["api"], canonical_json(fields["tools"], surrogates=True))
    return Message(TOOLS, given=(), native=native)
