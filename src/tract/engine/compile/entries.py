"""Entries, and the persistent sequence that snapshots share.

A snapshot must not change while the next one grows out of it. So entries are kept in chunks of a
fixed size: appending copies at most the last, unfilled chunk, replacing an entry copies one chunk,
and everything else is shared.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tract.engine.compile.pages import Page
from tract.engine.compile.provided import TOOLS
from tract.models.annotations import Priority
from tract.protocols import Message

__all__ = ["CHUNK_SIZE", "Chunk", "Entries", "Entry", "Growth", "bytes_of"]

CHUNK_SIZE = 64
_MOST_COPIED = 32_000  # characters of joined texts up to which a chunk keeps its page
_ENTRY_OVERHEAD = 600  # bytes of an entry's objects, without its texts
_TEXT_OVERHEAD = 49


class Entry(NamedTuple):
    """One APPEND or COMPACT commit with its current messages, config and priority.

    Most contents show a single message. `body_tokens` counts what it holds, `message_tokens` the
    whole message by itself; of several messages, both are the sum.
    """

    commit_hash: str
    message: Message
    body_tokens: int
    message_tokens: int
    config_json: str | None
    priority: Priority
    edited_by: str | None = None
    """The EDIT commit whose content the message shows, if there is one."""
    nbytes: int = 0
    """Its approximate memory use."""
    attachments: tuple[str, ...] = ()
    """The SHA-256 of what its content refers to."""
    more: tuple[Message, ...] = ()
    """The messages after the first, if there are several; then none of them joins others."""
    erased: bool = False
    """Whether its content was erased; the message is a placeholder then, as a rule not shown."""
    hidden_by: str | None = None
    """The COMPACT commit that hides it; its own if that has no summary to show, or was undone."""
    cleared: tuple[str, Entry] | None = None
    """The COMPACT commit that cleared its tool results, and the entry with them."""
    is_summary: bool = False
    """Whether a COMPACT commit made it."""
    undone: bool = False
    """Whether an EXPAND commit undid the compaction that made it."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages that it shows."""
        return (self.message, *self.more)

    @property
    def edited(self) -> bool:
        """Whether the message is that of an EDIT."""
        return self.edited_by is not None

    @property
    def source_hash(self) -> str:
        """The commit whose content the message shows."""
        return self.edited_by or self.commit_hash

    @property
    def visible(self) -> bool:
        """Whether the compiled context shows this entry."""
        return (
            self.priority is not Priority.SKIP
            and self.message.role is not TOOLS
            and not self.erased
            and self.hidden_by is None
        )

    @property
    def shown_tokens(self) -> int:
        """The tokens of its message by itself; 0 if the compiled context does not show it."""
        return self.message_tokens if self.visible else 0


def bytes_of(message: Message, config_json: str | None = None) -> int:
    """Return the approximate memory use of an entry with this message and config."""
    texts = [message.content, message.name, message.tool_call_id, message.tool_name, config_json]
    for call in message.tool_calls:
        texts += (call.id, call.name, call.arguments)
    if message.given is not None:  # its parts have texts of their own
        texts += (message.content, message.native.text if message.native else None)
    nbytes = _ENTRY_OVERHEAD
    for text in texts:
        if text is not None:
            nbytes += _size(text)
    return nbytes


def _size(text: str) -> int:
    """Return a text's approximate size; unlike that of `sys.getsizeof`, it never changes."""
    return _TEXT_OVERHEAD + len(text) * (1 if text.isascii() else 4)


class Growth:
    """What chunks that grow out of each other share: each is a beginning of the next.

    `size` is the number of entries in the longest of them, and `page` its page, once it was read.
    The shorter ones make their pages anew: joined texts are copies, and keeping them for each
    length would take many times the memory of the entries.
    """

    __slots__ = ("page", "size")

    def __init__(self, size: int) -> None:
        self.size: int = size
        self.page: tuple[tuple[Entry, ...], Page] | None = None
        """The page with the very entries that it shows: two threads may grow one chunk at once."""


class Chunk:
    """Up to `CHUNK_SIZE` entries; immutable."""

    def __init__(self, items: tuple[Entry, ...]) -> None:
        self.items: tuple[Entry, ...] = items
        self.growth: Growth = Growth(len(items))
        self.visible: bool = any(entry.visible for entry in items)
        self.nbytes: int = sum(entry.nbytes for entry in items)

    @cached_property
    def index(self) -> dict[str, int]:
        """Positions within the chunk by commit hash."""
        return {entry.commit_hash: position for position, entry in enumerate(self.items)}

    @cached_property
    def shown_tokens(self) -> int:
        """What its visible entries cost, each by itself."""
        return sum(entry.shown_tokens for entry in self.items)

    @cached_property
    def attachments(self) -> frozenset[str]:
        """What its visible entries refer to."""
        return frozenset(
            sha256 for entry in self.items if entry.visible for sha256 in entry.attachments
        )

    @property
    def page(self) -> Page:
        """The page of its visible entries."""
        kept = self.growth.page
        if kept is not None and kept[0] is self.items:
            return kept[1]
        page = Page.of(_shown(self.items))
        if self.growth.size == len(self.items):
            self._keep(page)
        return page

    def _keep(self, page: Page) -> None:
        """Keep the page, unless it holds many copied texts, which `nbytes` does not count."""
        self.growth.page = (self.items, page) if page.copied <= _MOST_COPIED else None

    def grown(self, entries: Sequence[Entry]) -> Chunk:
        """Return the chunk extended by *entries*."""
        if not entries:
            return self
        chunk = Chunk.__new__(Chunk)
        chunk.items = (*self.items, *entries)
        chunk.visible = self.visible or any(entry.visible for entry in entries)
        chunk.nbytes = self.nbytes + sum(entry.nbytes for entry in entries)
        alone = bool(self.items) and self.growth.size == len(self.items)  # or another has grown
        kept = self.growth.page
        chunk.growth = self.growth if alone else Growth(0)
        chunk.growth.size = len(chunk.items)
        if kept is not None and kept[0] is self.items:
            # if this chunk's page was asked for, the next one's most likely will be
            chunk._keep(kept[1].grown(_shown(entries)))
        return chunk

    def replaced(self, offset: int, entry: Entry) -> Chunk:
        """Return the chunk with *entry* in place of the one at *offset*."""
        return Chunk((*self.items[:offset], entry, *self.items[offset + 1 :]))


def _shown(entries: Iterable[Entry]) -> Iterator[Message]:
    for entry in entries:
        if entry.visible:
            yield entry.message
            yield from entry.more


_NOTHING = Chunk(())


@dataclass(frozen=True, slots=True)
class Entries:
    """An immutable sequence of entries: full chunks, then a tail shorter than one."""

    full: tuple[Chunk, ...] = ()
    last: Chunk = _NOTHING

    @property
    def tail(self) -> tuple[Entry, ...]:
        """The entries of the last chunk, which is not full."""
        return self.last.items

    @property
    def pages(self) -> list[Page]:
        """The pages of all chunks."""
        pages = [chunk.page for chunk in self.full]
        pages.append(self.last.page)
        return pages

    @classmethod
    def of(cls, entries: Sequence[Entry], former: Entries) -> Entries:
        """Return the sequence of *entries*, which shares chunks with *former* up to a difference."""
        full: list[Chunk] = []
        for start in range(0, len(entries) - len(entries) % CHUNK_SIZE, CHUNK_SIZE):
            items = tuple(entries[start : start + CHUNK_SIZE])
            there = former.full[len(full)] if len(full) < len(former.full) else None
            same = there is not None and all(map(operator.is_, there.items, items))
            full.append(there if there is not None and same else Chunk(items))
        return cls(tuple(full), Chunk(tuple(entries[len(full) * CHUNK_SIZE :])))

    def shown(self) -> Iterator[Entry]:
        """Yield the entries that the compiled context shows."""
        for chunk in (*self.full, self.last):
            if chunk.visible:
                yield from (entry for entry in chunk.items if entry.visible)

    def __len__(self) -> int:
        return len(self.full) * CHUNK_SIZE + len(self.tail)

    def __getitem__(self, position: int) -> Entry:
        chunk, offset = divmod(position, CHUNK_SIZE)
        return self.full[chunk].items[offset] if chunk < len(self.full) else self.tail[offset]

    def __iter__(self) -> Iterator[Entry]:
        for chunk in self.full:
            yield from chunk.items
        yield from self.tail

    def visible_before(self, position: int) -> int | None:
        """Return the last position before *position* whose entry is shown, or None."""
        number, offset = divmod(position - 1, CHUNK_SIZE)
        if number >= len(self.full):
            for found in range(offset, -1, -1):
                if self.tail[found].visible:
                    return number * CHUNK_SIZE + found
            number, offset = len(self.full) - 1, CHUNK_SIZE - 1
        full = self.full
        while number >= 0:  # a context of many hidden entries stays here for long
            if full[number].visible:
                for found in range(offset, -1, -1):
                    if full[number].items[found].visible:
                        return number * CHUNK_SIZE + found
            number, offset = number - 1, CHUNK_SIZE - 1
        return None

    def visible_after(self, position: int) -> int | None:
        """Return the first position after *position* whose entry is shown, or None."""
        position += 1
        while position < len(self):
            number, offset = divmod(position, CHUNK_SIZE)
            if self._shows(number):
                items = self._items(number)
                for found in range(offset, len(items)):
                    if items[found].visible:
                        return number * CHUNK_SIZE + found
            position = (number + 1) * CHUNK_SIZE
        return None

    def newest_visible(self) -> Entry | None:
        """Return the last entry that the compiled context shows."""
        tail = self.last.items
        if tail and tail[-1].visible:  # the usual case
            return tail[-1]
        position = self.visible_before(len(self))
        return None if position is None else self[position]

    @property
    def attachments(self) -> set[str]:
        """What the entries that the compiled context shows refer to."""
        return set(self.last.attachments).union(*(chunk.attachments for chunk in self.full))

    def _items(self, number: int) -> tuple[Entry, ...]:
        return self.full[number].items if number < len(self.full) else self.tail

    def _shows(self, number: int) -> bool:
        return (self.full[number] if number < len(self.full) else self.last).visible

    def find(self, commit_hash: str) -> int | None:
        """Return the position of an entry, or None; new entries are searched first."""
        for offset in range(len(self.tail) - 1, -1, -1):
            if self.tail[offset].commit_hash == commit_hash:
                return len(self.full) * CHUNK_SIZE + offset
        for number in range(len(self.full) - 1, -1, -1):
            found = self.full[number].index.get(commit_hash)
            if found is not None:
                return number * CHUNK_SIZE + found
        return None

    def apart(self) -> Entries:
        """Return the sequence with a fresh last chunk, which no other has grown out of."""
        return Entries(self.full, Chunk(self.last.items))

    def extended(self, entries: Sequence[Entry]) -> Entries:
        """Return the sequence with *entries* at its end."""
        size = len(self.tail) + len(entries)
        if size <= CHUNK_SIZE:
            grown = self.last.grown(entries)
            return Entries(self.full, grown) if size < CHUNK_SIZE else Entries((*self.full, grown))
        tail = (*self.tail, *entries)
        whole = size - size % CHUNK_SIZE
        filled = [Chunk(tail[start : start + CHUNK_SIZE]) for start in range(0, whole, CHUNK_SIZE)]
        return Entries((*self.full, *filled), Chunk(tail[whole:]))

    def replaced(self, position: int, entry: Entry) -> Entries:
        """Return the sequence with *entry* in place of the one at *position*."""
        number, offset = divmod(position, CHUNK_SIZE)
        if number == len(self.full):
            return Entries(self.full, self.last.replaced(offset, entry))
        chunk = self.full[number].replaced(offset, entry)
        return Entries((*self.full[:number], chunk, *self.full[number + 1 :]), self.last)
