"""The fold: applying the next commits to a snapshot makes the next one. Plain values, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from tract.engine.compile.entries import CHUNK_SIZE, Entries, Entry, bytes_of
from tract.engine.compile.hiding import Hides, hidden, hides_of, restored
from tract.engine.compile.pages import joins
from tract.engine.compile.tally import joined_tokens, tokens_of, window_around
from tract.engine.compile.texts import TextChunk
from tract.engine.contents.provided import TOOLS
from tract.engine.threads import Breath
from tract.engine.tokens.counters import BaseTokenCounter
from tract.exceptions import TractError
from tract.history.canonical import stored_json, unreadable
from tract.models.annotations import Priority
from tract.models.operations import Effect, rule_of
from tract.protocols import CommitStep

__all__ = ["Making", "Snapshot", "fold_steps", "gathered", "with_changes"]

_AT_A_TIME = 20  # steps between two looks at the time; the event loop folds at most 16
_NO_ENTRIES = Entries()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The entries at one head, with their token sums; immutable.

    `joined_tokens` counts the messages with joining, `plain_tokens` without, both without the
    reply. `nbytes` is the approximate memory use, shared parts included. `counts` caches the
    counts of a counter without sums, with joining and without.
    """

    head_hash: str | None = None
    entries: Entries = _NO_ENTRIES
    visible: int = 0
    joined_tokens: int = 0
    plain_tokens: int = 0
    nbytes: int = 0
    has_tools: bool = False
    """Whether an entry holds tool definitions; they are searched for only then."""
    has_attachments: bool = False
    """Whether an entry refers to attachments; they are collected only then."""
    counts: dict[bool, int] = field(default_factory=dict, compare=False)

    def apart(self) -> Snapshot:
        """Return this snapshot as a base for snapshots that will not be kept.

        Only one snapshot that grows out of a chunk can share it; that is left to the next commit.
        """
        return replace(self, entries=self.entries.apart())


class Making(NamedTuple):
    """How commits become entries."""

    entry: Callable[[CommitStep], Entry]
    """Returns the entry of a step."""
    cleared: Callable[[Entry, str], Entry]
    """Returns an entry without its tool results."""
    texts: Callable[[Sequence[CommitStep]], TextChunk | None]
    """Returns a chunk of steps that are nothing but texts apart; None of any others."""


def fold_steps(
    snapshot: Snapshot,
    steps: Sequence[CommitStep],
    making: Making,
    counter: BaseTokenCounter | None,
) -> Snapshot:
    """Return *snapshot* after *steps*; sums are only kept if *counter* is given."""
    state = _State(snapshot, counter)
    breath = Breath()
    at = since = 0
    while at < len(steps):
        if at - since >= _AT_A_TIME:
            breath.take()
            since = at
        if state.is_aligned and len(steps) - at >= CHUNK_SIZE:
            texts = making.texts(steps[at : at + CHUNK_SIZE])
            if texts is not None and state.append_texts(texts):
                at += CHUNK_SIZE
                continue
        _apply(state, steps[at], making)
        at += 1
    return state.snapshot(steps[-1].commit_hash if steps else snapshot.head_hash)


def _apply(state: _State, step: CommitStep, making: Making) -> None:
    """Apply one step."""
    effect = rule_of(step.operation).effect
    if effect is Effect.ADD:
        state.append(making.entry(step))
    elif effect is Effect.REPLACE:
        state.change(step, partial(_edited, new=making.entry(step)))
    elif effect is Effect.PRIORITISE:
        state.change(step, partial(_annotated, step=step))
    elif effect is Effect.HIDE:
        summary = making.entry(step)._replace(is_summary=True)
        state.note(summary)
        what, clear = _hides(step), making.cleared
        state.rebuild(partial(hidden, summary=summary, what=what, clear=clear))
    elif effect is Effect.RESTORE:
        state.rebuild(partial(restored, compaction=step.edit_target or ""))


def gathered(entries: Sequence[Entry], counter: BaseTokenCounter | None) -> Snapshot:
    """Return a snapshot of nothing but some entries."""
    state = _State(Snapshot(), counter)
    state.rebuild(lambda none: none.extended(entries))
    return replace(
        state.snapshot(None), has_attachments=any(entry.attachments for entry in entries)
    )


def _edited(entry: Entry, new: Entry) -> Entry:
    """Return *entry* with the content of *new*, and its config unless that is None."""
    config = entry.config_json if new.config_json is None else new.config_json
    return new._replace(
        commit_hash=entry.commit_hash,
        config_json=config,
        priority=entry.priority,
        edited_by=new.commit_hash,
        hidden_by=entry.hidden_by,
        is_summary=entry.is_summary,
        undone=entry.undone,
        nbytes=new.nbytes + bytes_of(new.message, config) - bytes_of(new.message, new.config_json),
    )


def _annotated(entry: Entry, step: CommitStep) -> Entry:
    what = f"the content of the commit {step.commit_hash}"
    try:
        priority = Priority(stored_json(step.data, what)["priority"])
    except (LookupError, TypeError, ValueError):
        raise unreadable(what) from None
    return entry._replace(priority=priority)


def _hides(step: CommitStep) -> Hides:
    what = f"the content of the commit {step.commit_hash}"
    try:
        return hides_of(stored_json(step.data, what))
    except (TypeError, AttributeError):
        raise unreadable(what) from None


class _State:
    """A snapshot under construction."""

    def __init__(self, snapshot: Snapshot, counter: BaseTokenCounter | None) -> None:
        self._entries = snapshot.entries
        self._visible = snapshot.visible
        self._joined = snapshot.joined_tokens
        self._plain = snapshot.plain_tokens
        self._nbytes = snapshot.nbytes
        self._has_tools = snapshot.has_tools
        self._has_attachments = snapshot.has_attachments
        self._counter = counter
        self._texts: list[TextChunk] = []
        self._pending: list[Entry] = []  # behind the texts
        self._last = self._entries.newest_visible()

    def note(self, entry: Entry) -> None:
        """Note what contexts look for only if some entry has it."""
        if entry.attachments:
            self._has_attachments = True
        if entry.message.role is TOOLS:
            self._has_tools = True

    def append(self, entry: Entry) -> None:
        if entry.attachments:
            self._has_attachments = True
        if not entry.visible:  # tool definitions
            self.note(entry)
            self._nbytes += entry.nbytes
            self._pending.append(entry)
            return
        last = self._last
        self._visible += 1
        self._plain += entry.message_tokens
        self._nbytes += entry.nbytes
        if last is None or not joins(last.message, entry.message):
            self._joined += entry.message_tokens
        elif entry.message.tool_calls:
            self._joined += entry.body_tokens
        elif self._counter is not None:
            self._joined += self._join_cost(entry, self._counter)
        self._pending.append(entry)
        self._last = entry

    @property
    def is_aligned(self) -> bool:
        """Whether the next entry begins a chunk."""
        return (self._entries.last.size + len(self._pending)) % CHUNK_SIZE == 0

    def append_texts(self, texts: TextChunk) -> bool:
        """Append a chunk; return False, and append nothing, if it joins what is there."""
        last, newest = self._last, texts.lines[-1]
        if last is not None and joins(last.message, texts.lines[0].message):
            return False
        if self._pending:
            self._flush()
        self._visible += texts.size
        self._plain += texts.shown_tokens
        self._joined += texts.shown_tokens
        self._nbytes += texts.nbytes
        self._texts.append(texts)
        self._last = newest.entry(newest.message)
        return True

    def _join_cost(self, entry: Entry, counter: BaseTokenCounter) -> int:
        """Return what the joined context gains when *entry*'s text joins the last message."""
        self._flush()
        window = window_around(self._entries, len(self._entries), counter)
        shown = window.entries(self._entries)
        return tokens_of([*shown, entry], window.before, None, counter) - tokens_of(
            shown, window.before, None, counter
        )

    def change(self, step: CommitStep, change: Callable[[Entry], Entry]) -> None:
        self._flush()
        position = self._entries.find(step.edit_target or "")
        if position is None:
            raise TractError(
                f"The {step.operation.upper()} {step.commit_hash} changes {step.edit_target}, "
                "which is not an entry of its history: the store was damaged. `verify()` lists all "
                "faults."
            )
        old = self._entries[position]
        new = change(old)
        self.note(new)
        entries = self._entries.replaced(position, new)
        self._visible += new.visible - old.visible
        self._plain += new.shown_tokens - old.shown_tokens
        self._nbytes += new.nbytes - old.nbytes
        if self._counter is not None:
            window = window_around(self._entries, position, self._counter)
            self._joined += tokens_of(
                window.entries(entries), window.before, window.after, self._counter
            ) - tokens_of(window.entries(self._entries), window.before, window.after, self._counter)
        self._entries = entries
        self._last = entries.newest_visible()

    def rebuild(self, change: Callable[[Entries], Entries]) -> None:
        """Change any number of entries at once."""
        self._flush()
        self._entries = entries = change(self._entries)
        shown = entries.shown_chunks
        self._visible = sum(len(chunk.shown) for chunk in shown)
        self._plain = sum(chunk.shown_tokens for chunk in shown)
        self._nbytes = sum(chunk.nbytes for chunk in entries.chunks)
        if self._counter is not None:
            self._joined = joined_tokens(shown, self._counter)
        self._last = entries.newest_visible()

    def _flush(self) -> None:
        if self._texts:
            self._entries = self._entries.extended_by(self._texts)
            self._texts = []
        if self._pending:
            self._entries = self._entries.extended(self._pending)
            self._pending = []

    def snapshot(self, head_hash: str | None) -> Snapshot:
        self._flush()
        return Snapshot(
            head_hash,
            self._entries,
            self._visible,
            self._joined,
            self._plain,
            self._nbytes,
            self._has_tools,
            self._has_attachments,
        )


def with_changes(
    snapshot: Snapshot,
    counter: BaseTokenCounter | None,
    is_chosen: Callable[[Entry], bool],
    change: Callable[[Entry], Entry],
) -> Snapshot:
    """Return *snapshot* with some entries changed for one view, and the tokens counted again there."""
    state = _Changes(snapshot, counter)
    for position, entry in enumerate(snapshot.entries):
        if is_chosen(entry):
            state.change(position, change(entry))
    return state.snapshot()


class _Changes:
    """A snapshot whose entries are changed for one view."""

    def __init__(self, snapshot: Snapshot, counter: BaseTokenCounter | None) -> None:
        self._base = snapshot
        self._counter = counter
        self._entries = snapshot.entries
        self._visible = snapshot.visible
        self._joined = snapshot.joined_tokens
        self._plain = snapshot.plain_tokens

    def change(self, position: int, new: Entry) -> None:
        entries, entry = self._entries, self._entries[position]
        changed = entries.replaced(position, new)
        self._visible += new.visible - entry.visible
        if (entry.visible or new.visible) and self._counter is not None:
            window = window_around(entries, position, self._counter)
            count = partial(
                tokens_of, before=window.before, after=window.after, counter=self._counter
            )
            self._joined += count(window.entries(changed)) - count(window.entries(entries))
            self._plain += new.shown_tokens - entry.shown_tokens
        self._entries = changed

    def snapshot(self) -> Snapshot:
        return replace(
            self._base,
            entries=self._entries,
            visible=self._visible,
            joined_tokens=self._joined,
            plain_tokens=self._plain,
            counts={},
        )
