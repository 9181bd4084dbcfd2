"""`CompactionWriter`: writes compactions onto branches on which others go on committing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from tract.engine.commit.engine import CommitEngine
from tract.engine.compaction.bases import Look, basis_of, checked
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.compile.entries import Entry
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader
from tract.engine.threads import Threads
from tract.exceptions import CompactionTargetError, HeadMovedError, TractError
from tract.models.compaction import CompactionPlan, CompactionResult
from tract.protocols import CommitStep
from tract.storage.repositories import (
    BranchName,
    CommitDraft,
    CommitRow,
    OutdatedBasisError,
    Position,
)

__all__ = ["CompactionWriter"]

_HEAD = Position()


class CompactionWriter:
    """Writes the compactions of one store, each on what it was checked against."""

    def __init__(
        self,
        contexts: ContextReader,
        commits: CommitEngine,
        compiler: DefaultContextCompiler,
        threads: Threads,
    ) -> None:
        self._contexts = contexts
        self._commits = commits
        self._compiler = compiler
        self._threads = threads

    async def look(self, branch: BranchName, position: Position = _HEAD) -> Look:
        """Return what is shown at *position*.

        Raises:
            TractError: the compiler or its counter cannot say what single entries cost.
        """
        found = await self._contexts.snapshot(branch, position)
        if not isinstance(found.snapshot, Snapshot) or not self._compiler.counts_incrementally:
            raise TractError(
                "Shortening a context needs its entries and their tokens, which only the default "
                "compiler, its subclasses, and counters of type BaseTokenCounter have."
            )
        return Look(found.snapshot, found.erasures)

    def reply(self, snapshot: Snapshot) -> int:
        """Return what a context costs beside its messages."""
        return self._compiler.tokens_for_reply if snapshot.visible else 0

    async def tokens(self, snapshot: Snapshot, draft: CommitDraft) -> tuple[int, int]:
        """Return the tokens of a context, and what it will have after a commit."""
        after = await self._contexts.folded(snapshot.apart(), [_step(draft)])
        assert isinstance(after, Snapshot)
        return self._whole(snapshot), self._whole(after)

    async def land(
        self,
        branch: BranchName,
        draft: CommitDraft,
        covered: Sequence[Entry],
        plan: CompactionPlan | None,
    ) -> CompactionResult | None:
        """Write a compaction that hides what it covers by a *plan*, or clears it without one.

        What others commit after the last look comes before it. Return None if what it covers has
        changed, or does not stand by itself any more.

        Raises:
            CompactionTargetError: the context would be longer than the plan's target.
        """
        while True:
            look = await self.look(branch)
            hides = plan is not None
            check = partial(checked, look, covered, hides=hides)
            found = await self._threads.run(check)
            if found is None:
                return None
            before, tokens = await self.tokens(look.snapshot, draft)
            if plan is not None:
                _check_target(plan, before, tokens)
            try:
                (row,) = await self._commits.write_on(
                    branch, [draft], found.basis, expected_head=found.expected_head
                )
            except (OutdatedBasisError, HeadMovedError):
                continue
            if row.parent_hash != look.snapshot.head_hash:
                with suppress(TractError):  # it is written: what was counted last is near enough
                    before, tokens = await self._tokens_around(branch, row)
            named = tuple(each.commit_hash for each in covered)
            return CompactionResult(
                commit_hash=row.commit_hash,
                hidden=named if hides else (),
                cleared=() if hides else named,
                tokens_before=before,
                tokens_after=tokens,
            )

    async def undo(
        self, branch: BranchName, draft: CommitDraft, look: Look
    ) -> list[CommitRow] | None:
        """Write what undoes a compaction; return None if others hid or showed something since."""
        try:
            return await self._commits.write_on(branch, [draft], basis_of(look))
        except OutdatedBasisError:
            return None

    def _whole(self, snapshot: Snapshot) -> int:
        return snapshot.joined_tokens + self.reply(snapshot)

    async def _tokens_around(self, branch: BranchName, row: CommitRow) -> tuple[int, int]:
        """Return the tokens of the contexts before and after a commit that is there."""
        before = await self.look(branch, Position(row.parent_hash))
        after = await self.look(branch, Position(row.commit_hash))
        return self._whole(before.snapshot), self._whole(after.snapshot)


def _check_target(plan: CompactionPlan, before: int, after: int) -> None:
    """Raise unless the target is met, but for what others committed since."""
    came = max(0, before - plan.tokens_before)
    if plan.target_tokens is not None and after - came > plan.target_tokens:
        raise CompactionTargetError(plan.target_tokens, plan.floor, after - came)


def _step(draft: CommitDraft) -> CommitStep:
    return CommitStep(
        commit_hash="-",
        operation=draft.operation,
        edit_target=None,
        content_type=draft.content_type,
        data=draft.data,
        token_count=draft.token_count,
        token_source=draft.token_source,
        generation_config_json=draft.generation_config_json,
    )
