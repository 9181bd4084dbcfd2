"""Differences between two snapshots, entry by entry. Plain values, no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tract.engine.compile.entries import Entry
from tract.engine.compile.fold import Snapshot
from tract.history.canonical import stored_json
from tract.models.annotations import Priority
from tract.models.refs import ContextDiff, EntryChange, EntryDiff
from tract.protocols import Message

__all__ = ["context_diff"]

_OF_COMPACTIONS = {EntryChange.COMPACTED, EntryChange.EXPANDED}
_Half = tuple[Message | None, Priority | None, dict[str, Any] | None, int | None]


def context_diff(before: Snapshot, after: Snapshot, *, token_difference: int) -> ContextDiff:
    """Return the difference between two contexts; see `ContextDiff` for the order of entries.

    Args:
        before: the first.
        after: the second.
        token_difference: by how many tokens the second is longer; snapshots do not know this.
    """
    found = [
        (old, new, changes) for old, new in _pairs(before, after) if (changes := _changes(old, new))
    ]
    is_compaction = any({*changes} & _OF_COMPACTIONS for _, _, changes in found)
    hides = _hidden(before, after) if is_compaction else {}
    entries = [
        _entry_diff(old, new, changes, hides if {*changes} & _OF_COMPACTIONS else {})
        for old, new, changes in found
    ]
    return ContextDiff(entries=tuple(entries), token_difference=token_difference)


def _pairs(before: Snapshot, after: Snapshot) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Yield each entry as it was and as it is, None where one of the snapshots lacks it."""
    kept = {entry.commit_hash for entry in after.entries}
    known: dict[str, Entry] = {}
    removed: dict[str | None, list[Entry]] = {}  # by the last entry before that is still there
    last: str | None = None
    for entry in before.entries:
        if entry.commit_hash in kept:
            last = entry.commit_hash
            known[last] = entry
        else:
            removed.setdefault(last, []).append(entry)
    yield from ((entry, None) for entry in removed.get(None, ()))
    for entry in after.entries:
        yield known.get(entry.commit_hash), entry
        yield from ((gone, None) for gone in removed.get(entry.commit_hash, ()))


def _changes(old: Entry | None, new: Entry | None) -> tuple[EntryChange, ...]:
    if old is new:  # snapshots of one history share most of their entries
        return ()
    was, is_now = _is_in_force(old), _is_in_force(new)
    compaction = {
        EntryChange.COMPACTED: is_now and not was,
        EntryChange.EXPANDED: was and not is_now,
    }
    if old is None or new is None:
        only = EntryChange.ADDED if old is None else EntryChange.REMOVED
        return (only, *(change for change, there in compaction.items() if there))
    found = {
        EntryChange.EDITED: old.messages != new.messages,
        EntryChange.REPRIORITISED: old.priority is not new.priority,
        EntryChange.CONFIG_CHANGED: (old.config_json or "{}") != (new.config_json or "{}"),
    }
    found |= compaction
    return tuple(change for change, there in found.items() if there)


def _is_in_force(entry: Entry | None) -> bool:
    return entry is not None and entry.is_summary and not entry.undone


def _hidden(before: Snapshot, after: Snapshot) -> Mapping[str, tuple[str, ...]]:
    """Return the entries that each compaction hides, in whichever context it is in force."""
    found: dict[str, tuple[str, ...]] = {}
    for snapshot in (before, after):
        here = defaultdict[str, list[str]](list)
        for entry in snapshot.entries:
            if entry.hidden_by not in (None, entry.commit_hash):
                here[str(entry.hidden_by)].append(entry.commit_hash)
        found.update({by: tuple(some) for by, some in here.items()})
    return found


def _entry_diff(
    old: Entry | None,
    new: Entry | None,
    changes: tuple[EntryChange, ...],
    hides: Mapping[str, tuple[str, ...]],
) -> EntryDiff:
    either = old or new
    assert either is not None
    message_before, priority_before, config_before, tokens_before = _half(old)
    message_after, priority_after, config_after, tokens_after = _half(new)
    return EntryDiff(
        commit_hash=either.commit_hash,
        changes=changes,
        message_before=message_before,
        message_after=message_after,
        priority_before=priority_before,
        priority_after=priority_after,
        config_before=config_before,
        config_after=config_after,
        tokens_before=tokens_before,
        tokens_after=tokens_after,
        hides=hides.get(either.commit_hash, ()),
    )


def _half(entry: Entry | None) -> _Half:
    if entry is None:
        return None, None, None, None
    config = stored_json(entry.config_json or "{}", "a generation config")
    return entry.message, entry.priority, config, entry.shown_tokens
