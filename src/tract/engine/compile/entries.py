"""Entries, and the persistent sequence that snapshots share.

A snapshot must not change while the next one grows out of it. So entries are kept in chunks:
appending copies at most the last, unfilled chunk, replacing an entry copies one chunk, and everything
else is shared. A chunk that a compaction hides as a whole keeps the chunk that it was, so that hiding
and showing many entries takes a step for each chunk, not for each entry.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar, cast

from tract.engine.compile.pages import Page
from tract.engine.contents.provided import TOOLS
from tract.models.annotations import Priority
from tract.protocols import Message

__all__ = [
    "CHUNK_SIZE",
    "ENTRY_OVERHEAD",
    "Chunk",
    "Chunks",
    "Entries",
    "Entry",
    "Growth",
    "HiddenChunk",
    "bytes_of",
    "size_of",
]

T = TypeVar("T")

CHUNK_SIZE = 64
_MOST_COPIED = 32_000  # characters of joined texts up to which a chunk keeps its page
ENTRY_OVERHEAD = 600  # bytes of an entry's objects, without its texts
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
    nbytes = ENTRY_OVERHEAD
    # One by one: a list of them takes twice as long, for each entry of a history.
    if message.content is not None:
        nbytes += size_of(message.content)
    if message.name is not None:
        nbytes += size_of(message.name)
    if config_json is not None:
        nbytes += size_of(config_json)
    if message.tool_call_id is not None:
        nbytes += size_of(message.tool_call_id)
    if message.tool_name is not None:
        nbytes += size_of(message.tool_name)
    for call in message.tool_calls:
        nbytes += size_of(call.name) + size_of(call.arguments) + size_of(call.id or "")
    if message.given is not None:  # its parts have texts of their own
        texts = (message.content, message.native.text if message.native else None)
        nbytes += sum(size_of(text) for text in texts if text is not None)
    return nbytes


def size_of(text: str) -> int:
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
    """Up to `CHUNK_SIZE` entries, or some more with summaries among them; immutable."""

    def __init__(self, items: tuple[Entry, ...]) -> None:
        self.items: tuple[Entry, ...] = items
        self.size: int = len(items)
        self.growth: Growth = Growth(len(items))
        self.visible: bool = any(entry.visible for entry in items)
        self.nbytes: int = sum(entry.nbytes for entry in items)

    @cached_property
    def index(self) -> dict[str, int]:
        """Positions within the chunk by commit hash."""
        return {entry.commit_hash: position for position, entry in enumerate(self.items)}

    @cached_property
    def shown(self) -> tuple[Entry, ...]:
        """Its visible entries."""
        return tuple(entry for entry in self.items if entry.visible) if self.visible else ()

    @cached_property
    def shown_tokens(self) -> int:
        """What its visible entries cost, each by itself."""
        return sum(entry.message_tokens for entry in self.shown)

    @cached_property
    def compactions(self) -> frozenset[str]:
        """The compactions that hid or cleared entries of it, or have their summary in it."""
        found = {entry.hidden_by for entry in self.items}
        found.update(entry.cleared[0] for entry in self.items if entry.cleared)
        found.update(entry.commit_hash for entry in self.items if entry.is_summary)
        return frozenset(each for each in found if each is not None)

    @cached_property
    def _derived(self) -> dict[Callable[..., Any], Any]:
        return {}

    def derived(self, make: Callable[..., T], *arguments: object) -> T:
        """Return *make* of the entries shown, called once for as long as the chunk is kept.

        The *arguments* have to be the same for all chunks of a store.
        """
        if make not in self._derived:
            self._derived[make] = make(self.shown, *arguments)
        return cast(T, self._derived[make])

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
        chunk.size = len(chunk.items)
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


class HiddenChunk(Chunk):
    """A chunk of which one compaction hides every entry; `former` is the chunk before that."""

    def __init__(self, former: Chunk, by: str) -> None:
        self.former: Chunk = former
        self.by: str = by
        self.size: int = former.size
        self.growth: Growth = former.growth  # its memory is counted with that of the former
        self.visible: bool = False
        self.nbytes: int = former.nbytes

    @cached_property
    def items(self) -> tuple[Entry, ...]:  # type: ignore[override]  # made once somebody looks inside
        """The entries; most compactions are never looked into again."""
        return tuple(entry._replace(hidden_by=self.by) for entry in self.former.items)

    @property
    def index(self) -> dict[str, int]:
        return self.former.index

    @cached_property
    def compactions(self) -> frozenset[str]:
        return self.former.compactions | {self.by}

    @property
    def page(self) -> Page:
        return _NOTHING.page


def _shown(entries: Iterable[Entry]) -> Iterator[Message]:
    for entry in entries:
        if entry.visible:
            yield entry.message
            yield from entry.more


_NOTHING = Chunk(())


class Chunks(tuple[Chunk, ...]):
    """The chunks of a sequence but for its last, and where they are."""

    @cached_property
    def starts(self) -> list[int]:
        """The position of each chunk's first entry, and of the first behind all."""
        return [*accumulate((chunk.size for chunk in self), initial=0)]

    @cached_property
    def shown(self) -> list[int]:
        """The numbers of the chunks that have visible entries."""
        return [number for number, chunk in enumerate(self) if chunk.visible]


_NO_CHUNKS = Chunks()


@dataclass(frozen=True, slots=True)
class Entries:
    """An immutable sequence of entries: chunks, then a last one of fewer than `CHUNK_SIZE`."""

    full: Chunks = _NO_CHUNKS
    last: Chunk = _NOTHING

    @property
    def tail(self) -> tuple[Entry, ...]:
        """The entries of the last chunk, which is not full."""
        return self.last.items

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks."""
        return (*self.full, self.last)

    @property
    def shown_chunks(self) -> list[Chunk]:
        """The chunks that have visible entries, and the last one."""
        return [*(self.full[number] for number in self.full.shown), self.last]

    @property
    def pages(self) -> list[Page]:
        """The pages of the chunks that have visible entries, and of the last one."""
        full = self.full
        return [*[full[number].page for number in full.shown], self.last.page]

    @classmethod
    def of(cls, chunks: Iterable[Chunk]) -> Entries:
        """Return the sequence of what *chunks* hold, in which large ones are divided."""
        full: list[Chunk] = []
        for chunk in chunks:
            if chunk.size > 2 * CHUNK_SIZE:
                full += map(Chunk, (chunk.items[:CHUNK_SIZE], chunk.items[CHUNK_SIZE:]))
            elif chunk.size:
                full.append(chunk)
        last = full.pop() if full and full[-1].size < CHUNK_SIZE else _NOTHING
        return cls(Chunks(full), last)

    def shown(self) -> Iterator[Entry]:
        """Yield the entries that the compiled context shows."""
        for chunk in self.shown_chunks:
            yield from chunk.shown

    def __len__(self) -> int:
        return self.full.starts[-1] + self.last.size

    def __getitem__(self, position: int) -> Entry:
        behind = position - self.full.starts[-1]
        if behind >= 0:  # the usual case: what was added last is looked at most
            return self.last.items[behind]
        number, offset = self._place(position if position >= 0 else position + len(self))
        return self._chunk(number).items[offset]

    def __iter__(self) -> Iterator[Entry]:
        for chunk in self.chunks:
            yield from chunk.items

    def visible_before(self, position: int) -> int | None:
        """Return the last position before *position* whose entry is shown, or None."""
        newest = position - 1 - self.full.starts[-1]
        if newest >= 0 and self.last.items[newest].visible:
            return position - 1
        number, offset = self._place(position - 1)
        while number >= 0:
            chunk = self._chunk(number)
            items = chunk.items if chunk.visible else ()
            for found in range(min(offset, len(items) - 1), -1, -1):
                if items[found].visible:
                    return self.full.starts[number] + found
            before = bisect_left(self.full.shown, number) - 1
            number, offset = self.full.shown[before] if before >= 0 else -1, position
        return None

    def visible_after(self, position: int) -> int | None:
        """Return the first position after *position* whose entry is shown, or None."""
        if position + 1 >= len(self):
            return None
        number, offset = self._place(position + 1)
        while number <= len(self.full):
            chunk = self._chunk(number)
            items = chunk.items if chunk.visible else ()
            for found in range(offset, len(items)):
                if items[found].visible:
                    return self.full.starts[number] + found
            if number == len(self.full):
                break
            after = bisect_right(self.full.shown, number)
            number, offset = (*self.full.shown[after : after + 1], len(self.full))[0], 0
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
        return set[str]().union(*(chunk.attachments for chunk in self.shown_chunks))

    def _place(self, position: int) -> tuple[int, int]:
        """Return the number of the chunk that an entry is in, and its offset there."""
        starts = self.full.starts
        number = bisect_right(starts, position) - 1
        return number, position - starts[number]

    def _chunk(self, number: int) -> Chunk:
        return self.full[number] if number < len(self.full) else self.last

    def find(self, commit_hash: str) -> int | None:
        """Return the position of an entry, or None; new entries are searched first."""
        for offset in range(len(self.tail) - 1, -1, -1):
            if self.tail[offset].commit_hash == commit_hash:
                return self.full.starts[-1] + offset
        for number in range(len(self.full) - 1, -1, -1):
            found = self.full[number].index.get(commit_hash)
            if found is not None:
                return self.full.starts[number] + found
        return None

    def apart(self) -> Entries:
        """Return the sequence with a fresh last chunk, which no other has grown out of."""
        return Entries(self.full, Chunk(self.last.items))

    def extended(self, entries: Sequence[Entry]) -> Entries:
        """Return the sequence with *entries* at its end."""
        size = len(self.tail) + len(entries)
        if size < CHUNK_SIZE:
            return Entries(self.full, self.last.grown(entries))
        if size == CHUNK_SIZE:
            return Entries(Chunks((*self.full, self.last.grown(entries))))
        tail = (*self.tail, *entries)
        whole = size - size % CHUNK_SIZE
        filled = [Chunk(tail[start : start + CHUNK_SIZE]) for start in range(0, whole, CHUNK_SIZE)]
        return Entries(Chunks((*self.full, *filled)), Chunk(tail[whole:]))

    def extended_by(self, chunks: Sequence[Chunk]) -> Entries:
        """Return the sequence with full *chunks* at its end; its last chunk must be empty."""
        assert not self.last.size
        return Entries(Chunks((*self.full, *chunks)))

    def replaced(self, position: int, entry: Entry) -> Entries:
        """Return the sequence with *entry* in place of the one at *position*."""
        number, offset = self._place(position)
        changed = self._chunk(number).replaced(offset, entry)
        if number == len(self.full):
            return Entries(self.full, changed)
        return Entries(Chunks((*self.full[:number], changed, *self.full[number + 1 :])), self.last)
