"""Definitions of tools as the argument `tools`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from tract.formats.fitting import fitting_name
from tract.formats.format import Json, Rules, Tool, Writing
from tract.formats.function_tools import function_tools
from tract.formats.openai_responses.kinds import API
from tract.protocols import Loss

__all__ = ["read_tool", "write_tools"]


def read_tool(tool: Json) -> list[Tool]:
    """Return the functions that a definition defines, by itself or in its namespace."""
    inner = tool.get("tools") if tool.get("type") == "namespace" else None
    if not isinstance(inner, list):
        return function_tools(tool, API)
    return [
        found for each in inner if isinstance(each, dict) for found in function_tools(each, API)
    ]


def write_tools(tools: Sequence[Json], api: str, rules: Rules, writing: Writing) -> Json:
    """Return the argument `tools`: this API's own as they are, the functions of others."""
    if api == API:
        return {"tools": copy.deepcopy(list(tools))} if tools else {}
    written: dict[str, Json] = {}
    for tool in tools:
        made = list(_definitions(tool, api, rules))
        if not made:
            kind = tool.get("type") or next(iter(tool), "nothing")
            why = f"the tool {kind!r} is one that only its own API has"
            writing.losses.append(Loss(None, "tool", why))
        for definition in made:
            written.setdefault(definition["name"], definition)
    return {"tools": list(written.values())} if written else {}


def _definitions(tool: Json, api: str, rules: Rules) -> Iterator[Json]:
    custom = tool.get("custom")
    if api == "openai.chat" and tool.get("type") == "custom" and isinstance(custom, dict):
        yield from _custom(custom, rules)
    for function in function_tools(tool, api):
        definition: Json = {"type": "function", "name": fitting_name(function.name, rules)}
        if function.description is not None:
            definition["description"] = function.description
        definition["parameters"] = {"type": "object", **copy.deepcopy(function.parameters)}
        # Without `strict`, this API takes a schema as a strict one; the others do not.
        definition["strict"] = bool(function.strict)
        yield definition


def _custom(custom: Json, rules: Rules) -> Iterator[Json]:
    if not isinstance(custom.get("name"), str):
        return
    definition = {"type": "custom", **copy.deepcopy(custom)}
    definition["name"] = fitting_name(custom["name"], rules)
    form: Any = definition.get("format")
    if isinstance(form, dict) and isinstance(form.get("grammar"), dict):
        definition["format"] = {"type": "grammar", **form["grammar"]}
    yield definition
