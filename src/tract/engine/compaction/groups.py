"""Message groups: the entries of a context that are hidden together or not at all.

A tool call, its results and all that stands between them are a group, and so is thinking with the
message that it leads to; every other message is one by itself. What a chunk knows of its groups is
kept with it. Here only what crosses from one chunk into another is looked at: calls and results are
matched id by id, so a chunk's own matches hold unless an earlier call of the same id is unanswered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from tract.engine.compile.entries import Entries, Entry
from tract.engine.threads import Breath
from tract.formats.pairing import (
    Call,
    Result,
    Unanswered,
    answer_behind,
    answered,
    calls_and_results,
    is_models,
)
from tract.models.annotations import Priority
from tract.models.compaction import MessageGroup
from tract.protocols.parts import ThinkingPart

__all__ = ["Group", "Section", "only_thinks", "sections_of"]

_INSTRUCTING = frozenset({"developer", "system"})


class Group(NamedTuple):
    """Entries that stay together, oldest first.

    `tokens` is what they cost by themselves. A group `stays` if it has a pin or an instruction.
    """

    entries: tuple[Entry, ...]
    tokens: int
    is_step: bool
    """Whether the model speaks in it."""
    is_open: bool
    """Whether a call of it has no result, or thinking no message yet."""
    stays: bool
    has_summary: bool

    @property
    def hashes(self) -> tuple[str, ...]:
        """The commits that appended the entries."""
        return tuple(entry.commit_hash for entry in self.entries)

    @property
    def view(self) -> MessageGroup:
        """The group as a strategy sees it."""
        return MessageGroup(
            hashes=self.hashes,
            messages=tuple(message for entry in self.entries for message in entry.messages),
            tokens=self.tokens,
            is_step=self.is_step,
        )


class Section:
    """Groups that follow each other, with sums that are made once."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups: Sequence[Group] = groups
        self._parts: dict[tuple[int, int], Section] = {}

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """The commits that appended the entries."""
        return tuple(entry.commit_hash for group in self.groups for entry in group.entries)

    @cached_property
    def tokens(self) -> int:
        """What the entries cost by themselves."""
        return sum(group.tokens for group in self.groups)

    @cached_property
    def fixed(self) -> Section:
        """The groups that are never hidden."""
        return Section([each for each in self.groups if each.is_open or each.stays])

    @cached_property
    def free(self) -> Section:
        """The groups that may be hidden."""
        if not self.fixed.groups:
            return self
        return Section([each for each in self.groups if not (each.is_open or each.stays)])

    @cached_property
    def without_summaries(self) -> Section:
        """The groups that have no earlier summary."""
        rest = [each for each in self.groups if not each.has_summary]
        return self if len(rest) == len(self.groups) else Section(rest)

    def without(self, kept: Collection[str]) -> Section:
        """Return the groups that have none of the entries *kept*."""
        if not kept or {*kept}.isdisjoint(self.hashes):
            return self
        return Section([each for each in self.groups if {*kept}.isdisjoint(each.hashes)])

    def part(self, start: int, stop: int) -> Section:
        """Return some of the groups."""
        if start == 0 and stop >= len(self.groups):
            return self
        key = start, stop
        if key not in self._parts:
            self._parts[key] = Section(self.groups[start:stop])
        return self._parts[key]


_Place = tuple[int, int]
"""A chunk that shows something, and a group in it, by their numbers."""


class _Span(NamedTuple):
    """Groups of several chunks that are one, from the first to the last; or an open one."""

    first: _Place
    last: _Place
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class _Local:
    """What one chunk shows, grouped as if there were no others."""

    entries: tuple[Entry, ...]
    section: Section
    group_at: Sequence[int]
    """The group of each message."""
    found: Mapping[str | None, Sequence[Call | Result]]
    """Its calls and results, by id."""
    loose: Sequence[Call | Result]
    """Those that match none of the others, in order."""
    turns: int
    begins_in_turn: bool
    ends_in_turn: bool

    @property
    def leads_on(self) -> bool:
        """Whether it ends with thinking, which belongs to what follows."""
        return only_thinks(self.entries[-1])

    def without(self, ids: Collection[str | None]) -> _Local:
        """Return this, grouped without the calls and results of some ids."""
        found = [each for name in self.found.keys() - ids for each in self.found[name]]
        section, group_at = _grouped(self.entries, found)
        return replace(self, section=section, group_at=group_at)


def sections_of(entries: Entries) -> list[Section]:
    """Return the message groups of what a context shows, oldest first, in sections."""
    breath = Breath()
    locals_ = list[_Local]()
    for chunk in entries.shown_chunks:
        breath.take()
        if chunk.shown:
            locals_.append(chunk.derived(_local))
    spans = _spans(locals_)
    return [*_spanned([each.section for each in locals_], spans)]


def _local(shown: tuple[Entry, ...]) -> _Local:
    messages = [message for entry in shown for message in entry.messages]
    found = [*calls_and_results(messages)]
    by_id: defaultdict[str | None, list[Call | Result]] = defaultdict(list)
    for each in found:
        by_id[_id_of(each)].append(each)
    answered(found, defaultdict(list))
    section, group_at = _grouped(shown, found)
    models = [*map(is_models, messages)]
    begins = sum(now and not before for before, now in pairwise([False, *models]))
    loose = [each for each in found if not (each.result if isinstance(each, Call) else each.call)]
    return _Local(shown, section, group_at, by_id, loose, begins, models[0], models[-1])


def _id_of(each: Call | Result) -> str | None:
    return each.id if isinstance(each, Call) else each.call_id


def _grouped(
    entries: tuple[Entry, ...], found: Iterable[Call | Result]
) -> tuple[Section, Sequence[int]]:
    """Return the groups that matched calls and thinking make, and that of each message."""
    owner = [at for at, entry in enumerate(entries) for _ in entry.messages]
    reach = [*range(len(entries))]  # the last entry that each must stay together with
    for each in found:
        if isinstance(each, Call) and each.result is not None:
            first, last = sorted((owner[each.at], owner[each.result.at]))
            reach[first] = max(reach[first], last)
    for at, entry in enumerate(entries[:-1]):
        if only_thinks(entry):
            reach[at] = max(reach[at], at + 1)
    groups, group_of, first = list[Group](), list[int](), 0
    while first < len(entries):
        last = at = first
        while at <= last:
            last = max(last, reach[at])
            at += 1
        group_of += [len(groups)] * (at - first)
        groups.append(_group(entries[first:at]))
        first = at
    return Section(groups), [group_of[at] for at in owner]


def _group(entries: tuple[Entry, ...]) -> Group:
    return Group(
        entries,
        tokens=sum(entry.message_tokens for entry in entries),
        is_step=any(is_models(message) for entry in entries for message in entry.messages),
        is_open=False,
        stays=any(map(_must_stay, entries)),
        has_summary=any(entry.is_summary for entry in entries),
    )


def _must_stay(entry: Entry) -> bool:
    return entry.priority is Priority.PINNED or entry.message.role in _INSTRUCTING


def only_thinks(entry: Entry) -> bool:
    """Return True if an entry is thinking, which belongs to what follows."""
    parts = entry.message.given
    if not parts or entry.more:
        return False
    return all(isinstance(each, ThinkingPart) for each in parts)


def _spans(locals_: list[_Local]) -> list[_Span]:
    """Return what crosses chunks, and what is open.

    A chunk whose own matches do not hold, because an earlier call of an id is unanswered, is
    replaced by one that is grouped without that id.
    """
    calls = _calls_across(locals_)
    spans = []
    for number, local in enumerate(locals_):
        if local.leads_on:
            here = number, len(local.section.groups) - 1
            is_last = number + 1 == len(
                locals_
            )  # what it leads to may come while others are hidden
            spans.append(_Span(here, here if is_last else (number + 1, 0), is_open=is_last))
    for call in calls:
        places = {call.at, call.at if call.result is None else call.result.at}
        found = sorted((at // _FAR, locals_[at // _FAR].group_at[at % _FAR]) for at in places)
        spans.append(_Span(found[0], found[-1], is_open=call.result is None))
    return spans


_FAR = 2**32
"""More than a chunk has messages: one number says which message of which chunk."""


def _calls_across(locals_: list[_Local]) -> list[Call]:
    """Return the calls, matched, of which the chunk alone does not know what answers them."""
    calls, alone, turns, in_turn = list[Call](), list[Result](), 0, False
    unanswered: Unanswered = defaultdict(list)
    for number, local in enumerate(locals_):
        base = turns - (local.begins_in_turn and in_turn)
        again = unanswered.keys() & local.found.keys()
        open_for_all = [each for each in local.loose if _id_of(each) not in again]
        for name in again:
            open_for_all += local.found[name]
        moved = [_moved(each, number * _FAR, base) for each in open_for_all]
        alone += answered(moved, unanswered)
        calls += (each for each in moved if isinstance(each, Call))
        for name in [name for name in {*map(_id_of, moved)} if not unanswered[name]]:
            del unanswered[name]
        if again:
            locals_[number] = local.without(again)
        turns, in_turn = base + local.turns, local.ends_in_turn
    answer_behind(alone, unanswered)
    return calls


def _moved(each: Call | Result, start: int, turns: int) -> Call | Result:
    """Return a call or result of a chunk as one of the whole context, without a match."""
    if isinstance(each, Call):
        return replace(each, at=start + each.at, turn=turns + each.turn, result=None)
    return replace(each, at=start + each.at, call=None)


def _spanned(sections: Sequence[Section], spans: Iterable[_Span]) -> Iterator[Section]:
    """Yield *sections*, with one group in the place of those that a span makes one."""
    ended: _Place = (0, 0)
    for span in _disjoint(spans):
        yield from _between(sections, ended, span.first)
        ended = span.last[0], span.last[1] + 1
        some = [
            group for section in _between(sections, span.first, ended) for group in section.groups
        ]
        entries = tuple(entry for group in some for entry in group.entries)
        yield Section([_group(entries)._replace(is_open=span.is_open)])
    yield from _between(sections, ended, (len(sections), 0))


def _between(sections: Sequence[Section], start: _Place, stop: _Place) -> Iterator[Section]:
    """Yield what is from one place up to another."""
    for number in range(start[0], min(stop[0] + 1, len(sections))):
        first = start[1] if number == start[0] else 0
        last = stop[1] if number == stop[0] else len(sections[number].groups)
        if first < last:
            yield sections[number].part(first, last)


def _disjoint(spans: Iterable[_Span]) -> list[_Span]:
    """Return spans with those that overlap made one, in order."""
    found = list[_Span]()
    for span in sorted(spans):
        if found and span.first <= found[-1].last:
            former = found.pop()
            last, is_open = max(former.last, span.last), former.is_open or span.is_open
            span = _Span(former.first, last, is_open)
        found.append(span)
    return found
