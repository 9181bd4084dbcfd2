"""What a compaction may hide. Plain values, no I/O.

A context falls into message groups, which a cut never goes through. A group stays as it is if one of
its entries does: a pin, an instruction, an open call, an earlier summary, something recent, or what
the caller keeps. A plan adds up what is known of whole sections, and only looks inside the one in
which the last group to hide is found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from tract.engine.compaction.groups import Section, sections_of
from tract.engine.compile.entries import Entries, Entry
from tract.engine.compile.fold import Snapshot
from tract.exceptions import CompactionTargetError
from tract.formats.pairing import matched
from tract.models.annotations import Priority
from tract.models.compaction import CompactionPlan, MessageGroup, Strategy
from tract.protocols import Message
from tract.protocols.parts import ToolResultPart

__all__ = [
    "PLACEHOLDER",
    "Aims",
    "Keep",
    "clearable",
    "free_sections",
    "leaves_whole",
    "ordered",
    "planned",
    "views_of",
]

_SUMMARY_SHARE = 4
"""A summary gets a quarter of the target unless the caller says otherwise."""
PLACEHOLDER = "[This result was cleared to save space.]"
"""What stands in the place of a cleared result."""

Keep: TypeAlias = Callable[[Message], bool] | Collection[str]
"""What a caller wants to stay: messages, or the entries that are named."""


class Aims(NamedTuple):
    """What a compaction is asked for; see `AsyncTract.plan_compaction`."""

    target_tokens: int | None
    summary_tokens: int | None
    keep_recent: int
    keep: Keep
    roll_up: bool
    strategy: Strategy | None = None


def free_sections(snapshot: Snapshot, aims: Aims, kept: Collection[str]) -> list[Section]:
    """Return the message groups that may be hidden, oldest first; *kept* are entries that stay."""
    free = [section.free for section in _older(sections_of(snapshot.entries), aims.keep_recent)]
    if not aims.roll_up:
        free = [section.without_summaries for section in free]
    return [section.without(kept) for section in free]


def views_of(sections: Iterable[Section]) -> list[MessageGroup]:
    """Return groups as a strategy sees them."""
    return [group.view for section in sections for group in section.groups]


def ordered(sections: Iterable[Section], views: Iterable[MessageGroup]) -> list[Section]:
    """Return groups in the order in which a strategy returned them.

    Raises:
        ValueError: it returned something else, or a group twice.
    """
    left = {group.hashes: group for section in sections for group in section.groups}
    try:
        return [Section([left.pop(view.hashes) for view in views])]
    except (AttributeError, KeyError, TypeError):
        raise ValueError("a strategy returns groups that it was given, each once") from None


def planned(snapshot: Snapshot, reply: int, aims: Aims, free: Sequence[Section]) -> CompactionPlan:
    """Return the first of the groups *free* that have to be hidden, so that the target is met.

    Without a target, all of them are hidden. *reply* are the tokens that a context costs beside its
    messages. Messages are counted apart, which is never less than what they cost joined.

    Raises:
        CompactionTargetError: even with all of that hidden, the context would be too long.
    """
    before, target = snapshot.plain_tokens + reply, aims.target_tokens
    floor = before - sum(section.tokens for section in free)
    chosen: Sequence[Section] = free
    room = aims.summary_tokens
    if target is not None:
        room = target // _SUMMARY_SHARE if room is None else room
        chosen = _enough(free, before - target, room, after_step=aims.strategy is None)
    hides = [name for section in chosen for name in section.hashes]
    tokens = sum(section.tokens for section in chosen)
    if target is not None and before - tokens + (room or 0) * bool(hides) > target:
        raise CompactionTargetError(target, floor)
    if aims.strategy is not None:
        named = {*hides}
        hides = [each.commit_hash for each in snapshot.entries.shown() if each.commit_hash in named]
    return CompactionPlan(
        head_hash=snapshot.head_hash or "",
        hides=tuple(hides),
        tokens_before=snapshot.joined_tokens + reply,
        tokens_hidden=tokens,
        floor=floor,
        target_tokens=target,
        summary_tokens=room,
    )


def leaves_whole(entries: Entries, hides: Collection[str]) -> bool:
    """Return True if hiding some of *entries* cuts through no group, and hides nothing that stays."""
    wanted = {*hides}
    for section in sections_of(entries):
        if wanted.issuperset(section.hashes):
            if section.fixed.groups:
                return False
        elif not wanted.isdisjoint(section.hashes) and any(
            not wanted.issuperset(group.hashes) or group.is_open or group.stays
            for group in section.groups
            if not wanted.isdisjoint(group.hashes)
        ):
            return False
    return True


def _enough(
    free: Sequence[Section], excess: int, room: int, *, after_step: bool
) -> Sequence[Section]:
    """Return the first groups that hold *excess* tokens and those of a summary.

    With *after_step*, a cut comes after a step, so that no answer stays without its question.
    """
    if excess <= 0:
        return ()
    hidden = 0
    for number, section in enumerate(free):
        if hidden + section.tokens < excess + room:
            hidden += section.tokens
            continue
        for count, group in enumerate(section.groups, 1):
            hidden += group.tokens
            if hidden >= excess + room and (group.is_step or not after_step):
                return [*free[:number], section.part(0, count)]
    return free


def _older(sections: Sequence[Section], steps: int) -> Sequence[Section]:
    """Return what stands before the last *steps* steps and what led to the first of them."""
    if steps == 0:
        return sections
    left = steps
    for number in range(len(sections) - 1, -1, -1):
        groups = sections[number].groups
        for count in range(len(groups), 0, -1):
            is_step = groups[count - 1].is_step
            if is_step and left == 0:
                return [*sections[:number], sections[number].part(0, count)]
            left -= is_step
    return ()


def clearable(snapshot: Snapshot, keep: int, exclude: Collection[str]) -> list[Entry]:
    """Return the entries with tool results but for the newest *keep*, oldest first.

    Pins stay, and so do results of the tools in *exclude*, and those that are cleared already.
    """
    shown = [*snapshot.entries.shown()]
    messages = [message for entry in shown for message in entry.messages]
    names: dict[int, set[str]] = {}
    for result in matched(messages).results:
        name = result.call.name if result.call else result.name
        names.setdefault(id(messages[result.at]), set()).add(name or "")
    found = [
        entry
        for entry in shown
        if any(isinstance(part, ToolResultPart) for each in entry.messages for part in each.parts)
    ]
    return [
        entry
        for entry in (found[:-keep] if keep else found)
        if entry.priority is not Priority.PINNED
        and entry.cleared is None
        and not any(names.get(id(each), set()) & {*exclude} for each in entry.messages)
    ]
