"""Telling by its shape for which API a tool was defined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tract.exceptions import ContentValidationError
from tract.formats.format import as_json
from tract.formats.registry import FORMATS

__all__ = ["api_of", "tools_as_json"]

_DATED = re.compile(r"_\d{8}$")
"""Anthropic's own tools are named with the date of their version: `web_search_20250305`."""


def tools_as_json(tools: Iterable[object]) -> list[dict[str, Any]]:
    """Return tool definitions, as dicts or an SDK's objects, as new dicts.

    Raises:
        ContentValidationError: *tools* is not a list, or one of them is neither.
    """
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Iterable):
        raise ContentValidationError("give a list of tool definitions", "tools")
    found = []
    for index, tool in enumerate(tools):
        plain = as_json(tool)
        if plain is None:
            raise ContentValidationError(
                f"a {type(tool).__name__} is not a tool definition; give a dict as the API takes it",
                f"tools[{index}]",
            )
        found.append(dict(plain))
    return found


def api_of(tools: Iterable[Mapping[str, Any]]) -> str:
    """Return the API that takes *tools* as they are.

    Raises:
        ContentValidationError: their shapes do not tell, or tell of several.
    """
    found = {_api(tool) for tool in tools}
    if len(found) == 1:
        api = found.pop()
        if api is not None:
            return api
    raise ContentValidationError(
        f"the tools do not show which API they are for. Pass `api=`, one of: {', '.join(FORMATS)}",
        "tools",
    )


def _api(tool: Mapping[str, Any]) -> str | None:
    kind = tool.get("type")
    if kind in ("function", "custom") and isinstance(tool.get(kind), Mapping):
        return "openai.chat"
    if "input_schema" in tool or (isinstance(kind, str) and _DATED.search(kind)):
        return "anthropic.messages"
    if isinstance(kind, str):
        return "openai.responses"
    if tool and all(isinstance(value, (Mapping, list)) for value in tool.values()):
        return "google.generate_content"
    return None
