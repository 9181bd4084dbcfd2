"""What compactions hide, and showing it again. Plain values, no I/O.

An entry that a compaction hides stays in the snapshot, with the commit that hides it, so edits and
annotations reach it, and undoing the compaction shows it as it is then. The summary is an entry, too,
in the place of the first that its compaction hid, and may be hidden by the next one. A compaction
that hides nothing that was shown, or that was undone, has a summary that hides itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tract.engine.compile.entries import CHUNK_SIZE, Chunk, Entries, Entry, HiddenChunk

__all__ = ["Hides", "hidden", "hides_of", "restored"]

Clear = Callable[[Entry, str], Entry]
"""Returns an entry whose tool results are a placeholder."""


class Hides(NamedTuple):
    """The entries that a COMPACT commit hides and clears."""

    hides: frozenset[str]
    clears: frozenset[str]
    placeholder: str
    has_summary: bool

    def leaves(self, chunk: Chunk) -> bool:
        """Return True if a chunk has none of the entries, or hides all that it has already."""
        if isinstance(chunk, HiddenChunk):
            return True
        return self.hides.isdisjoint(chunk.index) and self.clears.isdisjoint(chunk.index)

    def hides_all_of(self, chunk: Chunk) -> bool:
        """Return True if a whole chunk is hidden, of which nothing is hidden yet."""
        return (
            chunk.size >= CHUNK_SIZE
            and self.hides.issuperset(chunk.index)
            and not any(entry.hidden_by for entry in chunk.items)
        )


def hides_of(fields: Mapping[str, Any]) -> Hides:
    """Return what the content of a COMPACT commit, or what stands for an erased one, hides."""
    fields = fields.get("compaction", fields)
    return Hides(
        frozenset(fields.get("hides", ())),
        frozenset(fields.get("clears", ())),
        fields.get("placeholder", ""),
        fields.get("summary") is not None,
    )


def hidden(entries: Entries, summary: Entry, what: Hides, clear: Clear) -> Entries:
    """Return *entries* after a compaction; *summary* is its own entry."""
    by, after, is_placed = summary.commit_hash, list[Chunk](), not what.has_summary
    for chunk in entries.chunks:
        if what.leaves(chunk):
            after.append(chunk)
        elif is_placed and what.hides_all_of(chunk):
            after.append(HiddenChunk(chunk, by))
        else:
            items = [_hidden(entry, by, what, clear) for entry in chunk.items]
            place = None if is_placed else _first(items, by)
            if place is not None:
                items.insert(place, summary)
                is_placed = True
            after.append(Chunk(tuple(items)))
    if is_placed and what.has_summary:
        return Entries.of(after)
    return Entries.of(after).extended([summary._replace(hidden_by=by)])


def _hidden(entry: Entry, by: str, what: Hides, clear: Clear) -> Entry:
    if entry.hidden_by is not None:
        return entry
    if entry.commit_hash in what.hides:
        return entry._replace(hidden_by=by)
    if entry.commit_hash in what.clears and not entry.cleared:
        return clear(entry, what.placeholder)._replace(cleared=(by, entry))
    return entry


def _first(entries: Sequence[Entry], by: str) -> int | None:
    """Return the offset of the first entry that a compaction hides."""
    return next((at for at, entry in enumerate(entries) if entry.hidden_by == by), None)


def restored(entries: Entries, compaction: str) -> Entries:
    """Return *entries* without what a compaction did.

    If its summary is hidden by a later one, that hides now what it hid.
    """
    position = entries.find(compaction)
    outer = None if position is None else entries[position].hidden_by
    by = None if outer == compaction else outer
    return Entries.of(_restored_in(chunk, compaction, by) for chunk in entries.chunks)


def _restored_in(chunk: Chunk, compaction: str, by: str | None) -> Chunk:
    if compaction not in chunk.compactions:
        return chunk
    if isinstance(chunk, HiddenChunk) and chunk.by == compaction:
        return chunk.former if by is None else HiddenChunk(chunk.former, by)
    return Chunk(tuple(_restored(entry, compaction, by) for entry in chunk.items))


def _restored(entry: Entry, compaction: str, by: str | None) -> Entry:
    if entry.commit_hash == compaction:
        return entry._replace(hidden_by=compaction, undone=True)
    if entry.hidden_by == compaction:
        return entry._replace(hidden_by=by)
    if entry.cleared and entry.cleared[0] == compaction:
        whole = entry.cleared[1]
        return whole._replace(
            priority=entry.priority, hidden_by=entry.hidden_by, undone=entry.undone
        )
    return entry
