"""Several commits in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel

from tract.engine.commit.drafts import Given
from tract.engine.commit.engine import CommitEngine, Staged
from tract.exceptions import CommitNotFoundError, EditTargetError, TractError, shown
from tract.handles.arguments import checked_target
from tract.lifecycle import CallGate
from tract.models.annotations import Priority
from tract.models.commit import CommitInfo
from tract.models.operations import CommitOperation, OnKey
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import BranchName

__all__ = ["Batch", "StagedCommit"]


class StagedCommit:
    """A staged commit of a batch: a target for later edits in it, and a commit once written."""

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch = batch
        self._index = index

    @property
    def info(self) -> CommitInfo:
        """The commit, once the batch is written.

        Raises:
            TractError: the batch is not written yet.
        """
        if self._index >= len(self._batch.commits):
            raise TractError("The batch is not written yet; leave its `async with` block first.")
        return self._batch.commits[self._index]

    def target_in(self, batch: Batch) -> str | int:
        """Return the index or hash that names this commit as a target within *batch*."""
        if batch is self._batch:
            return self._index
        if self._index < len(self._batch.commits):
            return self._batch.commits[self._index].commit_hash
        raise EditTargetError(
            repr(self), "belongs to another batch, which is not written yet. Leave that one first."
        )

    def __repr__(self) -> str:
        landed = self._index < len(self._batch.commits)
        state = self._batch.commits[self._index].commit_hash[:12] if landed else "not landed"
        return f"<StagedCommit {self._index}: {state}>"


class Batch:
    """Commits that are staged in a block and written together, or not at all, when it ends.

    Get one from `AsyncTract.batch()`. The block holds no lock: others may commit while it runs, and
    the batch then follows their commits.
    """

    def __init__(
        self,
        commits: CommitEngine,
        gate: CallGate,
        branch: BranchName,
        expected_head: str | UnsetType | None,
    ) -> None:
        self._engine = commits
        self._gate = gate
        self._branch = branch
        self._expected_head = expected_head
        self._staged: list[Staged] = []
        self._state = "new"
        self.commits: list[CommitInfo] = []
        """The commits, in the order of staging; empty until the block is left."""

    def commit(
        self,
        content: BaseModel | Mapping[str, Any],
        *,
        role: str | None = None,
        operation: CommitOperation | Literal["append", "edit"] = CommitOperation.APPEND,
        message: str | None = None,
        edit_target: str | StagedCommit | None = None,
        metadata: Mapping[str, Any] | None = None,
        generation_config: Mapping[str, Any] | None = None,
        redact: bool | None = None,
        key: str | None = None,
        on_key: OnKey = "error",
    ) -> StagedCommit:
        """Stage one commit; the arguments are those of `AsyncTract.commit`.

        The arguments are copied at once, so that the caller may change them. Small contents are
        checked at once, large ones when the block is left. Keys are looked up when it is left: a
        commit that is kept under its key becomes that of this item, and later items may target it.

        Raises:
            ContentValidationError: content, message, metadata or config cannot be stored.
            EditTargetError: the operation and its target do not go together.
            TractError: called outside the block.
        """
        self._check_open()
        target = None if edit_target is None else self._target(edit_target)
        given = Given(
            content,
            operation,
            target,
            message,
            metadata,
            generation_config,
            redact,
            role=role,
            key=key,
            on_key=on_key,
        )
        return self._stage(self._engine.stage(given))

    def state(
        self,
        payload: Any,
        *,
        key: str | None = None,
        on_key: OnKey = "error",
        message: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        generation_config: Mapping[str, Any] | None = None,
    ) -> StagedCommit:
        """Stage a program's state; the arguments are those of `AsyncTract.state`."""
        return self.commit(
            {"content_type": "state", "payload": payload},
            message=message,
            metadata=metadata,
            generation_config=generation_config,
            key=key,
            on_key=on_key,
        )

    def annotate(
        self,
        target: str | StagedCommit,
        priority: Priority | Literal["skip", "normal", "pinned"],
        *,
        reason: str | None = None,
    ) -> StagedCommit:
        """Stage a priority for an entry; the arguments are those of `AsyncTract.annotate`.

        Raises:
            CommitNotFoundError: *target* is neither a hash nor a staged commit.
            ContentValidationError: *priority* is not a priority, or *reason* cannot be stored.
            TractError: called outside the block.
        """
        self._check_open()
        if not issubclass(type(target), (str, StagedCommit)):
            raise CommitNotFoundError(shown(target))
        named = self._target(target)
        return self._stage(self._engine.stage_annotation(named, priority, reason))

    def _check_open(self) -> None:
        if self._state != "open":
            raise TractError("Stage commits inside the batch's `async with` block.")

    def _target(self, target: str | StagedCommit) -> str | int:
        if type(target) is StagedCommit:
            return target.target_in(self)
        return checked_target(target)

    def _stage(self, staged: Staged) -> StagedCommit:
        self._staged.append(staged)
        return StagedCommit(self, len(self._staged) - 1)

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise TractError("A batch is used once; call `batch()` for another.")
        with self._gate.call():  # a closed store raises before the block runs
            self._engine.check_writable()
            self._state = "open"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._state = "left"
        if exc_type is None and (self._staged or self._expected_head is not UNSET):
            with self._gate.call():
                self.commits = await self._engine.land(
                    self._branch, self._staged, self._expected_head
                )

    def __repr__(self) -> str:
        count = f"{len(self.commits)} landed" if self.commits else f"{len(self._staged)} staged"
        return f"<Batch of {self._branch.tract_id!r} on {self._branch.branch!r}: {count}>"
