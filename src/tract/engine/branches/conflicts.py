"""What holds for the entries that both sides of a merge share, and where only a caller can tell.

Plain values, no I/O. Each shared entry is compared as a three-way merge compares a line: with
what it had where the sides parted. A merge folds the other side's commits behind ours, so that its
edits win by coming last, even one that the other side itself has given up since: it merged us
before, say, and took our edit. So what a merge should show and what the fold shows may differ
with no conflict; `unmet` finds where, and the merge then states it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from operator import attrgetter
from typing import Literal, NamedTuple

from tract.engine.compile.entries import Entries, Entry
from tract.engine.compile.fold import Snapshot
from tract.models.refs import ConflictKind

__all__ = ["EntryConflict", "Outcome", "Settlement", "Side", "SideChanges", "settle", "unmet"]

Side = Literal["ours", "theirs", "base"]


class SideChanges(NamedTuple):
    """What a side's own commits, those that the other lacks, did to entries, named by their hash.

    `goes_on` tells that the merge base is among the side's first parents. Elsewhere commits come in
    another order than in the base, so that entries may differ which none of its own changed.
    """

    edited: Set[str] = frozenset()
    annotated: Set[str] = frozenset()
    goes_on: bool = True

    @property
    def all(self) -> Set[str]:
        """The entries that were changed in any way."""
        return self.edited | self.annotated

    def of(self, kind: ConflictKind) -> Set[str]:
        """Return the entries that were changed in that way."""
        return self.edited if kind is ConflictKind.CONTENT else self.annotated


class Outcome(NamedTuple):
    """What a merge has to show of an entry: the content and config, or the priority, of `entry`."""

    kind: ConflictKind
    entry: Entry


class EntryConflict(NamedTuple):
    """An entry that both sides changed; `base` is None where there is no single one.

    The content to show for each is that of the commit `Entry.source_hash`.
    """

    kind: ConflictKind
    base: Entry | None
    ours: Entry
    theirs: Entry

    @property
    def target_hash(self) -> str:
        """The entry, named by the APPEND commit that made it."""
        return self.ours.commit_hash

    def entry(self, side: Side) -> Entry | None:
        """Return the entry as a side has it."""
        return {"ours": self.ours, "theirs": self.theirs, "base": self.base}[side]


class Settlement(NamedTuple):
    """What is to be decided, and what holds for the other entries that a side has changed."""

    conflicts: tuple[EntryConflict, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


def settle(
    bases: Sequence[Snapshot],
    ours: Snapshot,
    theirs: Snapshot,
    our_changes: SideChanges,
    their_changes: SideChanges,
) -> Settlement:
    """Compare the entries that both sides share, in the order of ours, content before priority.

    A conflict is an entry that both sides changed, so that it now differs from the base on each
    side and between them. What one side alone changed, or both alike, holds, whether by a commit or
    by what a merge of its own decided. A config goes with the content that it was set on; where the
    contents are the same, theirs holds if theirs is new. Bases that differ, after merges that
    crossed, tell nothing: there a side has changed what its own commits changed, and where neither
    has, each has chosen otherwise in a merge, which is a conflict too.

    Args:
        bases: snapshots of the merge bases; none where the histories share nothing.
        ours: the snapshot of our head.
        theirs: that of the head to be merged.
        our_changes: what the commits did that only ours has.
        their_changes: what those did that only theirs has.
    """
    if not bases:
        return Settlement()
    in_order = len(bases) == 1 and our_changes.goes_on and their_changes.goes_on
    pairs = _pairs(ours.entries, theirs.entries, our_changes, their_changes, in_order=in_order)
    conflicts: list[EntryConflict] = []
    outcomes: list[Outcome] = []
    for kind in ConflictKind:
        by_us, by_them = our_changes.of(kind), their_changes.of(kind)
        for shared in _changed(kind, bases, pairs, by_us | by_them):
            found = _compared(kind, shared, by_us, by_them)
            if isinstance(found, EntryConflict):
                conflicts.append(found)
            else:
                outcomes.append(found)
    place = {entry.commit_hash: at for at, (entry, _) in enumerate(pairs)}
    conflicts.sort(key=lambda conflict: place[conflict.target_hash])
    outcomes.sort(key=lambda outcome: place[outcome.entry.commit_hash])
    return Settlement(tuple(conflicts), tuple(outcomes))


def unmet(merged: Snapshot, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return those of *outcomes* that *merged*, the fold up to the merge commit, does not show.

    To state one again is an EDIT with the content of `entry.source_hash` and the config of
    `entry` (`{}` for None), or an ANNOTATE with its priority.
    """
    wanted = list(outcomes)
    if not wanted:
        return []
    shown = _named(merged, {outcome.entry.commit_hash for outcome in wanted})
    return [
        outcome
        for outcome in wanted
        if not _same(outcome.kind, shown[outcome.entry.commit_hash], outcome.entry)
    ]


class _Shared(NamedTuple):
    """One entry as ours and theirs have it, and as those of the bases do that hold it."""

    bases: list[Entry]
    ours: Entry
    theirs: Entry


def _pairs(
    ours: Entries,
    theirs: Entries,
    our_changes: SideChanges,
    their_changes: SideChanges,
    *,
    in_order: bool,
) -> list[tuple[Entry, Entry]]:
    """Return the entries of both sides that may differ or were changed, in the order of ours.

    Where everything is *in order*, those are the changed ones. Elsewhere all are looked at that do
    not lie in a chunk that both sides have: such entries are the same objects.
    """
    changed = our_changes.all | their_changes.all
    mine = _looked_at(ours, None if in_order else theirs, changed)
    others = {
        entry.commit_hash: entry
        for entry in _looked_at(theirs, None if in_order else ours, changed)
    }
    return [
        (entry, other)
        for entry in mine
        if (other := others.get(entry.commit_hash)) is not None
        and (entry.commit_hash in changed or _state(entry) != _state(other))
    ]


_state = attrgetter("edited_by", "config_json", "priority")
"""What tells that two entries of one commit are the same, at a fraction of what comparing costs."""


def _looked_at(entries: Entries, other: Entries | None, changed: Set[str]) -> Iterator[Entry]:
    """Yield what was *changed*, and what lies in a chunk that the *other* side, if given, lacks."""
    shared = None if other is None else {id(chunk) for chunk in (*other.full, other.last)}
    for chunk in (*entries.full, entries.last):
        if shared is not None and id(chunk) not in shared:
            yield from chunk.items
        elif changed:
            yield from (entry for entry in chunk.items if entry.commit_hash in changed)


def _changed(
    kind: ConflictKind,
    bases: Sequence[Snapshot],
    pairs: Sequence[tuple[Entry, Entry]],
    touched: Set[str],
) -> list[_Shared]:
    """Return those of *pairs* that the merge may not leave as they are."""
    found = [
        (ours, theirs)
        for ours, theirs in pairs
        if ours.commit_hash in touched or not _same(kind, ours, theirs)
    ]
    names = {ours.commit_hash for ours, _ in found}
    by_name = [_named(base, names) for base in bases] if names else []
    return [
        _Shared(
            [base[ours.commit_hash] for base in by_name if ours.commit_hash in base], ours, theirs
        )
        for ours, theirs in found
    ]


def _named(snapshot: Snapshot, names: Set[str]) -> dict[str, Entry]:
    """Return the entries of *names* that a snapshot has."""
    return {entry.commit_hash: entry for entry in snapshot.entries if entry.commit_hash in names}


def _compared(
    kind: ConflictKind, shared: _Shared, by_us: Set[str], by_them: Set[str]
) -> EntryConflict | Outcome:
    """Return what holds for an entry, or that it is a conflict."""
    bases, ours, theirs = shared
    our_way, their_way = Outcome(kind, ours), Outcome(kind, theirs)
    if _same(kind, ours, theirs):
        return our_way
    base = bases[0] if bases and all(_same(kind, bases[0], other) for other in bases) else None
    we_did = ours.commit_hash in by_us if base is None else not _same(kind, ours, base)
    they_did = ours.commit_hash in by_them if base is None else not _same(kind, theirs, base)
    if we_did != they_did:
        return our_way if we_did else their_way
    if kind is ConflictKind.CONTENT and ours.message == theirs.message:
        no_config_of_theirs = any(_config(theirs) == _config(base) for base in bases)
        return our_way if no_config_of_theirs else their_way
    return EntryConflict(kind, base, ours, theirs)


def _same(kind: ConflictKind, one: Entry, other: Entry) -> bool:
    if one is other:
        return True
    if kind is ConflictKind.PRIORITY:
        return one.priority is other.priority
    return one.message == other.message and _config(one) == _config(other)


def _config(entry: Entry) -> str:
    return entry.config_json or "{}"
