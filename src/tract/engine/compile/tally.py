"""Token sums of contexts. Plain values, no I/O.

They are kept exact while entries are added and changed. The count of a message list is a sum over
its messages. The texts of a joined message cannot be counted separately, because a token may span
the blank line between them. But where a counter knows that a text `joins_cleanly`, no token does.
Such places cut a message into stretches, and a change only recounts those that it touches, however
long the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tract.engine.compile.entries import Chunk, Entries, Entry
from tract.engine.compile.pages import JOINT, joins
from tract.engine.threads import Breath
from tract.engine.tokens.counters import BaseTokenCounter

__all__ = [
    "BriefCounter",
    "TooLongError",
    "Window",
    "joined_tokens",
    "tokens_of",
    "window_around",
]

_BRIEF = 16_000  # characters, about a millisecond of work


class TooLongError(Exception):
    """There is too much text to count on the event loop."""


class BriefCounter(BaseTokenCounter):
    """A counter that raises a `TooLongError` once it was given too much text."""

    def __init__(self, counter: BaseTokenCounter) -> None:
        self._counter = counter
        self._room = _BRIEF

    @property
    def source(self) -> str:
        return self._counter.source

    def count_text(self, text: str) -> int:
        self._room -= len(text)
        if self._room < 0:
            raise TooLongError
        return self._counter.count_text(text)

    def joins_cleanly(self, text: str) -> bool:
        return self._counter.joins_cleanly(text)


class Window:
    """Neighbouring visible entries that are counted together, and the entries beside them."""

    __slots__ = ("after", "before", "first", "last")

    def __init__(self, first: int, last: int, before: Entry | None, after: Entry | None) -> None:
        self.first: int = first
        self.last: int = last
        self.before: Entry | None = before
        self.after: Entry | None = after

    def entries(self, entries: Entries) -> list[Entry]:
        """Return the visible entries of the window."""
        shown: list[Entry] = []
        position = entries.visible_after(self.first - 1)
        while position is not None and position <= self.last:
            shown.append(entries[position])
            position = entries.visible_after(position)
        return shown


def window_around(entries: Entries, position: int, counter: BaseTokenCounter) -> Window:
    """Return the window whose count may change when the entry at *position* does.

    It reaches from the start of the previous visible entry's stretch to the end of the next visible
    entry's stretch, and is the same before and after the change.
    """
    first, last = position, position
    found = entries.visible_before(position)
    if found is not None:
        first = found
        before = entries.visible_before(first)
        while before is not None and _continues_stretch(entries[before], entries[first], counter):
            first, before = before, entries.visible_before(before)
    found = entries.visible_after(position)
    if found is not None:
        last = found
        after = entries.visible_after(last)
        while after is not None and _continues_stretch(entries[last], entries[after], counter):
            last, after = after, entries.visible_after(after)
    return Window(
        first,
        last,
        _entry(entries, entries.visible_before(first)),
        _entry(entries, entries.visible_after(last)),
    )


def tokens_of(
    shown: Sequence[Entry], before: Entry | None, after: Entry | None, counter: BaseTokenCounter
) -> int:
    """Return what visible entries add to the joined context between *before* and *after*.

    The first must start a stretch, or a message.
    """
    total = 0
    stretch: list[str] = []
    for index, entry in enumerate(shown):
        previous = shown[index - 1] if index else before
        following = shown[index + 1] if index + 1 < len(shown) else after
        if previous is None or not joins(previous.message, entry.message):
            total += entry.message_tokens - entry.body_tokens
        if entry.message.content is None:
            total += entry.body_tokens
            continue
        stretch.append(entry.message.content)
        if following is None or not _continues_stretch(entry, following, counter):
            followed = following is not None and _texts_join(entry, following)
            alone = len(stretch) == 1 and not followed
            total += (
                entry.body_tokens
                if alone
                else counter.count_text(JOINT.join(stretch) + (JOINT if followed else ""))
            )
            stretch = []
    return total


class _Ends(NamedTuple):
    """The first and the last joined message that a chunk shows, and what those between cost.

    Neighbouring chunks may join the two. If there is only one, it is both.
    """

    first: Sequence[Entry]
    last: Sequence[Entry]
    tokens: int

    @property
    def is_one(self) -> bool:
        return self.first is self.last


def _ends(shown: Sequence[Entry], counter: BaseTokenCounter) -> _Ends:
    """Return the ends of the entries that a chunk shows, with the tokens of what is between."""
    starts = [
        at
        for at, entry in enumerate(shown)
        if not at or not joins(shown[at - 1].message, entry.message)
    ]
    if len(starts) < 2:
        return _Ends(shown, shown, 0)
    between = tokens_of(shown[starts[1] : starts[-1]], None, None, counter)
    return _Ends(shown[: starts[1]], shown[starts[-1] :], between)


def joined_tokens(chunks: Iterable[Chunk], counter: BaseTokenCounter) -> int:
    """Return the tokens of a joined context, from what each chunk is known to add to it."""
    total = 0
    last: list[Entry] = []  # of the message that the next chunk may join
    breath = Breath()
    for chunk in chunks:
        breath.take()
        first, end, between = ends = chunk.derived(_ends, counter)
        if last and first and not joins(last[-1].message, first[0].message):
            total += tokens_of(last, None, None, counter)
            last = []
        last += first
        if not ends.is_one:
            total += tokens_of(last, None, None, counter) + between
            last = [*end]
    return total + tokens_of(last, None, None, counter)


def _texts_join(before: Entry, after: Entry) -> bool:
    return not after.message.tool_calls and joins(before.message, after.message)


def _continues_stretch(before: Entry, after: Entry, counter: BaseTokenCounter) -> bool:
    """Return True if a token may span the blank line between two neighbours."""
    return _texts_join(before, after) and not counter.joins_cleanly(after.message.content or "")


def _entry(entries: Entries, position: int | None) -> Entry | None:
    return None if position is None else entries[position]
