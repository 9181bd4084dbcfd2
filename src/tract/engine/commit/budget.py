"""Token budgets: a commit is checked against the context as it would be afterwards."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import anyio

from tract import callers
from tract.engine.compile.reading import ContextReader, Found, ViewOptions
from tract.exceptions import (
    BudgetExceededError,
    CommitNotFoundError,
    HeadMovedError,
    TokenBudgetWarning,
    TractError,
)
from tract.models.config import BudgetAction, TokenBudgetConfig
from tract.protocols import UNSET, CommitStep, UnsetType
from tract.storage.repositories import (
    BranchName,
    CommitDraft,
    CommitRepository,
    CommitRow,
    ComparisonRepository,
    MergeBasis,
    OutdatedMergeError,
    Position,
    StreamEnd,
)

__all__ = ["BudgetedCommits"]

Expected = str | None | UnsetType
_HASH_LENGTH = 64


class _OverBudget(Exception):
    """The attempt was not made; how far over it would be."""

    def __init__(self, tokens: int) -> None:
        super().__init__(tokens)
        self.tokens = tokens


class _Work(NamedTuple):
    """What is to be written, once it has been checked; see `BudgetedCommits.write`."""

    drafts: Sequence[CommitDraft]
    expected_head: Expected = UNSET
    ending: StreamEnd | None = None
    basis: MergeBasis | None = None
    brought: Sequence[CommitStep] = ()


class BudgetedCommits:
    """Writes commits; with a budget, each on the very head that it was checked against.

    Attempts of one branch take turns, so that they do not invalidate each other's checks; the
    callback runs while nobody is kept waiting, and may use the tract.
    """

    def __init__(
        self,
        commits: CommitRepository,
        comparisons: ComparisonRepository,
        reader: ContextReader,
        budget: TokenBudgetConfig | None,
    ) -> None:
        self._commits = commits
        self._comparisons = comparisons
        self._reader = reader
        self._budget = budget
        self._turns: WeakValueDictionary[tuple[str, str], anyio.Lock] = WeakValueDictionary()

    @property
    def calls_back(self) -> bool:
        """Whether a write may run code of the program's own."""
        return self._budget is not None and self._budget.callback is not None

    def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: Expected = UNSET,
        ending: StreamEnd | None = None,
    ) -> Coroutine[Any, Any, list[CommitRow]]:
        """Commit *drafts*; see `CommitRepository.write`. *ending* is the stream that they end.

        Raises:
            BudgetExceededError: the action is `reject` and the context would be over the budget.
        """
        if self._budget is None:
            return self._commits.write(branch, drafts, expected_head=expected_head, ending=ending)
        return self._take_turn(self._budget, branch, _Work(drafts, expected_head, ending))

    def merge(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: MergeBasis,
        brought: Sequence[CommitStep],
        expected_head: Expected = UNSET,
    ) -> Coroutine[Any, Any, list[CommitRow]]:
        """Commit a merge; see `CommitRepository.merge`.

        *brought* are the steps that it adds to the history before the drafts.

        Raises:
            BudgetExceededError: the action is `reject` and the context would be over the budget.
        """
        if self._budget is None:
            return self._commits.merge(branch, drafts, basis, expected_head=expected_head)
        work = _Work(drafts, expected_head, basis=basis, brought=brought)
        return self._take_turn(self._budget, branch, work)

    async def _take_turn(
        self, budget: TokenBudgetConfig, branch: BranchName, work: _Work
    ) -> list[CommitRow]:
        self._commits.check_writable()
        turn = self._turns.setdefault(branch, anyio.Lock(fast_acquire=True))
        try:
            async with turn:
                return await self._write_within(budget, branch, work)
        except _OverBudget as over:
            tokens = over.tokens
        await _act(budget, tokens)
        return await self._commit(branch, work, work.expected_head)

    async def _commit(
        self, branch: BranchName, work: _Work, expected_head: Expected
    ) -> list[CommitRow]:
        drafts, basis = work.drafts, work.basis
        if basis is not None:
            return await self._commits.merge(branch, drafts, basis, expected_head=expected_head)
        return await self._commits.write(
            branch, drafts, expected_head=expected_head, ending=work.ending
        )

    async def admit(self, branch: BranchName, to: str) -> None:
        """Act as the budget says where moving *branch* to the commit *to* takes it over.

        Raises:
            BudgetExceededError: the action is `reject`.
        """
        if self._budget is None:
            return
        now = await self._tokens(branch, Position())
        tokens = await self._tokens(branch, Position(to))
        if tokens > max(now, self._budget.max_tokens):
            await _act(self._budget, tokens)

    async def _tokens(self, branch: BranchName, position: Position) -> int:
        found = await self._reader.snapshot(branch, position)
        context = await self._reader.view(Found(found.snapshot, None), ViewOptions())
        return context.token_count

    async def _write_within(
        self,
        budget: TokenBudgetConfig,
        branch: BranchName,
        work: _Work,
    ) -> list[CommitRow]:
        made = [await self._step(branch, *item) for item in enumerate(work.drafts)]
        steps = [*work.brought, *made]
        while True:
            found = await self._reader.snapshot(branch)
            expected, head = work.expected_head, found.snapshot.head_hash
            await self.check_head(branch, head, expected)
            basis, tract_id = work.basis, branch.tract_id
            if basis and not await self._comparisons.still_holds(tract_id, head, basis):
                raise OutdatedMergeError  # else what is brought might count twice
            await self._check(budget, found, steps)
            try:
                return await self._commit(branch, work, head)
            except HeadMovedError:
                if expected is not UNSET:
                    raise
                # another process was faster: check against its head

    async def _check(
        self, budget: TokenBudgetConfig, found: Found, steps: Sequence[CommitStep]
    ) -> None:
        """Raise `_OverBudget` if *steps* take the context over the budget, or further over it.

        A commit that adds no tokens is always let in: it is how a context gets shorter.
        """
        tokens = await self._tokens_after(found, steps)
        if tokens is None or tokens <= budget.max_tokens:
            return
        now = await self._reader.view(Found(found.snapshot, None), ViewOptions())
        if tokens > now.token_count:
            raise _OverBudget(tokens)

    async def _tokens_after(self, found: Found, steps: Sequence[CommitStep]) -> int | None:
        """Return the tokens afterwards; None where the drafts are wrong, which writing will tell."""
        try:
            context = await self._reader.after(found, steps)
        except TractError:
            return None
        return context.token_count

    async def check_head(self, branch: BranchName, head: str | None, expected: Expected) -> None:
        """Refuse a head that is not the one that a hash or a name stands for.

        Raises:
            HeadMovedError: it is another.
        """
        if expected is UNSET or expected == head:
            return
        if expected is None:
            raise HeadMovedError(expected, head)
        try:
            found = await self._commits.resolve(branch.tract_id, expected)
        except CommitNotFoundError:
            raise HeadMovedError(expected, head) from None
        if found != head:
            raise HeadMovedError(expected, head)

    async def _step(self, branch: BranchName, index: int, draft: CommitDraft) -> CommitStep:
        """Return the step that a draft will be, its target named as the fold knows it."""
        target = draft.target
        if isinstance(target, int):
            target = f"#{target}"
        elif target is not None and not _is_stored_form(target):
            record = await self._commits.get(branch.tract_id, target)
            target = target if record is None else record.commit_hash
        return _step(index, draft, target)


def _is_stored_form(target: str) -> bool:
    """Return True if *target* is a full hash in small letters, which the fold knows it by."""
    return len(target) == _HASH_LENGTH and target == target.lower()


def _step(index: int, draft: CommitDraft, target: str | None) -> CommitStep:
    return CommitStep(
        commit_hash=f"#{index}",
        operation=draft.operation,
        edit_target=target,
        content_type=draft.content_type,
        data=draft.data,
        token_count=draft.token_count,
        token_source=draft.token_source,
        generation_config_json=draft.generation_config_json,
    )


async def _act(budget: TokenBudgetConfig, tokens: int) -> None:
    if budget.action is BudgetAction.REJECT:
        raise BudgetExceededError(tokens, budget.max_tokens)
    if budget.callback is not None:
        result: Any = budget.callback(tokens, budget.max_tokens)
        if inspect.isawaitable(result):
            await result
        return
    callers.warn(
        f"the compiled context will have {tokens} tokens, over the budget of {budget.max_tokens}",
        TokenBudgetWarning,
    )
