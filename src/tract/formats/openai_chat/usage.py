"""The usage that a stream reports: at its end, or again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tract.formats.format import Json

__all__ = ["Counts"]


class Counts:
    """Keeps the counts that came; nulls and zeros do not replace real ones."""

    def __init__(self) -> None:
        self._known: Json = {}

    def feed(self, chunk: Json) -> Iterator[tuple[str, Any]]:
        """Yield each count of a chunk that is new."""
        usage = chunk.get("usage")
        if not isinstance(usage, dict):
            groq = chunk.get("x_groq")
            usage = groq.get("usage") if isinstance(groq, dict) else None
        for key, value in usage.items() if isinstance(usage, dict) else ():
            merged = _merged(self._known.get(key), value)
            if key not in self._known or merged != self._known[key]:
                self._known[key] = merged
                yield key, merged


def _merged(known: Any, new: Any) -> Any:
    if isinstance(known, dict) and isinstance(new, dict):
        return known | {key: _merged(known.get(key), value) for key, value in new.items()}
    if known and (new is None or (new == 0 and new is not False)):
        return known
    return new
