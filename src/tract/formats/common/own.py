"""What goes out as it came, because it is the API's own, and what only another API takes back."""

from __future__ import annotations

from typing import Any

from tract.formats.format import Json, Sent, Writing
from tract.history.media import may_hold, put_back
from tract.protocols.parts import (
    Native,
    NativePart,
    Part,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["is_foreign", "own", "with_media"]


def own(native: Native | None, api: str, writing: Writing) -> Json | None:
    """Return the JSON that something came as, with its media put back; None if not from *api*."""
    if native is None or native.api != api:
        return None
    item = with_media(native, writing)
    return item if isinstance(item, dict) else None


def with_media(native: Native, writing: Writing) -> Any:
    """Return the JSON that something came as, with its media put back."""
    item = native.item
    return put_back(item, writing.load) if may_hold(native.text) else item


def is_foreign(part: Part, sent: Sent, writing: Writing) -> bool:
    """Return True if only the API that made a part takes it back; it is named as lost then."""
    match part:
        case ThinkingPart():
            writing.lose(sent, "thinking", "only the API that made it takes it back")
        case NativePart():
            writing.lose(sent, part.kind, f"only {part.native.api} has it")
        case ToolCallPart(kind="server"):
            why = "only the API that ran the tool takes the call back"
            writing.lose(sent, "tool_call", why)
        case ToolResultPart(kind="server"):
            why = "only the API that ran the tool takes the result back"
            writing.lose(sent, "tool_result", why)
        case _:
            return False
    return True
