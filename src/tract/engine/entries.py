"""Entries, and the persistent sequence that snapshots share.

A snapshot must stay as it is while the next one grows out of it. So entries are kept in
chunks of a fixed size: appending copies the last, unfilled chunk at most, replacing one
entry copies one chunk, and everything else is shared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tract.engine.rendering import joined_runs
from tract.formats.openai import has_ids, message_to_openai
from tract.models.annotations import Priority
from tract.protocols import Message

__all__ = ["CHUNK_SIZE", "Chunk", "Entries", "Entry"]

CHUNK_SIZE = 64
_ENTRY_OVERHEAD = 600  # bytes of the objects that hold an entry, its texts aside


@dataclass(frozen=True, slots=True)
class Entry:
    """One APPEND commit with its current message, config and priority.

    `body_tokens` counts the message's texts, `message_tokens` the whole as a message of its own.
    """

    commit_hash: str
    message: Message
    body_tokens: int
    message_tokens: int
    config_json: str | None
    priority: Priority
    edited: bool = False

    @property
    def visible(self) -> bool:
        """Whether the compiled context shows this entry."""
        return self.priority is not Priority.SKIP

    @property
    def nbytes(self) -> int:
        """About how much memory this entry holds."""
        message = self.message
        texts = [message.content or "", *(call.arguments for call in message.tool_calls)]
        config = sys.getsizeof(self.config_json) if self.config_json else 0
        return _ENTRY_OVERHEAD + config + sum(map(sys.getsizeof, texts))


class Chunk:
    """Up to `CHUNK_SIZE` entries, never changed."""

    def __init__(self, items: tuple[Entry, ...]) -> None:
        self.items = items

    @cached_property
    def index(self) -> dict[str, int]:
        """Positions within the chunk by commit hash."""
        return {entry.commit_hash: position for position, entry in enumerate(self.items)}

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """The messages of its visible entries, consecutive ones of a role joined."""
        return tuple(joined_runs(entry.message for entry in self.items if entry.visible))

    @cached_property
    def openai(self) -> tuple[dict[str, Any], ...] | None:
        """The provider dicts of all messages but the first and the last, which may join others.

        None where an id of a tool call or result is missing: what is made up depends on the rest.
        """
        if not all(map(has_ids, self.messages)):
            return None
        return tuple(map(message_to_openai, self.messages[1:-1]))

    @cached_property
    def nbytes(self) -> int:
        """About how much memory its entries hold."""
        return sum(entry.nbytes for entry in self.items)


@dataclass(frozen=True, slots=True)
class Entries:
    """An immutable sequence of entries: full chunks, then a tail shorter than one."""

    full: tuple[Chunk, ...] = ()
    tail: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self.full) * CHUNK_SIZE + len(self.tail)

    def __getitem__(self, position: int) -> Entry:
        chunk, offset = divmod(position, CHUNK_SIZE)
        return self.full[chunk].items[offset] if chunk < len(self.full) else self.tail[offset]

    def __iter__(self) -> Iterator[Entry]:
        for chunk in self.full:
            yield from chunk.items
        yield from self.tail

    def newest_visible(self) -> Entry | None:
        """Return the last entry that the compiled context shows."""
        for position in range(len(self) - 1, -1, -1):
            entry = self[position]
            if entry.visible:
                return entry
        return None

    def find(self, commit_hash: str) -> int | None:
        """Return the position of an entry, or None; new entries are found soonest."""
        for offset in range(len(self.tail) - 1, -1, -1):
            if self.tail[offset].commit_hash == commit_hash:
                return len(self.full) * CHUNK_SIZE + offset
        for number in range(len(self.full) - 1, -1, -1):
            found = self.full[number].index.get(commit_hash)
            if found is not None:
                return number * CHUNK_SIZE + found
        return None

    def extended(self, entries: Sequence[Entry]) -> Entries:
        """Return the sequence with *entries* at its end."""
        tail = (*self.tail, *entries)
        if len(tail) < CHUNK_SIZE:
            return Entries(self.full, tail)
        whole = len(tail) - len(tail) % CHUNK_SIZE
        filled = [Chunk(tail[start : start + CHUNK_SIZE]) for start in range(0, whole, CHUNK_SIZE)]
        return Entries((*self.full, *filled), tail[whole:])

    def replaced(self, position: int, entry: Entry) -> Entries:
        """Return the sequence with *entry* in place of the one at *position*."""
        number, offset = divmod(position, CHUNK_SIZE)
        if number == len(self.full):
            return Entries(self.full, (*self.tail[:offset], entry, *self.tail[offset + 1 :]))
        items = self.full[number].items
        chunk = Chunk((*items[:offset], entry, *items[offset + 1 :]))
        return Entries((*self.full[:number], chunk, *self.full[number + 1 :]), self.tail)
