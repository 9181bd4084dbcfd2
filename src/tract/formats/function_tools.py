"""Definitions of function tools, read from the shape of any of the four APIs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tract.formats.format import Json, Tool

__all__ = ["function_tools"]


def function_tools(tool: Json, api: str) -> list[Tool]:
    """Return the functions that *tool* defines, as *api* takes it; none if it is another kind."""
    read = _READERS.get(api)
    return [] if read is None else list(read(tool))


def _chat(tool: Json) -> Iterator[Tool]:
    function = tool.get("function") if tool.get("type") == "function" else None
    if "type" not in tool:
        function = tool.get("function", tool)  # or as in the deprecated `functions`
    if isinstance(function, dict):
        yield from _named(function, function.get("parameters"))


def _responses(tool: Json) -> Iterator[Tool]:
    if tool.get("type") == "function":
        yield from _named(tool, tool.get("parameters"))


def _anthropic(tool: Json) -> Iterator[Tool]:
    if tool.get("type") in (None, "custom"):
        yield from _named(tool, tool.get("input_schema"))


def _google(tool: Json) -> Iterator[Tool]:
    declared = tool.get("functionDeclarations") or tool.get("function_declarations")
    for each in declared if isinstance(declared, list) else ():
        if isinstance(each, dict):
            schema = each.get("parametersJsonSchema") or each.get("parameters_json_schema")
            yield from _named(each, schema or _lowered(each.get("parameters")))


def _named(given: Json, parameters: Any) -> Iterator[Tool]:
    name, description, strict = (given.get(key) for key in ("name", "description", "strict"))
    if isinstance(name, str):
        yield Tool(
            name,
            description if isinstance(description, str) else None,
            parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}},
            strict if isinstance(strict, bool) else None,
        )


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


_READERS = {
    "anthropic.messages": _anthropic,
    "google.generate_content": _google,
    "openai.chat": _chat,
    "openai.responses": _responses,
}
