"""The kinds of blocks of the Messages API, and which side of the conversation has which."""

from __future__ import annotations

from typing import Any

from tract.formats.common.sides import Side
from tract.formats.common.values import json_text
from tract.protocols.parts import Native

__all__ = [
    "API",
    "KNOWN",
    "THINKING",
    "is_misplaced",
    "is_server_call",
    "is_server_result",
    "kind_of",
    "native_of",
    "natural_side",
]

API = "anthropic.messages"

THINKING = frozenset({"thinking", "redacted_thinking"})
_SERVER_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})
_SERVER_RESULTS = frozenset(
    {
        "advisor_tool_result",
        "bash_code_execution_tool_result",
        "code_execution_tool_result",
        "mcp_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "web_fetch_tool_result",
        "web_search_tool_result",
    }
)
_USERS = frozenset({"tool_result"})
_MODELS = (
    THINKING
    | _SERVER_CALLS
    | _SERVER_RESULTS
    | {"compaction", "fallback", "mcp_tool_listing", "tool_use"}
)
_SYSTEMS = frozenset({"tool_addition", "tool_removal"})
_ANYONES = frozenset({"container_upload", "document", "image", "search_result", "text"})

KNOWN = _USERS | _MODELS | _SYSTEMS | _ANYONES
"""The kinds of blocks that this release knows."""

_REFUSED: dict[Side, frozenset[str]] = {
    "user": _MODELS | _SYSTEMS,
    "assistant": _USERS | _SYSTEMS,
    "system": (KNOWN - _SYSTEMS) - {"text"},
}


def kind_of(block: Any) -> str:
    """Return the `type` of a block; empty if it has none."""
    kind = block.get("type") if isinstance(block, dict) else None
    return kind if isinstance(kind, str) else ""


def is_misplaced(block: Any, side: Side) -> bool:
    """Return True if the API refuses a block of this kind on that side."""
    return kind_of(block) in _REFUSED[side]


def natural_side(block: Any, given: Side) -> Side:
    """Return the only side that may have a block of this kind, or else *given*."""
    kind = kind_of(block)
    if kind in _MODELS:
        return "assistant"
    return "user" if kind in _USERS else given


def is_server_call(kind: str) -> bool:
    """Return True if a block calls a tool that the API runs itself."""
    return kind in _SERVER_CALLS


def is_server_result(kind: str) -> bool:
    """Return True if a block is the result of such a call, those of later releases included."""
    return kind.endswith("_tool_result")


def native_of(value: Any) -> Native:
    """Return *value* as this API's own JSON."""
    return Native(API, json_text(value))
