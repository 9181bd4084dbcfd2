"""A checkpoint on its way into a thread: what is to be written, and how that is staged."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tract.handles.staging import StagedBranch, StagedCommit
from tract.integrations.langgraph.lists import Change
from tract.integrations.langgraph.records import WRITES, Record, Shown, key_of
from tract.integrations.langgraph.values import Element, Large, Packed
from tract.tract import AsyncTract
from tract.transaction import Transaction

__all__ = ["ParentGoneError", "Plan", "Staged", "moved", "staged_value"]


class Plan(NamedTuple):
    """A checkpoint to be written; it shares nothing with the caller."""

    thread: str
    ns: str
    id: str
    parent_id: str | None
    parent: Record | None
    checkpoint: Packed
    metadata: Packed
    about: Mapping[str, Any]
    values: Sequence[tuple[str, Packed | Large]]
    channels: Sequence[str]
    """All channels that have values, in order."""
    channel: str | None
    """The channel whose list is the context."""
    change: Change
    made_with: Mapping[str | None, Mapping[str, Any]]
    """The options of commits for new messages, by the messages' ids."""


class ParentGoneError(Exception):
    """The parent of a checkpoint was deleted while that was on its way."""


class Staged:
    """A checkpoint that is staged."""

    def __init__(self, plan: Plan, era: str | None, *, late: bool = False) -> None:
        self._plan = plan
        self._late = late
        self._new: list[tuple[Element, StagedCommit]] = []
        self._edits: list[tuple[str, StagedCommit]] = []
        self._at: list[tuple[dict[str, Any], StagedCommit]] = []
        self._state: StagedCommit | None = None
        count = len(plan.change.elements)
        shown = plan.channel is not None
        self._shown = Shown(plan.channel or "", era or secrets.token_hex(8), count)
        self._payload: dict[str, Any] = {
            "langgraph": "checkpoint",
            "id": plan.id,
            "ns": plan.ns,
            "parent": plan.parent_id,
            "shown": list(self._shown) if shown else None,
        }

    def on(self, branch: StagedBranch) -> None:
        """Stage everything on a branch."""
        plan, change = self._plan, self._plan.change
        for entry in change.skipped:
            branch.annotate(entry, "skip")
        for entry, content in change.edited:
            edit = branch.commit(content, operation="edit", edit_target=entry)
            self._edits.append((entry, edit))
        for element in change.elements[change.kept :]:
            options = plan.made_with.get(element.id, {})
            self._new.append((element, branch.commit(element.content, **options)))
        self._payload["checkpoint"] = plan.checkpoint
        self._payload["metadata"] = plan.metadata
        values = dict(plan.values)
        self._payload["values"] = [
            [channel, self._placed(branch, values[channel]) if channel in values else {}]
            for channel in plan.channels
        ]
        key = key_of(plan.ns, plan.id, late=self._late)
        self._state = branch.state(
            self._payload, key=key, on_key="replace", metadata=plan.about or None
        )

    def _placed(self, branch: StagedBranch, value: Packed | Large) -> Packed:
        if not isinstance(value, Large):
            return value
        staged = branch.state({"kind": value.kind, "data": value.data})
        placed: dict[str, Any] = {"at": staged.reference}
        self._at.append((placed, staged))
        return placed

    def landed(self) -> tuple[Record, list[Element]]:
        """Return the checkpoint and its messages, once they are written."""
        assert self._state is not None
        for placed, staged in self._at:
            placed["at"] = staged.info.commit_hash
        for element, staged in self._new:
            element.commit = staged.info.commit_hash
        elements = self._plan.change.elements
        edits = {entry: staged.info.commit_hash for entry, staged in self._edits}
        for element in elements if edits else ():
            element.edited = edits.get(element.commit, element.edited)
        return Record(self._state.info.commit_hash, self._payload), elements


def staged_value(batch: StagedBranch, value: Packed | Large) -> Packed:
    """Stage a value, if it is large, and return what stands for it."""
    if not isinstance(value, Large):
        return value
    return {"at": batch.state({"kind": value.kind, "data": value.data})}


def moved(
    tx: Transaction,
    on: StagedBranch,
    branch: AsyncTract,
    parent: str | None,
    reached: Mapping[str, list[str]],
) -> StagedBranch:
    """Stage the move of a branch to any commit of the tract, and return it."""
    if parent is None or branch.branch in reached[parent]:
        on.reset(parent, reason="another line of the thread")
        return on
    other = tx.on(branch.on(WRITES))
    other.delete_branch(branch.branch, force=True)
    return other.fork(branch.branch, at_commit=parent)
