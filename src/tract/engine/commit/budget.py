"""Token budgets: a commit is checked against the context that it would produce."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from tract.engine.compile.reading import ContextReader, Found, ViewOptions
from tract.exceptions import (
    BudgetExceededError,
    CompactionTargetError,
    TokenBudgetWarning,
    TractError,
)
from tract.models.config import BudgetAction, TokenBudgetConfig
from tract.protocols import CommitStep
from tract.running import callers
from tract.running.crossing import called_back
from tract.running.waiting import Lock
from tract.storage.repositories import BranchName, CommitDraft, CommitRepository, Position

__all__ = ["MOST_TRIES", "Budget", "OverBudgetError", "Room"]

_HASH_LENGTH = 64
MOST_TRIES = 8
"""How often room is made for one write: others may take it before it is written."""


class OverBudgetError(Exception):
    """A write was not attempted; the context would have `tokens`. Callers never see this.

    `added` is how many more that is than before.
    """

    def __init__(self, tokens: int, added: int) -> None:
        super().__init__(tokens, added)
        self.tokens = tokens
        self.added = added


class Room(NamedTuple):
    """What making room for a commit came to: whether it fits now, and the commit that was made."""

    fits: bool
    made: str | None = None


MakeRoom = Callable[[BranchName, TokenBudgetConfig, int], Awaitable[Room]]
"""Shortens a branch's context so that it can take so many tokens more; see `Maintainer`."""


class Budget:
    """The limit of a context's tokens, and the action on commits that would exceed it."""

    def __init__(
        self, commits: CommitRepository, contexts: ContextReader, limits: TokenBudgetConfig
    ) -> None:
        self._commits = commits
        self._contexts = contexts
        self._limits = limits
        self._turns: WeakValueDictionary[tuple[str, str], Lock] = WeakValueDictionary()
        self.on_compact: MakeRoom | None = None
        """Called for the action `compact`."""

    @property
    def calls_back(self) -> bool:
        """Whether an action calls a callback of the caller's, or waits for one."""
        return self._limits.action in (BudgetAction.CALLBACK, BudgetAction.COMPACT)

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
        before = await self._count(found)
        if tokens > before:
            raise OverBudgetError(tokens, tokens - before)

    async def admit(self, branch: BranchName, to: str) -> None:
        """Take the budget's action if moving *branch* to the commit *to* would exceed it.

        Raises:
            BudgetExceededError: the action is `reject` or `compact`.
        """
        now = await self._count(await self._contexts.snapshot(branch))
        tokens = await self._count(await self._contexts.snapshot(branch, Position(to)))
        if tokens > max(now, self._limits.max_tokens):
            await self.act(tokens)

    async def make_room(self, branch: BranchName, over: OverBudgetError) -> Room:
        """Shorten the context if that is the budget's action; no turn may be held meanwhile.

        Raises:
            BudgetExceededError: what has to stay is too long.
            and what the caller's summariser raises.
        """
        if self._limits.action is not BudgetAction.COMPACT or self.on_compact is None:
            return Room(fits=False)
        try:
            return await self.on_compact(branch, self._limits, over.added)
        except CompactionTargetError as error:
            raise BudgetExceededError(over.tokens, self._limits.max_tokens) from error

    async def act(self, tokens: int) -> None:
        """Take the budget's action on a context of so many tokens.

        Raises:
            BudgetExceededError: the action is `reject`, or it is `compact` and made too little room.
        """
        budget = self._limits
        if budget.action in (BudgetAction.REJECT, BudgetAction.COMPACT):
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
