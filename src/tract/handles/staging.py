"""Staging: what is to land together, in the order of its calls."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict, Unpack

from pydantic import BaseModel

from tract.engine.branches.tracts import TractEngine
from tract.engine.commit.drafts import Given
from tract.engine.commit.engine import Staged
from tract.engine.commit.usage import UsageKeeper
from tract.engine.threads import is_heavy
from tract.engine.transactions import Placed, StagedErasure, StagedItem, TransactionEngine
from tract.exceptions import (
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    TractError,
    shown,
)
from tract.handles.arguments import (
    checked_hash,
    checked_head,
    checked_new_name,
    checked_ref,
    checked_target,
    checked_text,
    checked_title,
    said,
)
from tract.models.annotations import Priority
from tract.models.commit import CommitInfo
from tract.models.erasure import ErasureReceipt
from tract.models.operations import CommitOperation, OnKey
from tract.protocols import UNSET, TokenUsage, UnsetType
from tract.running.lifecycle import CallGate
from tract.storage.repositories import (
    AddTag,
    BranchName,
    DeleteBranch,
    DeleteTag,
    ForkBranch,
    Named,
    RecordUsage,
    ResetBranch,
)

__all__ = ["StagedBranch", "StagedCommit", "StagedOptions", "Staging"]

_MARK_BYTES = 24
_DEEPEST = 200


class StagedOptions(TypedDict, total=False):
    """The keywords of `StagedBranch.commit` that `system`, `user` and `assistant` take, too."""

    operation: CommitOperation | Literal["append", "edit"]
    message: str | None
    edit_target: str | StagedCommit | None
    metadata: Mapping[str, Any] | None
    generation_config: Mapping[str, Any] | None
    redact: bool | None
    key: str | None
    on_key: OnKey
    expected_head: str | UnsetType | None


class Staging:
    """What one block has staged, and what became of it; *noun* names the block in errors."""

    def __init__(
        self,
        engine: TransactionEngine,
        usage: UsageKeeper,
        tracts: TractEngine,
        gate: CallGate,
        noun: str,
    ) -> None:
        self.engine: TransactionEngine = engine
        self.usage: UsageKeeper = usage
        self.tracts: TractEngine = tracts
        self.noun: str = noun
        self.items: list[StagedItem] = []
        self.number: int = 0
        """Commits that were staged."""
        self.commits: list[CommitInfo] = []
        self.receipts: list[ErasureReceipt] = []
        self._gate = gate
        self._state = "new"
        self._mark = ""
        self._expected: list[tuple[BranchName, str | None]] = []

    def check_open(self) -> None:
        """Raise a TractError unless the block is running."""
        if self._state != "open":
            raise TractError(f"Stage inside the {self.noun}'s `async with` block.")

    def expect(self, branch: BranchName, head: object) -> None:
        """Demand a head, unless it is UNSET."""
        expected = checked_head(head)
        if expected is not UNSET:
            self._expected.append((branch, expected))

    def add(self, item: StagedItem) -> None:
        """Stage something."""
        self.check_open()
        self.items.append(item)

    def mark(self) -> str:
        """Return the text that, with a commit's number, stands for its hash."""
        self._mark = self._mark or secrets.token_hex(_MARK_BYTES)
        return self._mark

    async def enter(self) -> None:
        """Begin the block.

        Raises:
            TractError: it was begun before.
            StoreClosedError, StoreReadOnlyError: it could not be written.
        """
        if self._state != "new":
            raise TractError(f"A {self.noun} is used once; call `{self.noun}()` for another.")
        with self._gate.call():  # a closed store raises before the block runs
            self.engine.commits.check_writable()
            self._state = "open"

    async def leave(self, *, failed: bool) -> None:
        """End the block: write what was staged, unless it has *failed*."""
        self._state = "left"
        if not failed and (self.items or self._expected):
            with self._gate.call():
                self.commits, self.receipts = await self.engine.land(
                    self.items, self._expected, self._mark.encode()
                )

    def __repr__(self) -> str:
        done = self.commits or self.receipts
        return f"{len(self.commits)} landed" if done else f"{len(self.items)} staged"


class StagedCommit:
    """A staged commit: a target for whatever is staged after it, and a commit once written."""

    def __init__(self, staging: Staging, number: int) -> None:
        self._staging = staging
        self._number = number

    @property
    def info(self) -> CommitInfo:
        """The commit, once it is written.

        Raises:
            TractError: the batch or transaction is not written yet.
        """
        if not self._has_landed:
            raise TractError(
                f"The {self._staging.noun} is not written yet; leave its `async with` block first."
            )
        return self._staging.commits[self._number]

    @property
    def reference(self) -> str:
        """A text that becomes the commit's hash in states that are staged after it.

        It may stand anywhere in the payload of a state, as a string or in one, but not in the name
        of a member. Once the commit is written, this is its hash.
        """
        return (
            self.info.commit_hash
            if self._has_landed
            else f"{self._staging.mark()}{self._number:016x}"
        )

    @property
    def _has_landed(self) -> bool:
        return self._number < len(self._staging.commits)

    def _named_in(self, staging: Staging) -> Named | None:
        """Return what names this commit there; None if it is of another block that still runs."""
        if self._has_landed:
            return self._staging.commits[self._number].commit_hash
        return self._number if staging is self._staging else None

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (self.reference,)  # in copies of a state's payload, which are made this way

    def __repr__(self) -> str:
        landed = self.info.commit_hash[:12] if self._has_landed else "not landed"
        return f"<StagedCommit {self._number}: {landed}>"


class StagedBranch:
    """A branch, for staging: calls take the arguments of those of `AsyncTract`, and await nothing.

    Get one from `Transaction.on`. Wherever a call takes a hash, it also takes a `StagedCommit` of
    the same transaction. Arguments are copied at once, so that the caller may change them. Small
    contents are checked at once; everything else when the block is left.
    """

    def __init__(self, staging: Staging, branch: BranchName) -> None:
        self._staging = staging
        self._branch = branch

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
        expected_head: str | UnsetType | None = UNSET,
    ) -> StagedCommit:
        """Stage one commit; the arguments are those of `AsyncTract.commit`.

        A commit that is kept under its key becomes that of this call, and later calls may target
        it. *expected_head* is the branch's head from before anything that is staged.

        Raises:
            ContentValidationError: content, message, metadata or config cannot be stored.
            EditTargetError: the operation and its target do not go together.
            TractError: called outside the block.
        """
        self._staging.check_open()
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
        staged = self._staging.engine.commits.stage(given)
        self._staging.expect(self._branch, expected_head)
        return self._stage(staged)

    def state(
        self,
        payload: Any,
        *,
        key: str | None = None,
        on_key: OnKey = "error",
        message: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        generation_config: Mapping[str, Any] | None = None,
        expected_head: str | UnsetType | None = UNSET,
    ) -> StagedCommit:
        """Stage a program's state; the arguments are those of `AsyncTract.state`.

        A `StagedCommit` in *payload* becomes the hash of that commit; see
        `StagedCommit.reference`.
        """
        if not is_heavy(payload):  # a large one is copied, see `StagedCommit.__reduce__`
            payload = _with_references(payload, 0)
        return self.commit(
            {"content_type": "state", "payload": payload},
            message=message,
            metadata=metadata,
            generation_config=generation_config,
            key=key,
            on_key=on_key,
            expected_head=expected_head,
        )

    def system(self, text: str, **options: Unpack[StagedOptions]) -> StagedCommit:
        """Stage an instruction; see `commit`."""
        return self.commit({"content_type": "instruction", "text": text}, **options)

    def user(
        self, text: str, *, name: str | None = None, **options: Unpack[StagedOptions]
    ) -> StagedCommit:
        """Stage a user's message; see `commit`."""
        return self.commit(said("user", text, name), **options)

    def assistant(
        self, text: str, *, name: str | None = None, **options: Unpack[StagedOptions]
    ) -> StagedCommit:
        """Stage an assistant's message; see `commit`."""
        return self.commit(said("assistant", text, name), **options)

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
        self._staging.check_open()
        if not issubclass(type(target), (str, StagedCommit)):
            raise CommitNotFoundError(shown(target))
        named = self._target(target)
        return self._stage(self._staging.engine.commits.stage_annotation(named, priority, reason))

    def fork(
        self, name: str, *, at_commit: str | StagedCommit | UnsetType | None = UNSET
    ) -> StagedBranch:
        """Stage a new branch, and return it for staging; see `AsyncTract.fork`.

        By default it begins at the head that this branch has at that point of the transaction.
        """
        name = checked_new_name(name)
        at = at_commit if at_commit is None or at_commit is UNSET else self._named(at_commit)
        self._staging.add(ForkBranch(self._branch, name, at))
        return StagedBranch(self._staging, BranchName(self._branch.tract_id, name))

    def reset(self, to_hash: str | StagedCommit | None, *, reason: str | None = None) -> None:
        """Stage a move of this branch back to a commit of its history; see `AsyncTract.reset`."""
        to = None if to_hash is None else self._named(to_hash)
        note = None if reason is None else checked_text("reason", reason)
        self._staging.add(ResetBranch(self._branch, to, note))

    def delete_branch(self, name: str, *, force: bool = False) -> None:
        """Stage the deletion of another branch; see `AsyncTract.delete_branch`."""
        name = checked_ref(name)
        if name == self._branch.branch:
            raise TractError(f"A branch cannot delete itself: {name!r}. Use another one's handle.")
        self._staging.add(DeleteBranch(self._branch._replace(branch=name), force))

    def tag(self, name: str, target_hash: str | StagedCommit | UnsetType | None = UNSET) -> None:
        """Stage a name for a commit; see `AsyncTract.tag`.

        By default that is the head that this branch has at that point of the transaction.
        """
        name = checked_new_name(name)
        target = (
            target_hash if target_hash is None or target_hash is UNSET else self._named(target_hash)
        )
        self._staging.add(AddTag(self._branch, name, target))

    def delete_tag(self, name: str) -> None:
        """Stage the deletion of a tag; see `AsyncTract.delete_tag`."""
        self._staging.add(DeleteTag(self._branch, checked_new_name(name)))

    def record_usage(
        self,
        usage: TokenUsage | Mapping[str, Any] | BaseModel | None,
        *,
        head_hash: str | StagedCommit | UnsetType = UNSET,
        redact: bool = True,
    ) -> None:
        """Stage the usage that an API reported for a head; see `AsyncTract.record_usage`.

        By default that is the head that this branch has at that point of the transaction.
        """
        self._staging.check_open()
        at = UNSET if head_hash is UNSET else self._named(head_hash)
        if usage is None:
            return
        counts, raw_json = self._staging.usage.read(usage, redact=redact is not False)
        if counts.prompt_tokens:
            self._staging.add(RecordUsage(self._branch, counts, raw_json, at))

    def set_info(
        self,
        *,
        title: str | UnsetType | None = UNSET,
        metadata: Mapping[str, Any] | UnsetType | None = UNSET,
        expected_metadata: Mapping[str, Any] | UnsetType | None = UNSET,
        redact: bool = True,
    ) -> None:
        """Stage the title or the metadata of the branch's tract; see `AsyncTract.set_info`.

        *expected_metadata* are those that the tract has at that point of the transaction.
        """
        self._staging.check_open()
        given = checked_title(title, metadata), metadata, expected_metadata
        change = self._staging.tracts.change(self._branch, *given, redact=redact is not False)
        self._staging.add(change)

    def erase(self, hashes: Iterable[str], *, reason: str) -> None:
        """Stage the erasure of stored commits; see `AsyncTract.erase`.

        The receipt is in `Transaction.receipts` once the transaction is written. What is staged
        here cannot be erased here: do not stage it.
        """
        if isinstance(hashes, str):
            raise ContentValidationError("give a list of hashes", "hashes")
        named = [self._named(each) for each in hashes]
        why = checked_text("reason", reason)
        stored = [each for each in named if isinstance(each, str)]
        if len(stored) < len(named):
            raise TractError("A commit that is not written yet cannot be erased: do not stage it.")
        self._staging.add(StagedErasure(self._branch, stored, why))

    def _target(self, target: str | StagedCommit) -> Named:
        if type(target) is not StagedCommit:
            return checked_target(target)
        named = target._named_in(self._staging)
        if named is None:
            raise EditTargetError(repr(target), _of_another(target))
        return named

    def _named(self, named: object) -> Named:
        if type(named) is not StagedCommit:
            return checked_hash(named)
        found = named._named_in(self._staging)
        if found is None:
            raise TractError(f"{named!r} {_of_another(named)}")
        return found

    def _stage(self, staged: Staged) -> StagedCommit:
        self._staging.add(Placed(self._branch, staged))
        self._staging.number += 1
        return StagedCommit(self._staging, self._staging.number - 1)

    def __repr__(self) -> str:
        branch = self._branch
        return (
            f"<{type(self).__name__} {branch.branch!r} of {branch.tract_id!r}: {self._staging!r}>"
        )


def _of_another(staged: StagedCommit) -> str:
    return f"belongs to another {staged._staging.noun}, which is not written yet. Leave that one first."


def _with_references(value: Any, depth: int) -> Any:
    """Return a small payload with texts in place of the staged commits in it."""
    kind = type(value)
    if kind is StagedCommit:
        return value.reference
    if depth > _DEEPEST:  # it is refused later
        return value
    if kind is dict:
        return {key: _with_references(each, depth + 1) for key, each in value.items()}
    if kind is list or kind is tuple:
        return [_with_references(each, depth + 1) for each in value]
    return value
