"""The arguments of a call as the JSON object that the Messages API wants."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["as_input", "parsed"]

_MAX_DEPTH = 64


def as_input(arguments: str) -> dict[str, Any]:
    """Return arguments as an object; those that are not one become `{"arguments": <the text>}`."""
    if not arguments.strip():
        return {}
    found = parsed(arguments)
    return {"arguments": arguments} if found is None else found


def parsed(arguments: str) -> dict[str, Any] | None:
    """Return the JSON object that *arguments* are; None if they cannot be sent as one."""
    try:
        found = json.loads(arguments)
        # What parsed may still be impossible to send: NaN, 1e999, an escaped lone surrogate.
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_flatter_than(found, _MAX_DEPTH) else None


def _is_flatter_than(value: dict[str, Any], levels: int) -> bool:
    """Return True if *value* nests at most *levels* containers; does not recurse.

    The bound is fixed, so the result does not depend on how much stack the caller has left.
    """
    level: list[Any] = [value]
    for _ in range(levels):
        children = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
        ]
        level = [child for child in children if isinstance(child, (dict, list))]
        if not level:
            return True
    return False
