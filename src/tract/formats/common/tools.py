"""Definitions of functions, which all APIs have in much the same form."""

from __future__ import annotations

import copy
from typing import Any

from tract.formats.format import Json, Tool

__all__ = ["defined", "function"]


def function(given: Json, parameters: Any) -> list[Tool]:
    """Return the function that a definition names; none if it has no name."""
    name, description, strict = (given.get(key) for key in ("name", "description", "strict"))
    if not isinstance(name, str):
        return []
    said = description if isinstance(description, str) else None
    schema = parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}}
    return [Tool(name, said, schema, strict if isinstance(strict, bool) else None)]


def defined(tool: Tool, key: str, **start: Any) -> Json:
    """Return a definition with a name, a description if there is one, and a schema under *key*."""
    described = {} if tool.description is None else {"description": tool.description}
    return {**start, "name": tool.name, **described, key: copy.deepcopy(tool.parameters)}
