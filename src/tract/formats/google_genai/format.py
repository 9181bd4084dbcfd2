"""Google's generateContent, of the Gemini API and of Vertex AI, as a format."""

from __future__ import annotations

import re
from typing import Any

from tract.formats.common.tools import defined, function
from tract.formats.common.values import objects
from tract.formats.format import Format, Json, Rules, Tool, Writing
from tract.formats.google_genai.contents import contents
from tract.formats.google_genai.kinds import API, field
from tract.formats.google_genai.reading import read
from tract.formats.google_genai.replies import is_reply, whole_reply
from tract.formats.google_genai.streaming import ContentEvents
from tract.formats.google_genai.writing import write
from tract.protocols import Loss

__all__ = ["GOOGLE"]


def _read_tool(tool: Json) -> list[Tool]:
    found: list[Tool] = []
    for declared in objects(field(tool, "functionDeclarations")):
        schema = field(declared, "parametersJsonSchema") or _lowered(declared.get("parameters"))
        found += function(declared, schema)
    return found


def _lowered(schema: Any) -> Any:
    """Return Gemini's schema with the types of JSON Schema: `STRING` is `string` there."""
    if isinstance(schema, list):
        return [_lowered(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else _lowered(value)
        for key, value in schema.items()
    }


def _define(tool: Tool, writing: Writing) -> Json | None:
    if tool.kind == "custom":
        return None
    if tool.strict:
        why = f"the API does not know `strict`, which {tool.name!r} is"
        writing.losses.append(Loss(None, "tool", why))
    return defined(tool, "parametersJsonSchema")


def _offer(definitions: list[Json], writing: Writing, *, is_own: bool) -> Json:
    tools = definitions if is_own else [{"functionDeclarations": definitions}]
    return {"config": {"tools": tools}}


GOOGLE = Format(
    api=API,
    rules=Rules(
        results_are_named=True,
        id_refused=re.compile(r"[^!-~]"),
        id_longest=256,
        # A name begins with a letter or an underscore: one is put before anything else.
        name_refused=re.compile(r"[^a-zA-Z0-9_.:-]|\A(?=[^a-zA-Z_])"),
    ),
    read=read,
    contents=contents,
    write=write,
    read_tool=_read_tool,
    define=_define,
    offer=_offer,
    reply=whole_reply,
    is_event=is_reply,
    events=ContentEvents,
)
