"""Three-way comparison of the entries that both sides of a merge share.

Plain values, no I/O. Each shared entry is compared as a three-way merge compares a line: with its
state where the sides parted. A merge folds the other side's commits after ours, so their edits win
by coming last. That holds even for an edit that the other side has since dropped, for instance by
merging ours and taking our edit. So the fold may show something else than the merge should, without
any conflict. `unmet` finds these entries, and the merge restates them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from operator import attrgetter
from typing import Literal, NamedTuple

from tract.engine.compile.entries import Entries, Entry
from tract.engine.compile.fold import Snapshot
from tract.models.merging import ConflictKind

__all__ = ["EntryConflict", "Settlement", "Side", "SideChanges", "Verdict", "settle", "unmet"]

Side = Literal["ours", "theirs", "base"]


class SideChanges(NamedTuple):
    """The entries, by hash, that a side's own commits changed; the other side lacks these commits.

    `goes_on` is True if the merge base is among the side's first parents. Otherwise the side has
    the base's commits in another order, so entries may differ that none of its own commits changed.
    """

    edited: Set[str] = frozenset()
    annotated: Set[str] = frozenset()
    goes_on: bool = True

    @property
    def all(self) -> Set[str]:
        """All entries that were changed."""
        return self.edited | self.annotated

    def of(self, kind: ConflictKind) -> Set[str]:
        """Return the entries whose content, or priority, was changed."""
        return {
            ConflictKind.CONTENT: self.edited,
            ConflictKind.PRIORITY: self.annotated,
            ConflictKind.HIDDEN: self.all,
        }[kind]


class Verdict(NamedTuple):
    """What a merge must show for an entry: the content and config, or the priority, of `entry`.

    If it is to be shown at all, `hidden_by` are the compactions that are to be undone for that.
    """

    kind: ConflictKind
    entry: Entry
    hidden_by: tuple[str, ...] = ()


class EntryConflict(NamedTuple):
    """One entry in conflict, as each side has it; `base` is None if there is no single base.

    `Entry.source_hash` names the commit that holds the content.
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
    """The conflicts to resolve, and the verdicts of the other entries that a side changed."""

    conflicts: tuple[EntryConflict, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


def settle(
    bases: Sequence[Snapshot],
    ours: Snapshot,
    theirs: Snapshot,
    our_changes: SideChanges,
    their_changes: SideChanges,
) -> Settlement:
    """Compare the entries that both sides share, in the order of ours, content before priority.

    An entry is in conflict if the two sides changed it in different ways. A change that only one
    side made, or both made alike, holds, whether a commit made it or the resolution of an earlier
    merge. A config goes with the content that it was set on; if the contents are the same, theirs
    wins if it is new.

    After merges that crossed, there are several bases, which may differ on an entry. Then a side
    has changed it if one of its own commits did. If neither side's commits did, the sides resolved
    it differently in earlier merges, which is a conflict, too.

    Args:
        bases: snapshots of the merge bases; empty if the histories share nothing.
        ours: the snapshot of our head.
        theirs: that of the head to be merged.
        our_changes: the changes of the commits that only ours has.
        their_changes: the changes of the commits that only theirs has.
    """
    if not bases:
        return Settlement()
    in_order = len(bases) == 1 and our_changes.goes_on and their_changes.goes_on
    pairs = _pairs(ours.entries, theirs.entries, our_changes, their_changes, in_order=in_order)
    conflicts: list[EntryConflict] = []
    verdicts: list[Verdict] = []
    for kind in (ConflictKind.CONTENT, ConflictKind.PRIORITY):
        by_us, by_them = our_changes.of(kind), their_changes.of(kind)
        for shared in _changed(kind, bases, pairs, by_us | by_them):
            found = _compared(kind, shared, by_us, by_them)
            if isinstance(found, EntryConflict):
                conflicts.append(found)
            else:
                verdicts.append(found)
    conflicts += _hidden_and_changed(bases[0], pairs, our_changes, their_changes)
    place = {entry.commit_hash: at for at, (entry, _) in enumerate(pairs)}
    conflicts.sort(key=lambda conflict: place[conflict.target_hash])
    verdicts.sort(key=lambda verdict: place[verdict.entry.commit_hash])
    return Settlement(tuple(conflicts), tuple(verdicts))


def unmet(merged: Snapshot, verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return those of *verdicts* that *merged*, the fold up to the merge commit, does not show.

    To restate one takes an EDIT with the content of `entry.source_hash` and the config of `entry`
    (`{}` for None), or an ANNOTATE with its priority.
    """
    wanted = list(verdicts)
    if not wanted:
        return []
    shown = _named(merged, {verdict.entry.commit_hash for verdict in wanted})
    return [
        verdict._replace(hidden_by=_hiding(merged, shown[verdict.entry.commit_hash]))
        if verdict.kind is ConflictKind.HIDDEN
        else verdict
        for verdict in wanted
        if not _same(verdict.kind, shown[verdict.entry.commit_hash], verdict.entry)
    ]


def _hiding(merged: Snapshot, entry: Entry) -> tuple[str, ...]:
    """Return the compactions that hide an entry: its own, and those that hide its summary."""
    summaries = {each.commit_hash: each for each in merged.entries if each.is_summary}
    found: list[str] = []
    by = entry.hidden_by
    while by is not None and by not in found:
        found.append(by)
        by = summaries[by].hidden_by
    return tuple(found)


def _hidden_and_changed(
    base: Snapshot,
    pairs: Sequence[tuple[Entry, Entry]],
    our_changes: SideChanges,
    their_changes: SideChanges,
) -> Iterator[EntryConflict]:
    """Yield the entries that one side has hidden since *base*, and the other has changed."""
    found = []
    for ours, theirs in pairs:
        if (ours.hidden_by is None) != (theirs.hidden_by is None):
            seen, changes = (theirs, their_changes) if ours.hidden_by else (ours, our_changes)
            if seen.visible and seen.commit_hash in changes.all:
                found.append((ours, theirs))
    before = _named(base, {ours.commit_hash for ours, _ in found}) if found else {}
    for ours, theirs in found:
        former = before.get(ours.commit_hash)
        if former is None or former.hidden_by is None:
            yield EntryConflict(ConflictKind.HIDDEN, former, ours, theirs)


class _Shared(NamedTuple):
    """One entry as ours and theirs have it, and as each base has it that holds it."""

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

    With *in_order*, only changed entries may differ. Otherwise all are compared, except those in a
    chunk that both sides share: they are the same objects.
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
"""What identifies the state of an entry, at a fraction of the cost of comparing entries."""


def _looked_at(entries: Entries, other: Entries | None, changed: Set[str]) -> Iterator[Entry]:
    """Yield the *changed* entries, and those in chunks that the *other* side, if given, lacks."""
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
    """Return those of *pairs* that the merge may have to change."""
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
    """Return the entries of a snapshot whose hashes are in *names*, by hash."""
    return {entry.commit_hash: entry for entry in snapshot.entries if entry.commit_hash in names}


def _compared(
    kind: ConflictKind, shared: _Shared, by_us: Set[str], by_them: Set[str]
) -> EntryConflict | Verdict:
    """Return the verdict for an entry, or the conflict."""
    bases, ours, theirs = shared
    our_way, their_way = Verdict(kind, ours), Verdict(kind, theirs)
    if _same(kind, ours, theirs):
        return our_way
    base = bases[0] if bases and all(_same(kind, bases[0], other) for other in bases) else None
    we_did = ours.commit_hash in by_us if base is None else not _same(kind, ours, base)
    they_did = ours.commit_hash in by_them if base is None else not _same(kind, theirs, base)
    if we_did != they_did:
        return our_way if we_did else their_way
    if kind is ConflictKind.CONTENT and ours.messages == theirs.messages:
        no_config_of_theirs = any(_config(theirs) == _config(base) for base in bases)
        return our_way if no_config_of_theirs else their_way
    return EntryConflict(kind, base, ours, theirs)


def _same(kind: ConflictKind, one: Entry, other: Entry) -> bool:
    if one is other:
        return True
    if kind is ConflictKind.PRIORITY:
        return one.priority is other.priority
    if kind is ConflictKind.HIDDEN:
        return (one.hidden_by is None) == (other.hidden_by is None)
    return one.messages == other.messages and _config(one) == _config(other)


def _config(entry: Entry) -> str:
    return entry.config_json or "{}"
