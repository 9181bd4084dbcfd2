"""The text of a stored content, as a model reads it: what search finds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tract.engine.contents.provided import shown_content
from tract.engine.contents.registry import BUILT_IN, PRIORITY
from tract.engine.contents.rendering import render
from tract.history.canonical import stored_json
from tract.models.erasure import ERASED
from tract.protocols.parts import (
    Native,
    NativePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["text_of"]

_SILENT = frozenset({"annotation", ERASED, "expansion", "merge", "state", "tools"})
_NO_TEXT = frozenset({"content_type", PRIORITY})


def text_of(content_type: str, data: bytes | None) -> str:
    """Return the text of a content; empty if it has none, or cannot be read.

    It depends on nothing but what is stored: of a type of an application's own it is every string.
    """
    if content_type in _SILENT or not data:
        return ""
    try:
        content_type, fields = shown_content(content_type, stored_json(data, ""))
        if content_type in BUILT_IN:
            pieces = _built_in(content_type, fields)
        else:
            pieces = _strings({k: v for k, v in fields.items() if k not in _NO_TEXT})
        return "\n\n".join(filter(None, pieces))
    except Exception:  # damaged: `verify()` reports that, and a search goes on
        return ""


def _built_in(content_type: str, fields: Mapping[str, Any]) -> Iterator[str]:
    payload = fields.get("payload")
    if content_type in ("freeform", "tool_io") and not isinstance(payload, str):
        yield fields.get("tool_name") or ""
        yield from _strings(payload)
    else:
        yield from _texts(render(content_type, fields).parts)


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, TextPart | ThinkingPart | RefusalPart):
            yield part.text
        elif isinstance(part, ToolCallPart):
            yield part.name
            yield from _of_json(part.arguments)
        elif isinstance(part, ToolResultPart):
            yield part.name or ""
            yield from _texts(part.parts)
        elif isinstance(part, NativePart):
            yield from _strings(_item(part.native))


def _of_json(text: str) -> Iterator[str]:
    """Yield the strings in a JSON text; the text itself if it is not JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        yield text
    else:
        yield from _strings(value)


def _item(native: Native) -> Any:
    item = native.item
    return {k: v for k, v in item.items() if k != "type"} if isinstance(item, dict) else item


def _strings(value: Any) -> Iterator[str]:
    """Yield the strings and numbers of a JSON value, keys among them, as they are read."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
