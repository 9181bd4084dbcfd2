"""Token budgets: a commit is checked against the context that it would produce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from weakref import WeakValueDictionary

from tract import callers
from tract.crossing import called_back
from tract.engine.compile.reading import ContextReader, Found, ViewOptions
from tract.exceptions import BudgetExceededError, TokenBudgetWarning, TractError
from tract.models.config import BudgetAction, TokenBudgetConfig
from tract.protocols import CommitStep
from tract.storage.repositories import BranchName, CommitDraft, CommitRepository, Position
from tract.waiting import Lock

__all__ = ["Budget", "OverBudgetError"]

_HASH_LENGTH = 64


class OverBudgetError(Exception):
    """A write was not attempted; the context would have `tokens`. Callers never see this."""

    def __init__(self, tokens: int) -> None:
        super().__init__(tokens)
        self.tokens = tokens


class Budget:
    """The limit of a context's tokens, and the action on commits that would exceed it."""

    def __init__(
        self, commits: CommitRepository, contexts: ContextReader, limits: TokenBudgetConfig
    ) -> None:
        self._commits = commits
        self._contexts = contexts
        self._limits = limits
        self._turns: WeakValueDictionary[tuple[str, str], Lock] = WeakValueDictionary()

    @property
    def calls_back(self) -> bool:
        """Whether `act` calls a callback of the caller's."""
        return self._limits.callback is not None

    def turn(self, branch: BranchName) -> Lock:
        """Return the lock of a branch, which admits one check and write at a time."""
        return self._turns.setdefault(branch[:2], Lock())

    async def steps(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        kept: Mapping[int, str],
        first: int = 0,
    ) -> list[CommitStep]:
        """Return the steps that drafts will become, with targets as the fold names them.

        They are numbered from *first*. *kept* are those whose keys name commits already, which are
        not made.
        """
        return [
            _step(number, draft, await self._target(branch, draft, kept))
            for number, draft in enumerate(drafts, first)
            if number not in kept
        ]

    async def _target(
        self, branch: BranchName, draft: CommitDraft, kept: Mapping[int, str]
    ) -> str | None:
        target = draft.target
        if isinstance(target, int):
            return kept.get(target, f"#{target}")
        if target is None or _is_stored_form(target):
            return target
        row = await self._commits.get(branch.tract_id, target)
        return target if row is None else row.commit_hash

    async def check(self, found: Found, steps: Sequence[CommitStep]) -> None:
        """Check *steps* that are to follow a head.

        Commits that add no tokens are always admitted, so that a context can be shortened.

        Raises:
            OverBudgetError: they make the context exceed the budget, or exceed it further.
        """
        tokens = await self._tokens_after(found, steps)
        if tokens is None or tokens <= self._limits.max_tokens:
            return
        if tokens > await self._count(found):
            raise OverBudgetError(tokens)

    async def admit(self, branch: BranchName, to: str) -> None:
        """Take the budget's action if moving *branch* to the commit *to* would exceed it.

        Raises:
            BudgetExceededError: the action is `reject`.
        """
        now = await self._count(await self._contexts.snapshot(branch))
        tokens = await self._count(await self._contexts.snapshot(branch, Position(to)))
        if tokens > max(now, self._limits.max_tokens):
            await self.act(tokens)

    async def act(self, tokens: int) -> None:
        """Take the budget's action on a context of so many tokens.

        Raises:
            BudgetExceededError: the action is `reject`.
        """
        budget = self._limits
        if budget.action is BudgetAction.REJECT:
            raise BudgetExceededError(tokens, budget.max_tokens)
        if budget.callback is not None:
            await called_back(budget.callback, tokens, budget.max_tokens)
            return
        callers.warn(
            f"the compiled context will have {tokens} tokens, over the budget of "
            f"{budget.max_tokens}",
            TokenBudgetWarning,
        )

    async def _count(self, found: Found) -> int:
        """Return the counted tokens of a context, even if an API reported usage."""
        context = await self._contexts.view(Found(found.snapshot, None), ViewOptions())
        return context.token_count

    async def _tokens_after(self, found: Found, steps: Sequence[CommitStep]) -> int | None:
        """Return the tokens afterwards; None if the drafts are faulty, as writing will report."""
        try:
            context = await self._contexts.after(found, steps)
        except TractError:
            return None
        return context.token_count


def _is_stored_form(target: str) -> bool:
    """Return True if *target* is a full hash in lower case, as the fold names entries."""
    return len(target) == _HASH_LENGTH and target == target.lower()


def _step(number: int, draft: CommitDraft, target: str | None) -> CommitStep:
    return CommitStep(
        commit_hash=f"#{number}",
        operation=draft.operation,
        edit_target=target,
        content_type=draft.content_type,
        data=draft.step_data,
        token_count=draft.token_count,
        token_source=draft.token_source,
        generation_config_json=draft.generation_config_json,
    )
