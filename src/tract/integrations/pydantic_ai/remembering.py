"""What a store remembers: where it saw records last, and messages that it has parsed."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from pydantic_ai.conversation_store import ConversationEntry

from tract.integrations.pydantic_ai.contents import ENTRIES

__all__ = ["Parsed", "Place", "Recent"]

V = TypeVar("V")

_MOST_PLACES = 1024
_CHUNK = 64
_MOST_CHARACTERS = 16_000_000


class Place(NamedTuple):
    """Where an entry was the newest: a branch, and its head then."""

    branch: str
    head: str


class Recent:
    """Records by the heads that they hold at, and places by the ids of entries."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, str] = OrderedDict()
        self._places: OrderedDict[str, Place] = OrderedDict()

    def record(self, head: str) -> str | None:
        """Return the record that holds at a head, as JSON."""
        return self._records.get(head)

    def place(self, entry_id: str) -> Place | None:
        """Return where an entry was the newest when its conversation's record was read."""
        return self._places.get(entry_id)

    def note(self, branch: str, head: str, entry_id: str | None, record: str) -> None:
        """Note what was read."""
        _keep(self._records, head, record)
        if entry_id is not None:
            _keep(self._places, entry_id, Place(branch, head))

    def forget(self, head: str | None) -> None:
        """Drop the record that holds at a head."""
        self._records.pop(head or "", None)


def _keep(kept: OrderedDict[str, V], name: str, value: V) -> None:
    kept.pop(name, None)
    kept[name] = value
    if len(kept) > _MOST_PLACES:
        kept.popitem(last=False)


class Parsed:
    """Parses entries, and keeps long rows of them as pickles: a third of the work the next time.

    Each caller gets objects of its own.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._size = 0

    def entries(self, texts: Sequence[str]) -> list[ConversationEntry]:
        """Return the entries of these JSON texts."""
        found: list[ConversationEntry] = []
        whole = len(texts) - len(texts) % _CHUNK
        for start in range(0, whole, _CHUNK):
            found += self._chunk(tuple(texts[start : start + _CHUNK]))
        if whole < len(texts):
            found += _parsed(texts[whole:])
        return found

    def forget(self) -> None:
        """Drop all, because something was deleted."""
        self._kept.clear()
        self._size = 0

    def _chunk(self, texts: tuple[str, ...]) -> list[ConversationEntry]:
        kept = self._kept.get(texts)
        if kept is not None:
            self._kept.move_to_end(texts)
            entries: list[ConversationEntry] = pickle.loads(kept)
            return entries
        made = _parsed(texts)
        self._kept[texts] = pickle.dumps(made, pickle.HIGHEST_PROTOCOL)
        self._size += sum(map(len, texts))
        while self._size > _MOST_CHARACTERS and self._kept:
            evicted, _ = self._kept.popitem(last=False)
            self._size -= sum(map(len, evicted))
        return made


def _parsed(texts: Sequence[str]) -> list[ConversationEntry]:
    return ENTRIES.validate_json(f"[{','.join(texts)}]")
