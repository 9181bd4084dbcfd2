"""`Maintainer`: shortens contexts by a policy, once however many tasks ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from itertools import product
from typing import TypeAlias
from weakref import WeakValueDictionary

from tract.engine.commit.budget import Room
from tract.engine.compaction.compacting import CompactionEngine, Demands
from tract.engine.compaction.leasing import Leases
from tract.engine.compaction.planning import PLACEHOLDER, Aims
from tract.engine.compile.reading import ContextReader, Found, ViewOptions
from tract.exceptions import CompactionTargetError
from tract.models.compaction import CompactionPolicy, CompactionResult, Summariser
from tract.models.config import TokenBudgetConfig
from tract.running.waiting import Lock
from tract.storage.repositories import BranchName, Position, UsageRepository

__all__ = ["Maintainer"]

_Key: TypeAlias = tuple[int, str, str]

_HEAD = Position()
_MOST_SINCE = 16
"""How many commits there may be since the API reported usage: one step's, with many calls."""

_held: ContextVar[tuple[_Turn, ...]] = ContextVar("tract_maintained", default=())


class _Turn:
    """A branch's turn to be maintained, as what is called meanwhile sees it."""

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.is_over = False


class Maintainer:
    """Shortens the contexts of one store where a policy or a budget asks for it.

    A branch is maintained by one task at a time, in one process. Another one waits, and then looks
    at what there is. A summariser must not wait for itself: what it calls finds that there is nothing to do. No turn
    of a budget is held while a task waits here, so that the two cannot wait for each other.
    """

    def __init__(
        self,
        contexts: ContextReader,
        usages: UsageRepository,
        compactor: CompactionEngine,
        leases: Leases,
        default: CompactionPolicy | None,
    ) -> None:
        self._contexts = contexts
        self._usages = usages
        self._compactor = compactor
        self._leases = leases
        self._default = default
        self._locks: WeakValueDictionary[tuple[str, str], Lock] = WeakValueDictionary()

    async def maintain(
        self, branch: BranchName, summarise: Summariser | None, policy: CompactionPolicy | None
    ) -> CompactionResult | None:
        """Shorten a context that is too long; see `AsyncTract.maintain`."""
        policy = policy or self._default
        if policy is None:
            raise ValueError(
                "give a policy, or open the store with TractConfig(compaction=CompactionPolicy(...))"
            )
        async with self._turn(branch) as is_free:
            if not is_free or not await self._targets(branch, policy):
                return None
            async with self._alone(branch, summarise) as is_free:
                targets = await self._targets(branch, policy)  # another process may have met them
                if not is_free or not targets:
                    return None
                return await self._shortened(branch, summarise, policy, targets)

    async def _targets(self, branch: BranchName, policy: CompactionPolicy) -> Sequence[int]:
        """Return the targets to try one after the other; none if the context is short enough."""
        found = await self._contexts.snapshot(branch)
        counted = await self._count(found)
        reported = counted + await self._uncounted(branch, found.snapshot.head_hash)
        if reported < policy.trigger_tokens:
            return ()
        return _in_counted(policy.target_tokens, counted, reported)

    async def make_room(self, branch: BranchName, budget: TokenBudgetConfig, added: int) -> Room:
        """Shorten a context by a budget's policy, so that it can take *added* tokens more.

        Raises:
            CompactionTargetError: what has to stay is too long.
            and what the summariser raises.
        """
        policy, room = budget.policy, budget.max_tokens - added
        if policy is None or room < 0:
            return Room(fits=False)
        async with self._turn(branch) as is_free:
            if await self._counted(branch) <= room:
                return Room(fits=True)
            if not is_free:
                return Room(fits=False)
            async with self._alone(branch, budget.summarise) as is_free:
                if await self._counted(branch) <= room:
                    return Room(fits=True)  # another process was faster
                if not is_free:
                    return Room(fits=False)
                targets = sorted({min(policy.target_tokens, room), room})
                done = await self._shortened(branch, budget.summarise, policy, targets)
        return (
            Room(fits=False) if done is None else Room(done.tokens_after <= room, done.commit_hash)
        )

    async def _shortened(
        self,
        branch: BranchName,
        summarise: Summariser | None,
        policy: CompactionPolicy,
        targets: Sequence[int],
    ) -> CompactionResult | None:
        """Shorten a context to the first of *targets* that can be met.

        Without a summariser, clear tool results, whether or not that meets one.
        """

        def is_worth(before: int, after: int) -> bool:
            frees_enough = before - after >= policy.clear_at_least
            return frees_enough and (summarise is None or after <= targets[0])

        if policy.tools_first or summarise is None:
            done = await self._compactor.clear(
                branch, policy.keep_results, (), PLACEHOLDER, None, is_worth
            )
            if done is not None or summarise is None:
                return done
        aims = await self._reachable(branch, policy, targets)
        return await self._compactor.compact(branch, summarise, aims, None, Demands())

    async def _reachable(
        self, branch: BranchName, policy: CompactionPolicy, targets: Sequence[int]
    ) -> Aims:
        """Return the first aims that can be met, or the last: earlier summaries stay if they can."""
        for target, roll_up in product(targets, sorted({False, policy.roll_up})):
            aims = Aims(target, None, policy.keep_recent, (), roll_up, policy.strategy)
            with suppress(CompactionTargetError):
                await self._compactor.plan(branch, aims)
                break
        return aims

    async def _counted(self, branch: BranchName, position: Position = _HEAD) -> int:
        """Return the tokens of a context as counted."""
        return await self._count(await self._contexts.snapshot(branch, position))

    async def _count(self, found: Found) -> int:
        context = await self._contexts.view(Found(found.snapshot, None), ViewOptions())
        return context.token_count

    async def _uncounted(self, branch: BranchName, head: str | None) -> int:
        """Return how many tokens more than counted an API reported last, be it for an ancestor."""
        newest = head and await self._usages.newest(branch.tract_id, head, _MOST_SINCE)
        if not newest:
            return 0
        commit_hash, usage = newest
        return usage.prompt_tokens - await self._counted(branch, Position(commit_hash))

    @asynccontextmanager
    async def _alone(self, branch: BranchName, summarise: Summariser | None) -> AsyncIterator[bool]:
        """Keep other processes from asking a summariser, too; yield what `Leases.held` does."""
        if summarise is None:
            yield True  # it does not take long, and only one can write it
            return
        async with self._leases.held(branch) as is_free:
            yield is_free

    @asynccontextmanager
    async def _turn(self, branch: BranchName) -> AsyncIterator[bool]:
        """Wait for a branch's turn; yield False if the caller is part of what holds it."""
        key: _Key = (id(self), *branch[:2])
        if any(turn.key == key and not turn.is_over for turn in _held.get()):
            yield False
            return
        async with self._locks.setdefault(branch[:2], Lock()):
            turn = _Turn(key)
            token = _held.set((*_held.get(), turn))
            try:
                yield True
            finally:
                turn.is_over = True
                _held.reset(token)


def _in_counted(target: int, counted: int, reported: int) -> Sequence[int]:
    """Return a target for reported tokens in counted ones, the one to try first before the other.

    What an API counts beside is the same afterwards, as tool definitions are, or shrinks along, as
    it does where its tokens are shorter.
    """
    same, along = target - (reported - counted), target * counted // reported
    return sorted({max(each, 0) for each in (same, along)} - {0}) or [0]
