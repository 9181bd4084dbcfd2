"""`TransactionEngine`: what was staged on several branches and tracts lands together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple, TypeAlias

from tract.engine.commit.budget import MOST_TRIES, Budget, OverBudgetError
from tract.engine.commit.engine import CommitEngine, Staged
from tract.engine.commit.forecast import HEAD, Forecast
from tract.engine.commit.infos import commit_infos
from tract.engine.compile.reading import ContextReader
from tract.engine.erasing import Eraser, PlannedErasure
from tract.engine.threads import Threads
from tract.exceptions import ContentValidationError, HeadMovedError
from tract.models.commit import CommitInfo
from tract.models.erasure import ErasureReceipt
from tract.models.operations import CommitOperation
from tract.storage.repositories import (
    AddCommits,
    BranchName,
    Change,
    CommitDraft,
    EraseContents,
    Landed,
    Position,
    RefRepository,
    TransactionRepository,
)

__all__ = ["Expected", "Placed", "StagedErasure", "StagedItem", "TransactionEngine"]

_MEMBER = re.compile(rb'(?:[^"\\]|\\.)*":')
"""The rest of a member's name in canonical JSON."""

Expected: TypeAlias = Sequence[tuple[BranchName, str | None]]
"""Heads that branches must have before a transaction."""


class Placed(NamedTuple):
    """A staged commit, and the branch that it goes to."""

    branch: BranchName
    staged: Staged


class StagedErasure(NamedTuple):
    """An erasure of commits, by hash or name."""

    branch: BranchName
    named: Sequence[str]
    reason: str


StagedItem: TypeAlias = Placed | StagedErasure | Change


class _Over(NamedTuple):
    """A context that would exceed the budget, by the branch and the position that it grows from."""

    branch: BranchName
    position: Position
    error: OverBudgetError


class TransactionEngine:
    """Writes the transactions of one store."""

    def __init__(
        self,
        transactions: TransactionRepository,
        refs: RefRepository,
        commits: CommitEngine,
        contexts: ContextReader,
        eraser: Eraser,
        threads: Threads,
        budget: Budget | None = None,
    ) -> None:
        self.commits: CommitEngine = commits
        self._transactions = transactions
        self._refs = refs
        self._contexts = contexts
        self._eraser = eraser
        self._threads = threads
        self._budget = budget

    async def land(
        self, items: Sequence[StagedItem], expected: Expected, mark: bytes
    ) -> tuple[list[CommitInfo], list[ErasureReceipt]]:
        """Write what was staged; return its commits and erasures, each in order.

        In states, *mark* and a commit's number stand for its hash; see `AddCommits`.

        Raises:
            ContentValidationError: something else than a state holds the mark.
            BudgetExceededError: a context would exceed a budget whose action is `reject` or `compact`.
            and what `TransactionRepository.write` raises.
        """
        drafts = await self.commits.drafts([each.staged for each in items if type(each) is Placed])
        plans = [
            await self._eraser.plan(each.branch.tract_id, each.named, each.reason)
            for each in items
            if isinstance(each, StagedErasure)
        ]
        landed = await self._write(_changes(items, drafts, plans, mark), expected)
        infos = await commit_infos(self._threads, landed.commits)
        return infos, [
            await self._eraser.finish(plan, erased)
            for plan, erased in zip(plans, landed.erased, strict=True)
        ]

    async def _write(self, changes: Sequence[Change], expected: Expected) -> Landed:
        if self._budget is None:
            return await self._transactions.write(changes, expected)
        self.commits.check_writable()
        kept = await self._kept(changes)
        forecast = Forecast(self._budget, kept)
        for change in changes:
            await forecast.add(change)
        idle = _idle(changes, forecast)
        awaited = [(branch, head) for branch, head in expected if branch not in idle]
        over: list[_Over] = []
        for _ in range(MOST_TRIES):
            async with AsyncExitStack() as turns:
                for branch in forecast.branches:
                    await turns.enter_async_context(self._budget.turn(branch))
                landed = await self._checked(self._budget, changes, forecast, awaited)
            if isinstance(landed, Landed):
                return landed
            over = landed
            if not await self._made_room(self._budget, over, awaited):
                break
        for each in over:
            await self._budget.act(each.error.tokens)
        return await self._transactions.write(changes, expected)

    async def _made_room(
        self, budget: Budget, over: Iterable[_Over], awaited: list[tuple[BranchName, str | None]]
    ) -> bool:
        """Return True if every branch has room now; *awaited* follows the commits that made it."""
        for branch, position, error in over:
            if position is not HEAD:  # a context that is stored stays as it is
                return False
            room = await budget.make_room(branch, error)
            if not room.fits:
                return False
            for at, (named, head) in enumerate(awaited):
                if named == branch:
                    awaited[at] = named, await self.commits.follow(branch.tract_id, head, room)
        return True

    async def _checked(
        self, budget: Budget, changes: Sequence[Change], forecast: Forecast, expected: Expected
    ) -> Landed | list[_Over]:
        """Write on the heads that the budget was checked against, however often they move.

        Return the contexts that would exceed it, if there are any.
        """
        while True:
            heads: dict[BranchName, str | None] = {}
            over: list[_Over] = []
            for branch, position, steps in forecast.futures():
                found = await self._contexts.snapshot(branch, position)
                if position is HEAD:
                    heads[branch] = found.snapshot.head_hash
                try:
                    await budget.check(found, steps)
                except OverBudgetError as error:
                    over.append(_Over(branch, position, error))
            for branch, head in expected:
                now = heads[branch] if branch in heads else await self._refs.head(branch)
                await self.commits.check_head(branch, now, head)
            if over:
                return over
            try:
                return await self._transactions.write(changes, [*expected, *heads.items()])
            except HeadMovedError:
                pass  # another process was faster; the heads that the caller expects are asked again

    async def _kept(self, changes: Iterable[Change]) -> dict[int, str]:
        """Return the drafts whose keys name commits that are to be kept, by number, with these."""
        kept: dict[int, str] = {}
        first = 0
        for change in changes:
            if isinstance(change, AddCommits):
                found = await self.commits.kept(change.branch.tract_id, change.drafts)
                kept |= {first + at: named for at, named in found.items()}
                first += len(change.drafts)
        return kept


def _idle(changes: Iterable[Change], forecast: Forecast) -> set[BranchName]:
    """Return the branches whose changes are nothing but drafts that are kept."""
    others = {each.branch for each in changes if not isinstance(each, AddCommits)}
    own = {each.branch for each in changes if isinstance(each, AddCommits)}
    return own - others - {*forecast.branches}


def _changes(
    items: Iterable[StagedItem],
    drafts: Iterable[CommitDraft],
    plans: Iterable[PlannedErasure],
    mark: bytes,
) -> list[Change]:
    """Return items as storage takes them: commits of one branch in a row are one change."""
    made, planned = iter(drafts), iter(plans)
    changes: list[Change] = []
    row: list[CommitDraft] = []
    for item in items:
        if isinstance(item, StagedErasure):
            plan = next(planned)
            changes.append(EraseContents(item.branch, plan.commits, plan.markers))
        elif not isinstance(item, Placed):
            changes.append(item)
        else:
            draft = next(made)
            own = mark if mark and _holds(draft, mark) else b""
            last = changes[-1] if changes else None
            if not own and isinstance(last, AddCommits) and _continues(last, item.branch):
                row.append(draft)
            else:
                row = [draft]
                changes.append(AddCommits(item.branch, row, own))
    return changes


def _continues(last: AddCommits, branch: BranchName) -> bool:
    return last.branch == branch and type(last.branch) is type(branch) and not last.mark


def _holds(draft: CommitDraft, mark: bytes) -> bool:
    """Return True if the content of a draft refers to staged commits.

    Raises:
        ContentValidationError: only the payload of a state can, and not the names of its members.
    """
    texts = (draft.message, draft.metadata_json, draft.generation_config_json, draft.key)
    if any(text is not None and mark.decode() in text for text in texts):
        raise ContentValidationError(_ONLY_STATES, "metadata")
    if mark not in draft.data:
        return False
    if draft.operation != CommitOperation.STATE:
        raise ContentValidationError(_ONLY_STATES, "content")
    if any(map(_MEMBER.match, draft.data.split(mark)[1:])):
        raise ContentValidationError(
            "the hash of a staged commit cannot be part of a member's name", "payload"
        )
    return True


_ONLY_STATES = (
    "it refers to a staged commit, whose hash is known only when it is written. Only the payload of "
    "a state can do that"
)
