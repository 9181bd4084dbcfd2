"""Appending a batch of entries to a transcript, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from claude_agent_sdk import SessionKey, SessionSummaryEntry, fold_session_summary

from tract.exceptions import ContentValidationError, HeadMovedError, MetadataChangedError
from tract.handles.staging import StagedBranch, StagedCommit
from tract.integrations.claude_agent.entries import Planned, preserved
from tract.integrations.claude_agent.names import Named
from tract.models.queries.conditions import metadata
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["append", "summary_in"]

_NOTES = "claude_agent"
"""The member of a tract's metadata that has the adapter's own."""


class _Shown(NamedTuple):
    """An entry that a model is shown, by its commit."""

    commit: str | StagedCommit
    uuid: str | None


class _Before(NamedTuple):
    """What a transcript is before a batch."""

    head: str | None
    notes: dict[str, Any]
    metadata: dict[str, Any] | None
    shown: list[_Shown]
    """Those that the batch may hide; none, if it does not compact."""
    asked: str | None
    """The head that the newest reply answered, if the batch goes on with that reply."""


async def append(store: TractStore, named: Named, batch: Sequence[Planned]) -> None:
    """Commit what is new in a batch, and what it changes in the session's summary, in one write."""
    tract = store.tract(named.tract_id)
    while True:
        head = await tract.head()
        new = await _new(tract, head, batch)
        if not new:
            return
        before = await _before(tract, head, new)
        notes = _noted(named, before.notes, new)
        try:
            async with store.transaction() as tx:
                branch = tx.on(tract, expected_head=head)
                branch.set_info(
                    metadata={**(before.metadata or {}), _NOTES: notes},
                    expected_metadata=before.metadata,
                    redact=False,
                )
                _stage(branch, before, new)
        except (HeadMovedError, MetadataChangedError):
            continue  # another process came first
        return


def summary_in(info: dict[str, Any] | None) -> dict[str, Any]:
    """Return the summary in a tract's metadata, which is the SDK's own."""
    summary: dict[str, Any] = _notes_in(info).get("summary") or {}
    return summary


async def _new(tract: AsyncTract, head: str | None, batch: Sequence[Planned]) -> list[Planned]:
    """Return the entries that the branch does not have yet."""
    keys = [each.key for each in batch if each.key is not None]
    found = await tract.get_by_keys(keys) if head is not None and keys else {}
    if not found:
        return list(batch)
    on = await tract.reached_by([info.commit_hash for info in found.values()])
    there = {key for key, info in found.items() if tract.branch in on[info.commit_hash]}
    return [each for each in batch if each.key not in there]


async def _before(tract: AsyncTract, head: str | None, new: Sequence[Planned]) -> _Before:
    info = await tract.info()
    given = None if info is None else info.metadata
    notes = _notes_in(given)
    shown = []
    if any(each.compacts for each in new):
        for entry in await tract.entries(at_commit=head):
            uuid = (entry.metadata or {}).get("uuid")
            shown.append(_Shown(entry.commit_hash, uuid if isinstance(uuid, str) else None))
    reply = next((each.reply for each in new if each.is_shown), None)
    asked = None
    if reply is not None and reply == notes.get("reply"):
        first = await tract.query(metadata("message_id") == reply, limit=1)
        asked = first[0].parent_hash if first else None
    return _Before(head, notes, given, shown, asked)


def _notes_in(info: dict[str, Any] | None) -> dict[str, Any]:
    notes = (info or {}).get(_NOTES)
    return notes if isinstance(notes, dict) else {}


def _noted(named: Named, before: dict[str, Any], new: Sequence[Planned]) -> dict[str, Any]:
    """Return what the tract's metadata say of the transcript once *new* is there."""
    shown = [each for each in new if each.is_shown]
    notes = {"reply": shown[-1].reply if shown else before.get("reply")}
    if named.subpath:
        return notes
    key = SessionKey(project_key=named.project_key, session_id=named.session_id)
    data = before.get("summary")
    previous = None
    if isinstance(data, dict):
        previous = SessionSummaryEntry(session_id=named.session_id, mtime=0, data=data)
    entries: list[Any] = [each.entry for each in new]
    return {**notes, "summary": fold_session_summary(previous, key, entries)["data"]}


def _stage(branch: StagedBranch, before: _Before, new: Sequence[Planned]) -> None:
    last: str | StagedCommit | None = before.head
    shown = before.shown
    asked: str | StagedCommit | None = before.asked
    reply = before.notes.get("reply") if asked else None
    for each in new:
        if each.is_shown and (each.reply is None or each.reply != reply):
            reply, asked = each.reply, last
        _record(branch, each, asked)
        last = branch.commit(
            each.content,
            key=each.key,
            on_key="replace",  # of an entry that a reset has left
            metadata=each.metadata,
            generation_config=each.config,
            redact=False,
        )
        if each.compacts:
            shown = _compacted(branch, each, shown)
        elif each.is_shown:
            shown.append(_Shown(last, each.uuid))


def _record(branch: StagedBranch, each: Planned, asked: str | StagedCommit | None) -> None:
    """Record the usage of a reply for the context that it answers."""
    if each.usage is None or asked is None:
        return
    try:
        branch.record_usage(each.usage, head_hash=asked, redact=False)
    except ContentValidationError:
        pass  # of a shape that is not the API's; the entry has it


def _compacted(branch: StagedBranch, boundary: Planned, shown: list[_Shown]) -> list[_Shown]:
    """Leave out what a compaction has summed up; return what is still shown."""
    kept = preserved(boundary.entry, [each.uuid for each in shown])
    for place, each in enumerate(shown):
        if place not in kept:
            branch.annotate(each.commit, "skip", reason="compacted")
    return [shown[place] for place in kept]
