"""What a compaction was checked against, and what must still hold when it is written. Plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

from tract.engine.compaction.groups import only_thinks
from tract.engine.compile.entries import Entries, Entry, HiddenChunk
from tract.engine.compile.fold import Snapshot
from tract.formats.pairing import matched
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import Basis

__all__ = ["Checked", "Look", "basis_of", "checked", "entry_state"]

entry_state: Callable[[Entry], tuple[Any, ...]] = attrgetter(
    "edited_by", "config_json", "priority", "erased", "hidden_by", "cleared"
)
"""What a compaction relies on of an entry that it hides or clears."""


class Look(NamedTuple):
    """What a branch shows, and the erasures of its tract by then."""

    snapshot: Snapshot
    erasures: int


class Checked(NamedTuple):
    """What has to hold when a compaction is written."""

    basis: Basis
    expected_head: str | UnsetType | None


def checked(look: Look, covered: Sequence[Entry], *, hides: bool) -> Checked | None:
    """Return on what a compaction may be written; None if it may not at all.

    A call that is committed behind a result may be answered by that, if it stands alone. Then the
    compaction is only right on the very head that was looked at.
    """
    entries = look.snapshot.entries
    named = {each.commit_hash for each in covered}
    if _have_changed(entries, covered) or (hides and _parts(entries, named)):
        return None
    messages = [message for entry in covered for message in entry.messages]
    alone = hides and any(each.call is None for each in matched(messages).results)
    expected = look.snapshot.head_hash if alone else UNSET
    touched = _partners(entries, named) if hides else named
    return Checked(basis_of(look, touched)._replace(any_edit=hides), expected)


def _have_changed(entries: Entries, covered: Sequence[Entry]) -> bool:
    now = {entry.commit_hash: entry for entry in entries.shown()}
    return any(
        (found := now.get(each.commit_hash)) is None
        or (found is not each and entry_state(found) != entry_state(each))
        for each in covered
    )


def _parts(entries: Entries, named: set[str]) -> bool:
    """Return True if what is *named* has a call without its result, or the other way round.

    What else stands between the two does not matter here: otherwise a late result would have
    everything said in the meantime summarised again. The same holds for thinking and what it leads to.
    """
    shown = [*entries.shown()]
    is_in = [entry.commit_hash in named for entry in shown for _ in entry.messages]
    calls = matched([message for entry in shown for message in entry.messages]).calls
    return any(
        (is_in[call.at] and call.result is None)
        or (call.result is not None and is_in[call.at] != is_in[call.result.at])
        for call in calls
    ) or any(
        only_thinks(one) and (one.commit_hash in named) != (other.commit_hash in named)
        for one, other in pairwise(shown)
    )


def _partners(entries: Entries, named: set[str]) -> set[str]:
    """Return the entries that are *named*, and the others with calls, results or thinking.

    If one of those is skipped, or shown again, calls and results may belong together otherwise.
    """
    return named.union(
        entry.commit_hash
        for chunk in entries.chunks
        if not isinstance(chunk, HiddenChunk)
        for entry in chunk.items
        if entry.message.role == "tool"
        or any(message.given or message.tool_calls for message in entry.messages)
    )


def basis_of(look: Look, touched: Set[str] = frozenset()) -> Basis:
    """Return what a commit relies on that hides or clears *touched*, or shows what was hidden."""
    head = look.snapshot.head_hash
    assert head is not None  # there is something to hide, or to show again
    return Basis(head, touched=touched, erasures=look.erasures)
