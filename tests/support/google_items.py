"""Items of generateContent through its format, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support.items import Through, rendered, same

__all__ = [
    "API",
    "FORMAT",
    "exactly",
    "messages_of",
    "rendered",
    "rest",
    "same",
    "sent",
    "streamed",
]

API = "google.generate_content"

_THROUGH = Through(API)
FORMAT = _THROUGH.format
exactly = _THROUGH.exactly
messages_of = _THROUGH.messages_of
sent = _THROUGH.sent
streamed = _THROUGH.streamed


def rest(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the SDK's arguments as the body of a request."""
    config = given.get("config", {})
    names = {"system_instruction": "systemInstruction", "tools": "tools"}
    return {"contents": given["contents"]} | {names[key]: config[key] for key in config}
