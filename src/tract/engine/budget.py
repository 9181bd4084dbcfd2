"""Token budgets: a commit is checked against the context as it would be afterwards."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import anyio

from tract.engine.reading import ContextReader, Found, ViewOptions
from tract.exceptions import (
    BudgetExceededError,
    HeadMovedError,
    TokenBudgetWarning,
    TractError,
)
from tract.models.config import BudgetAction, TokenBudgetConfig
from tract.protocols import UNSET, CommitStep, UnsetType
from tract.storage.repositories import (
    BranchName,
    CommitDraft,
    CommitRecord,
    CommitRepository,
    StreamEnd,
)

__all__ = ["BudgetedCommits"]

Expected = str | None | UnsetType


class _OverBudget(Exception):
    """The attempt was not made; how far over it would be."""

    def __init__(self, tokens: int) -> None:
        super().__init__(tokens)
        self.tokens = tokens


class _Work(NamedTuple):
    """What is to be written, once it has been checked; see `BudgetedCommits.write`."""

    drafts: Sequence[CommitDraft]
    expected_head: Expected
    brought: Sequence[CommitStep]
    ending: StreamEnd | None

    def steps(self) -> list[CommitStep]:
        """Return what it adds to the history."""
        return [*self.brought, *(_step(*item) for item in enumerate(self.drafts))]


class BudgetedCommits:
    """Writes commits; with a budget, each on the very head that it was checked against.

    Attempts of one branch take turns, so that they do not invalidate each other's checks; the
    callback runs while nobody is kept waiting, and may use the tract.
    """

    def __init__(
        self, commits: CommitRepository, reader: ContextReader, budget: TokenBudgetConfig | None
    ) -> None:
        self._commits = commits
        self._reader = reader
        self._budget = budget
        self._turns: WeakValueDictionary[tuple[str, str], anyio.Lock] = WeakValueDictionary()

    async def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: Expected = UNSET,
        brought: Sequence[CommitStep] = (),
        ending: StreamEnd | None = None,
    ) -> list[CommitRecord]:
        """Commit *drafts*; see `CommitRepository.write`.

        *brought* are the steps that a merge among them adds to the history before them; *ending* is
        the stream that they end.

        Raises:
            BudgetExceededError: the action is `reject` and the context would be over the budget.
        """
        budget = self._budget
        if budget is None:
            return await self._commits.write(
                branch, drafts, expected_head=expected_head, ending=ending
            )
        work = _Work(drafts, expected_head, brought, ending)
        turn = self._turns.setdefault(branch[:2], anyio.Lock(fast_acquire=True))
        try:
            async with turn:
                return await self._write_within(budget, branch, work)
        except _OverBudget as over:
            tokens = over.tokens
        await _act(budget, tokens)
        return await self._commits.write(branch, drafts, expected_head=expected_head, ending=ending)

    async def _write_within(
        self,
        budget: TokenBudgetConfig,
        branch: BranchName,
        work: _Work,
    ) -> list[CommitRecord]:
        while True:
            found = await self._reader.snapshot(branch)
            expected, head = work.expected_head, found.snapshot.head_hash
            if expected is UNSET or expected == head:
                await self._check(budget, found, work.steps())
            try:
                return await self._commits.write(
                    branch,
                    work.drafts,
                    expected_head=head if expected is UNSET else expected,
                    ending=work.ending,
                )
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


def _step(index: int, draft: CommitDraft) -> CommitStep:
    target = f"#{draft.target}" if isinstance(draft.target, int) else draft.target
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
    warnings.warn(
        f"the compiled context will have {tokens} tokens, over the budget of {budget.max_tokens}",
        TokenBudgetWarning,
        stacklevel=2,
    )
