"""Anthropic's Messages API as a format."""

from __future__ import annotations

from tract.formats.anthropic_messages.contents import contents
from tract.formats.anthropic_messages.kinds import API
from tract.formats.anthropic_messages.reading import read
from tract.formats.anthropic_messages.streaming import MessageEvents, is_event, whole_reply
from tract.formats.anthropic_messages.writing import write
from tract.formats.common.tools import defined, function
from tract.formats.format import Format, Json, Rules, Tool, Writing

__all__ = ["ANTHROPIC"]


def _read_tool(tool: Json) -> list[Tool]:
    plain = tool.get("type") in (None, "custom")
    return function(tool, tool.get("input_schema")) if plain else []


def _define(tool: Tool, writing: Writing) -> Json | None:
    if tool.kind == "custom":
        return None
    made = defined(tool, "input_schema")
    made["input_schema"] = {"type": "object", **made["input_schema"]}
    return made if tool.strict is None else {**made, "strict": tool.strict}


ANTHROPIC = Format(
    api=API,
    # "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"; ids have the same
    # characters, and no limit of length that is known.
    rules=Rules(id_longest=256, name_longest=128),
    read=read,
    contents=contents,
    write=write,
    read_tool=_read_tool,
    define=_define,
    reply=whole_reply,
    is_event=is_event,
    events=MessageEvents,
)
