"""What a store remembers: where it saw records last, and messages that it has parsed."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple

from pydantic_ai.conversation_store import ConversationEntry

from tract.integrations.pydantic_ai.contents import ENTRIES

__all__ = ["LAST_READ", "Parsed", "Place", "Recent", "Seen"]

_MOST_BRANCHES = 1024
_CHUNK = 32
_MOST_CHARACTERS = 16_000_000


class Place(NamedTuple):
    """Where the newest entry of a conversation is: what a record that a task has read says of it."""

    owner: object
    entry_id: str | None
    branch: str
    head: str


LAST_READ: ContextVar[Place | None] = ContextVar("LAST_READ", default=None)
"""Of each task: two conversations may have the same newest entry and other contexts."""


class Seen(NamedTuple):
    """A branch as it was last seen: its head, and the record there as JSON."""

    head: str
    record: str


class Recent:
    """Branches as they were last seen."""

    def __init__(self) -> None:
        self._branches: OrderedDict[str, Seen] = OrderedDict()

    def branch(self, name: str) -> Seen | None:
        """Return a branch as it was last seen."""
        return self._branches.get(name)

    def note(self, branch: str, seen: Seen) -> None:
        """Note what was read or written."""
        self._branches.pop(branch, None)
        self._branches[branch] = seen
        if len(self._branches) > _MOST_BRANCHES:
            self._branches.popitem(last=False)

    def forget(self, branch: str) -> None:
        """Drop a branch that was deleted."""
        self._branches.pop(branch, None)


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
