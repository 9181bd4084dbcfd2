"""What a compaction may hide. Plain values, no I/O.

A context falls into blocks, which a cut never goes through: a tool call with its results and all that
stands between them, thinking with the message that it leads to, and every other message by itself. A
block stays as it is if one of its entries does: a pin, an instruction, an open call, an earlier
summary, something recent, or what the caller keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from tract.engine.compile.entries import Entry
from tract.engine.compile.fold import Snapshot
from tract.exceptions import CompactionTargetError
from tract.formats.pairing import is_models, matched
from tract.models.annotations import Priority
from tract.models.compaction import CompactionBlock, CompactionPlan, Strategy
from tract.parts import ThinkingPart, ToolResultPart
from tract.protocols import Message

__all__ = [
    "PLACEHOLDER",
    "Aims",
    "Block",
    "Keep",
    "blocks_of",
    "clearable",
    "free_blocks",
    "leaves_whole",
    "ordered",
    "planned",
]

_SUMMARY_SHARE = 4
"""A summary gets a quarter of the target unless the caller says otherwise."""
PLACEHOLDER = "[This result was cleared to save space.]"
"""What stands in the place of a cleared result."""
_INSTRUCTING = frozenset({"developer", "system"})


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


class Block(NamedTuple):
    """Entries that stay together, oldest first."""

    entries: tuple[Entry, ...]
    is_step: bool
    """Whether the model speaks in it."""
    is_open: bool
    """Whether a call of it has no result, or thinking no message yet."""

    @property
    def tokens(self) -> int:
        """What the entries cost by themselves."""
        return sum(entry.message_tokens for entry in self.entries)

    @property
    def hashes(self) -> tuple[str, ...]:
        """The commits that appended the entries."""
        return tuple(entry.commit_hash for entry in self.entries)

    @property
    def view(self) -> CompactionBlock:
        """The block as a strategy sees it."""
        return CompactionBlock(
            hashes=self.hashes,
            messages=tuple(message for entry in self.entries for message in entry.messages),
            tokens=self.tokens,
            is_step=self.is_step,
        )


def free_blocks(snapshot: Snapshot, aims: Aims, kept: Collection[str]) -> list[Block]:
    """Return the blocks that may be hidden, oldest first; *kept* are entries that stay."""
    blocks = blocks_of([*snapshot.entries.shown()])
    return [
        block
        for block in blocks[: len(blocks) - _recent(blocks, aims.keep_recent)]
        if not block.is_open and not any(_stays(each, aims, kept) for each in block.entries)
    ]


def ordered(blocks: Iterable[Block], views: Iterable[CompactionBlock]) -> list[Block]:
    """Return *blocks* in the order in which a strategy returned them.

    Raises:
        ValueError: it returned something else, or a block twice.
    """
    left = {block.hashes: block for block in blocks}
    try:
        return [left.pop(view.hashes) for view in views]
    except (AttributeError, KeyError, TypeError):
        raise ValueError("a strategy returns blocks that it was given, each once") from None


def blocks_of(entries: Sequence[Entry]) -> list[Block]:
    """Return the blocks of entries that a context shows."""
    messages = [message for entry in entries for message in entry.messages]
    owner = [at for at, entry in enumerate(entries) for _ in entry.messages]
    calls, _ = matched(messages)
    reach = [*range(len(entries))]  # the last entry that each must stay together with
    for call in calls:
        if call.result is not None:
            first, last = sorted((owner[call.at], owner[call.result.at]))
            reach[first] = max(reach[first], last)
    for at, entry in enumerate(entries[:-1]):
        if _only_thinks(entry):
            reach[at] = max(reach[at], at + 1)
    still_open = {owner[call.at] for call in calls if call.result is None}
    if entries and _only_thinks(entries[-1]):
        still_open.add(len(entries) - 1)  # what it leads to may come while others are summarised
    return [*_cut(entries, reach, still_open)]


def _cut(
    entries: Sequence[Entry], reach: Sequence[int], still_open: Collection[int]
) -> Iterable[Block]:
    first = 0
    while first < len(entries):
        last = at = first
        while at <= last:
            last = max(last, reach[at])
            at += 1
        some = tuple(entries[first : last + 1])
        yield Block(
            some,
            any(map(is_models, (message for entry in some for message in entry.messages))),
            any(at in still_open for at in range(first, last + 1)),
        )
        first = last + 1


def _only_thinks(entry: Entry) -> bool:
    parts = entry.message.given
    if not parts or entry.more:
        return False
    return all(isinstance(each, ThinkingPart) for each in parts)


def planned(snapshot: Snapshot, reply: int, aims: Aims, free: Sequence[Block]) -> CompactionPlan:
    """Return the first of the blocks *free* that have to be hidden, so that the target is met.

    Without a target, all of them are hidden. *reply* are the tokens that a context costs beside its
    messages. Messages are counted apart, which is never less than what they cost joined.

    Raises:
        CompactionTargetError: even with all of that hidden, the context would be too long.
    """
    before, target = snapshot.plain_tokens + reply, aims.target_tokens
    floor = before - sum(block.tokens for block in free)
    chosen: Sequence[Block] = free
    room = aims.summary_tokens
    if target is not None:
        room = target // _SUMMARY_SHARE if room is None else room
        chosen = _enough(free, before - target, room, after_step=aims.strategy is None)
        if before - sum(block.tokens for block in chosen) + room * bool(chosen) > target:
            raise CompactionTargetError(target, floor)
    hides = {named for block in chosen for named in block.hashes}
    return CompactionPlan(
        head_hash=snapshot.head_hash or "",
        hides=tuple(
            each.commit_hash for each in snapshot.entries.shown() if each.commit_hash in hides
        ),
        tokens_before=snapshot.joined_tokens + reply,
        tokens_hidden=sum(block.tokens for block in chosen),
        floor=floor,
        target_tokens=target,
        summary_tokens=room,
    )


def leaves_whole(entries: Sequence[Entry], hides: Collection[str]) -> bool:
    """Return True if hiding some of *entries* cuts through no block, and hides nothing that stays."""
    wanted = {*hides}
    for block in blocks_of(entries):
        within = [each.commit_hash in wanted for each in block.entries]
        if any(within) and (
            not all(within) or block.is_open or any(map(_must_stay, block.entries))
        ):
            return False
    return True


def _enough(free: Sequence[Block], excess: int, room: int, *, after_step: bool) -> Sequence[Block]:
    """Return the first blocks that hold *excess* tokens and those of a summary.

    With *after_step*, a cut comes after a step, so that no answer stays without its question.
    """
    if excess <= 0:
        return ()
    hidden = 0
    for number, block in enumerate(free, 1):
        hidden += block.tokens
        if hidden >= excess + room and (block.is_step or not after_step):
            return free[:number]
    return free


def _recent(blocks: Sequence[Block], steps: int) -> int:
    """Return how many of the last blocks hold the last *steps* steps, with what led to the first."""
    if steps == 0:
        return 0
    left = steps
    for number, block in enumerate(reversed(blocks), 1):
        left -= block.is_step
        if left == 0:
            while number < len(blocks) and not blocks[-number - 1].is_step:
                number += 1
            return number
    return len(blocks)


def _stays(entry: Entry, aims: Aims, kept: Collection[str]) -> bool:
    return _must_stay(entry) or (entry.is_summary and not aims.roll_up) or entry.commit_hash in kept


def _must_stay(entry: Entry) -> bool:
    return entry.priority is Priority.PINNED or entry.message.role in _INSTRUCTING


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
