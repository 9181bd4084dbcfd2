"""Definitions of tools as the argument `config`."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from tract.formats.fitting import fitting_name
from tract.formats.format import Json, Rules, Tool, Writing
from tract.formats.function_tools import function_tools
from tract.formats.google_genai.kinds import API
from tract.protocols import Loss

__all__ = ["write_tools"]


def write_tools(tools: Sequence[Json], api: str, rules: Rules, writing: Writing) -> Json:
    """Return `config` with tools: this API's own as they are, the functions of others as one."""
    if api == API:
        return {"config": {"tools": copy.deepcopy(list(tools))}} if tools else {}
    written: dict[str, Json] = {}
    for tool in tools:
        functions = function_tools(tool, api)
        if not functions:
            kind = tool.get("type") or next(iter(tool), "nothing")
            _lose(writing, f"the tool {kind!r} is one that only its own API has")
        for function in functions:
            if function.strict:
                _lose(writing, f"the API does not know `strict`, which {function.name!r} is")
            made = _declaration(function, rules)
            written.setdefault(made["name"], made)
    if not written:
        return {}
    return {"config": {"tools": [{"functionDeclarations": list(written.values())}]}}


def _lose(writing: Writing, why: str) -> None:
    writing.losses.append(Loss(None, "tool", why))


def _declaration(function: Tool, rules: Rules) -> Json:
    declared: Json = {"name": fitting_name(function.name, rules)}
    if function.description is not None:
        declared["description"] = function.description
    return {**declared, "parametersJsonSchema": copy.deepcopy(function.parameters)}
