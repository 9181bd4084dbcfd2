"""Who made an item of the Responses API."""

from __future__ import annotations

from typing import Any

__all__ = ["is_by_a_model"]


def is_by_a_model(item: Any) -> bool:
    """Return True for what a model says, calls or thinks, and False for what it was told."""
    if not isinstance(item, dict):
        return False
    kind = item.get("type", "message")
    if kind == "message":
        return item.get("role") == "assistant"
    return isinstance(kind, str) and not kind.endswith(("_output", "_response", "item_reference"))
