"""Definitions of tools as the argument `tools`."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from tract.formats.anthropic_messages.kinds import API
from tract.formats.fitting import fitting_name
from tract.formats.format import Json, Rules, Tool, Writing
from tract.formats.function_tools import function_tools
from tract.protocols import Loss

__all__ = ["write_tools"]


def write_tools(tools: Sequence[Json], api: str, rules: Rules, writing: Writing) -> Json:
    """Return the argument `tools`: this API's own as they are, the functions of others."""
    if api == API:
        return {"tools": copy.deepcopy(list(tools))} if tools else {}
    written: dict[str, Json] = {}
    for tool in tools:
        functions = function_tools(tool, api)
        if not functions:
            kind = tool.get("type") or next(iter(tool), "nothing")
            why = f"the tool {kind!r} is one that only its own API has"
            writing.losses.append(Loss(None, "tool", why))
        for function in functions:
            made = _definition(function, rules)
            written.setdefault(made["name"], made)
    return {"tools": list(written.values())} if written else {}


def _definition(function: Tool, rules: Rules) -> Json:
    definition: Json = {"name": fitting_name(function.name, rules)}
    if function.description is not None:
        definition["description"] = function.description
    definition["input_schema"] = {"type": "object", **copy.deepcopy(function.parameters)}
    if function.strict is not None:
        definition["strict"] = function.strict
    return definition
