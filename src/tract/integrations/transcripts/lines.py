"""Lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tract.exceptions import ContentValidationError
from tract.history.canonical import canonical_json

__all__ = ["is_storable", "lines_of", "numbered", "object_of"]


def lines_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not empty, with their numbers, from 1 on."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield number, line


def object_of(line: bytes) -> dict[str, Any] | None:
    """Return a line's JSON object; None if it is not one, or cannot be stored."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and is_storable(value) else None


def is_storable(value: Any) -> bool:
    """Return True if a store can hold a JSON value."""
    try:
        canonical_json(value)
    except (ContentValidationError, RecursionError):
        return False
    return True


def numbered(path: Path, number: int) -> str:
    """Return the name of a line."""
    return f"{path}:{number}"
