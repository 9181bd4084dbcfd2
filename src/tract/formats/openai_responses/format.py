"""OpenAI's Responses API as a format."""

from __future__ import annotations

from tract.formats.common.tools import defined, function
from tract.formats.common.values import objects
from tract.formats.format import Format, Json, Tool, Writing
from tract.formats.openai_responses.contents import contents
from tract.formats.openai_responses.kinds import API, RULES
from tract.formats.openai_responses.reading import read
from tract.formats.openai_responses.replies import whole_reply
from tract.formats.openai_responses.streaming import ResponseEvents, is_event
from tract.formats.openai_responses.writing import write

__all__ = ["RESPONSES"]


def _read_tool(tool: Json) -> list[Tool]:
    match tool.get("type"):
        case "function":
            return function(tool, tool.get("parameters"))
        case "custom":
            form = tool.get("format")
            named = function(tool, form if isinstance(form, dict) else {})
            return [each._replace(kind="custom") for each in named]
        case "namespace":
            inner = [found for each in objects(tool.get("tools")) for found in _read_tool(each)]
            return [each._replace(is_nested=True) for each in inner]
    return []


def _define(tool: Tool, writing: Writing) -> Json | None:
    if tool.kind == "custom":
        made = defined(tool, "format", type="custom")
        return made if made["format"] else {key: made[key] for key in made if key != "format"}
    made = defined(tool, "parameters", type="function")
    made["parameters"] = {"type": "object", **made["parameters"]}
    # Without `strict`, this API takes a schema as a strict one; the others do not.
    return {**made, "strict": bool(tool.strict)}


RESPONSES = Format(
    api=API,
    rules=RULES,
    read=read,
    contents=contents,
    write=write,
    read_tool=_read_tool,
    define=_define,
    reply=whole_reply,
    is_event=is_event,
    events=ResponseEvents,
)
