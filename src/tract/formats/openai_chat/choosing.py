"""The one choice of a stream that is kept."""

from __future__ import annotations

from typing import Any

from tract.formats.format import Json

__all__ = ["Choices"]


class Choices:
    """Tells the first of several choices from one choice whose index runs with every chunk.

    An index runs if each chunk has one choice, whose index is one more than that of the chunk
    before. With several choices, an index comes again, or a chunk of the second begins with a role.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._last: int | None = None
        self._runs = True

    def chosen(self, choices: list[Any]) -> list[Json]:
        """Return the choices of a chunk that are kept."""
        found = [choice for choice in choices if isinstance(choice, dict)]
        if len(found) > 1:
            self._runs = False
        return [choice for choice in found if self._is_kept(choice)]

    def _is_kept(self, choice: Json) -> bool:
        index = choice.get("index")
        if not isinstance(index, int):
            return True
        if self._first is None:
            self._first = self._last = index
            return True
        if index == self._first:
            self._runs = False
            return True
        delta = choice.get("delta")
        begins = self._first == 0 and isinstance(delta, dict) and bool(delta.get("role"))
        self._runs = self._runs and index == (self._last or 0) + 1 and not begins
        self._last = index
        return self._runs
