"""`reasoning_details`, put together from the pieces of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tract.formats.deltas import Delta, Path
from tract.formats.format import Json

__all__ = ["Details"]

_TEXTS = ("text", "summary")
_WHOLE = ("data", "signature")
"""Keys that come once in a detail; a second one begins another detail."""


class Details:
    """Reads the pieces of one stream's details.

    A piece belongs to the last detail of its type and index, unless its id differs, or it brings
    what that detail has already got: encrypted data, a signature, or text after the signature.
    """

    def __init__(self) -> None:
        self._known: list[Json | None] = []

    def feed(self, pieces: list[Any], where: Path) -> Iterator[Delta]:
        """Yield what *pieces* add to the list at *where*."""
        for piece in pieces:
            if isinstance(piece, dict):
                yield from self._piece(piece, where)
            else:
                self._known.append(None)
                yield ("push", where, piece)

    def _piece(self, piece: Json, where: Path) -> Iterator[Delta]:
        place, known = self._place(piece)
        if known is None:
            self._known.append(dict(piece))
            yield ("push", where, piece)
            return
        for key, value in piece.items():
            if key in _TEXTS and isinstance(value, str) and isinstance(known.get(key), str | None):
                if value:
                    yield ("text", [*where, place, key], value)
            elif value and known.get(key) != value:
                known[key] = value
                yield ("set", [*where, place, key], value)

    def _place(self, piece: Json) -> tuple[int, Json | None]:
        """Return the detail that a piece belongs to, and its place; None if it begins one."""
        for place in range(len(self._known) - 1, -1, -1):
            known = self._known[place]
            if known is None:
                continue
            if (known.get("type"), known.get("index")) == (piece.get("type"), piece.get("index")):
                return place, known if _continues(known, piece) else None
        return 0, None


def _continues(known: Json, piece: Json) -> bool:
    if known.get("id") and piece.get("id") and known["id"] != piece["id"]:
        return False
    if any(known.get(key) and piece.get(key) for key in _WHOLE):
        return False
    return not (known.get("signature") and any(piece.get(key) for key in _TEXTS))
