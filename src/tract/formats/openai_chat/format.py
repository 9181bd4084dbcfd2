"""Chat Completions, and what speaks like it, as a format. Of several choices the first is kept."""

from __future__ import annotations

from typing import Any

from tract.formats.common.tools import defined, function
from tract.formats.fitting import fitting_name
from tract.formats.format import Format, Json, Tool, Writing
from tract.formats.openai_chat.contents import contents
from tract.formats.openai_chat.reading import read
from tract.formats.openai_chat.replies import read_reply
from tract.formats.openai_chat.shapes import API, RULES, narrower
from tract.formats.openai_chat.streaming import ChatEvents, is_chunk
from tract.formats.openai_chat.writing import write

__all__ = ["CHAT"]


def _read_tool(tool: Json) -> list[Tool]:
    kind = tool.get("type", "function")
    given = tool.get(kind) if kind in ("custom", "function") else None
    if "type" not in tool and given is None:
        given = tool  # as in the deprecated `functions`
    if not isinstance(given, dict):
        return []
    if kind == "function":
        return function(given, given.get("parameters"))
    return [each._replace(kind="custom") for each in function(given, _flat(given.get("format")))]


def _flat(form: Any) -> Json:
    """Return the format of a custom tool's input, whose grammar is one level deeper here."""
    if not isinstance(form, dict):
        return {}
    inner = form.get("grammar")
    return {"type": "grammar", **inner} if isinstance(inner, dict) else form


def _define(tool: Tool, writing: Writing) -> Json | None:
    if tool.kind == "custom":
        return {"type": "custom", "custom": _custom(tool)}
    made = defined(tool, "parameters")
    strict = {} if tool.strict is None else {"strict": tool.strict}
    return {"type": "function", "function": {**made, **strict}}


def _custom(tool: Tool) -> Json:
    made = defined(tool, "format")
    form = made.pop("format")
    if form.get("type") == "grammar":
        form = {"type": "grammar", "grammar": {k: form[k] for k in form if k != "type"}}
    return {**made, "format": form} if form else made


def _offer(definitions: list[Json], writing: Writing, *, is_own: bool) -> Json:
    """Return the argument `tools`; what speaks like this API may have names that it refuses."""
    for tool in definitions if is_own and not writing.exact else ():
        called = tool.get(str(tool.get("type")))
        if isinstance(called, dict) and isinstance(called.get("name"), str):
            called["name"] = fitting_name(called["name"], RULES)
    return {"tools": definitions}


CHAT = Format(
    api=API,
    rules=RULES,
    narrower=narrower,
    read=read,
    contents=contents,
    write=write,
    read_tool=_read_tool,
    define=_define,
    offer=_offer,
    reply=read_reply,
    is_event=is_chunk,
    events=ChatEvents,
)
