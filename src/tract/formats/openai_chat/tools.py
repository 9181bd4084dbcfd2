"""Definitions of tools, as Chat Completions takes them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from tract.formats.fitting import fitting_name
from tract.formats.format import Json, Tool, Writing
from tract.formats.function_tools import function_tools
from tract.formats.openai_chat.shapes import API, RULES
from tract.protocols import Loss

__all__ = ["write_tools"]


def write_tools(tools: Sequence[Json], api: str, writing: Writing) -> Json:
    """Return the argument `tools` for tools that were given as *api* takes them."""
    made: list[Json] = []
    for tool in tools:
        found = [copy.deepcopy(tool)] if api == API else _translated(tool, api)
        if not found:
            kind = tool.get("type") or next(iter(tool), "nothing")
            why = f"the tool {kind!r} is one that only its own API has"
            writing.losses.append(Loss(None, "tool", why))
        made += found
    if not writing.exact:
        for each in made:
            _fit(each)
    return {"tools": made} if made else {}


def _fit(tool: Json) -> None:
    called = tool.get(str(tool.get("type")))
    if isinstance(called, dict) and isinstance(called.get("name"), str):
        called["name"] = fitting_name(called["name"], RULES)


def _translated(tool: Json, api: str) -> list[Json]:
    if api == "openai.responses" and tool.get("type") == "custom":
        return [_custom(tool)]
    return [{"type": "function", "function": _function(each)} for each in function_tools(tool, api)]


def _function(tool: Tool) -> Json:
    function: Json = {"name": tool.name, "parameters": copy.deepcopy(tool.parameters)}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def _custom(tool: Json) -> Json:
    """Return a custom tool of the Responses API, whose grammar is one level deeper here."""
    custom: Json = {key: tool[key] for key in ("name", "description") if key in tool}
    wanted = tool.get("format")
    if isinstance(wanted, dict) and wanted.get("type") == "grammar":
        grammar = {key: wanted[key] for key in ("definition", "syntax") if key in wanted}
        custom["format"] = {"type": "grammar", "grammar": grammar}
    elif isinstance(wanted, dict):
        custom["format"] = copy.deepcopy(wanted)
    return {"type": "custom", "custom": custom}
