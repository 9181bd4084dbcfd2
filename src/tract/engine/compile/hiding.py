"""What compactions hide, and showing it again. Plain values, no I/O.

An entry that a compaction hides stays in the snapshot, with the commit that hides it, so edits and
annotations reach it, and undoing the compaction shows it as it is then. The summary is an entry, too,
in the place of the first that its compaction hid, and may be hidden by the next one. A compaction
that hides nothing that was shown, or that was undone, has a summary that hides itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from tract.engine.compile.entries import Entry

__all__ = ["Hides", "hidden", "hides_of", "restored"]

Clear = Callable[[Entry, str], Entry]
"""Returns an entry whose tool results are a placeholder."""


class Hides(NamedTuple):
    """The entries that a COMPACT commit hides and clears."""

    hides: frozenset[str]
    clears: frozenset[str]
    placeholder: str
    has_summary: bool


def hides_of(fields: Mapping[str, Any]) -> Hides:
    """Return what the content of a COMPACT commit, or what stands for an erased one, hides."""
    fields = fields.get("compaction", fields)
    return Hides(
        frozenset(fields.get("hides", ())),
        frozenset(fields.get("clears", ())),
        fields.get("placeholder", ""),
        fields.get("summary") is not None,
    )


def hidden(entries: Iterable[Entry], summary: Entry, what: Hides, clear: Clear) -> list[Entry]:
    """Return *entries* after a compaction; *summary* is its own entry."""
    by, after, place = summary.commit_hash, list[Entry](), None
    for entry in entries:
        if entry.commit_hash in what.hides and entry.hidden_by is None:
            place = len(after) if place is None else place
            entry = entry._replace(hidden_by=by)
        elif entry.commit_hash in what.clears and entry.hidden_by is None and not entry.cleared:
            entry = clear(entry, what.placeholder)._replace(cleared=(by, entry))
        after.append(entry)
    if place is None or not what.has_summary:
        summary = summary._replace(hidden_by=by)
    after.insert(len(after) if place is None else place, summary)
    return after


def restored(entries: Iterable[Entry], compaction: str) -> list[Entry]:
    """Return *entries* without what a compaction did.

    If its summary is hidden by a later one, that hides now what it hid.
    """
    former = [*entries]
    outer = next((each.hidden_by for each in former if each.commit_hash == compaction), None)
    by = None if outer == compaction else outer
    return [_restored(entry, compaction, by) for entry in former]


def _restored(entry: Entry, compaction: str, by: str | None) -> Entry:
    if entry.commit_hash == compaction:
        return entry._replace(hidden_by=compaction, undone=True)
    if entry.hidden_by == compaction:
        return entry._replace(hidden_by=by)
    if entry.cleared and entry.cleared[0] == compaction:
        whole = entry.cleared[1]
        return whole._replace(priority=entry.priority, hidden_by=entry.hidden_by)
    return entry
