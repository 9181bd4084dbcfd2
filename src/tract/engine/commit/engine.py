"""`CommitEngine`: the one way of a commit, from the caller's input to the stored row."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from tract.engine.commit.budget import MOST_TRIES, Budget, OverBudgetError, Room
from tract.engine.commit.drafts import DraftMaker, Given, checked_priority
from tract.engine.commit.infos import annotation_of, commit_infos
from tract.engine.compile.reading import ContextReader
from tract.engine.threads import Threads, freeze, is_heavy
from tract.exceptions import CommitNotFoundError, HeadMovedError
from tract.models.annotations import PriorityAnnotation
from tract.models.commit import CommitInfo
from tract.protocols import UNSET, CommitStep, UnsetType
from tract.storage.repositories import (
    Basis,
    BranchName,
    CommitDraft,
    CommitRepository,
    CommitRow,
    ComparisonRepository,
    KeyRepository,
    OutdatedBasisError,
    StreamEnd,
)

__all__ = ["CommitEngine", "Staged"]

_QUICK = 50  # small commits, about a millisecond of work

Expected = str | UnsetType | None
_Attempt = Callable[..., Coroutine[Any, Any, list[CommitRow]]]


class Staged(NamedTuple):
    """A commit whose input was copied; `make` returns its draft."""

    make: Callable[[], CommitDraft]
    is_quick: bool


_is_quick = attrgetter("is_quick")


class CommitEngine:
    """Makes the commits of one store: given, checked, drafted, written.

    `stage` copies the input at once and checks small commits on the event loop; large ones are
    checked on a thread. `land` makes drafts of staged commits and writes them in one transaction.
    With a budget, they are written on the very head that they were checked against. Checked writes
    to one branch hold a lock, so that they do not invalidate each other's checks. The lock is not
    held while the budget's callback runs or the context is shortened, which use the tract.
    """

    def __init__(
        self,
        commits: CommitRepository,
        keys: KeyRepository,
        comparisons: ComparisonRepository,
        contexts: ContextReader,
        drafts: DraftMaker,
        threads: Threads,
        budget: Budget | None = None,
    ) -> None:
        self._commits = commits
        self._keys = keys
        self._comparisons = comparisons
        self._contexts = contexts
        self._drafts = drafts
        self._threads = threads
        self._budget = budget

    @property
    def calls_back(self) -> bool:
        """Whether a write may call a callback of the caller's."""
        return self._budget is not None and self._budget.calls_back

    def check_writable(self) -> None:
        """Raise a `StoreReadOnlyError` early, before work is done that cannot be written."""
        self._commits.check_writable()

    async def annotate(
        self,
        branch: BranchName,
        target: str,
        priority: object,
        reason: str | None,
        expected_head: Expected = UNSET,
    ) -> PriorityAnnotation:
        """Set a priority; see `AsyncTract.annotate`."""
        draft = await self.annotation(target, priority, reason)
        (row,) = await self.write(branch, [draft], expected_head)
        return await self._threads.run_if_long(len(draft.data), annotation_of, row, draft.data)

    def stage(self, given: Given) -> Staged:
        """Check a commit, and copy everything in it that the caller may change.

        A large commit is copied at once, but checked when its draft is made.

        Raises:
            ContentValidationError: content, message, metadata or config cannot be stored.
            EditTargetError: the operation and its target do not go together.
        """
        values = (given.content, given.metadata, given.generation_config)
        if is_heavy(given.message, *values):
            return Staged(partial(self._thawed, given, freeze(values)), is_quick=False)
        return Staged(self._drafts.check(given), is_quick=True)

    def stage_annotation(self, target: str | int, priority: object, reason: str | None) -> Staged:
        """Check an ANNOTATE commit; see `stage`."""
        make = partial(self._drafts.annotation, target, checked_priority(priority), reason)
        if is_heavy(reason):
            return Staged(make, is_quick=False)
        draft = make()
        return Staged(lambda: draft, is_quick=True)

    async def resolve(self, tract_id: str, named: str) -> str | None:
        """Return the hash that a hash or a name stands for; None for an empty branch.

        Raises:
            CommitNotFoundError: the tract has no such commit.
        """
        return await self._commits.resolve(tract_id, named)

    def expansion_draft(self, target: str, reason: str | None) -> CommitDraft:
        """Return the draft of an EXPAND commit."""
        return self._drafts.expansion(target, reason)

    def erased_draft(self, target: str, data: bytes) -> CommitDraft:
        """Return the draft by which a merge leaves an entry erased."""
        return self._drafts.erased(target, data)

    def merge_draft(self, branch: str, merged_head: str, message: str | None) -> CommitDraft:
        """Return the draft of a merge commit, for a branch with that head."""
        return self._drafts.merge(branch, merged_head, message)

    async def draft(self, given: Given) -> CommitDraft:
        """Return the draft of one commit; see `stage`."""
        (draft,) = await self.drafts([self.stage(given)])
        return draft

    async def annotation(self, target: str, priority: object, reason: str | None) -> CommitDraft:
        """Return the draft of an ANNOTATE commit; see `stage_annotation`."""
        (draft,) = await self.drafts([self.stage_annotation(target, priority, reason)])
        return draft

    async def drafts(self, staged: Sequence[Staged]) -> list[CommitDraft]:
        """Return the drafts of staged commits, made on a thread if they are many or large."""
        quick = len(staged) <= _QUICK and all(map(_is_quick, staged))
        if quick and self._drafts.ready:
            return _made(staged)
        return await self._threads.run(_made, staged)

    async def land(
        self,
        branch: BranchName,
        staged: Sequence[Staged],
        expected_head: Expected = UNSET,
        ending: StreamEnd | None = None,
    ) -> list[CommitInfo]:
        """Write staged commits in one transaction; *ending* is the stream that they end.

        Raises:
            BudgetExceededError: the context would exceed a budget whose action is `reject` or `compact`.
            and what `CommitRepository.write` raises.
        """
        drafts = await self.drafts(staged)
        rows = await self.write(branch, drafts, expected_head, ending)
        return await commit_infos(self._threads, rows)

    async def land_on(
        self,
        branch: BranchName,
        staged: Sequence[Staged],
        basis: Basis,
        expected_head: Expected = UNSET,
    ) -> list[CommitInfo]:
        """Write staged commits if their basis still holds; see `write_on`."""
        rows = await self.write_on(
            branch, await self.drafts(staged), basis, expected_head=expected_head
        )
        return await commit_infos(self._threads, rows)

    def write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: Expected = UNSET,
        ending: StreamEnd | None = None,
    ) -> Coroutine[Any, Any, list[CommitRow]]:
        """Write drafts in one transaction, as `land` does."""
        attempt = partial(self._commits.write, branch, drafts, ending=ending)
        if self._budget is None:
            return attempt(expected_head=expected_head)
        return self._write_within(self._budget, attempt, branch, drafts, expected_head)

    async def _write_within(
        self,
        budget: Budget,
        attempt: _Attempt,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected_head: Expected,
    ) -> list[CommitRow]:
        kept = await self.kept(branch.tract_id, drafts)
        if kept and len(kept) == len(drafts):  # nothing is made that could exceed the budget
            return await attempt(expected_head=expected_head)
        return await self._within(budget, attempt, branch, drafts, expected_head, kept=kept)

    async def write_on(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: Basis,
        brought: Sequence[CommitStep] = (),
        expected_head: Expected = UNSET,
    ) -> list[CommitRow]:
        """Write drafts if their basis still holds; see `CommitRepository.write_on`.

        *brought* are the steps that a merge adds to the history before the drafts.

        Raises:
            BudgetExceededError: the context would exceed a budget whose action is `reject` or `compact`.
        """
        attempt = partial(self._commits.write_on, branch, drafts, basis)
        if self._budget is None:
            return await attempt(expected_head=expected_head)
        return await self._within(
            self._budget, attempt, branch, drafts, expected_head, basis, brought
        )

    async def admit(self, branch: BranchName, to: str) -> None:
        """Take the budget's action if moving *branch* to the commit *to* would exceed it.

        Raises:
            BudgetExceededError: the action is `reject` or `compact`.
        """
        if self._budget is not None:
            await self._budget.admit(branch, to)

    async def kept(self, tract_id: str, drafts: Sequence[CommitDraft]) -> dict[int, str]:
        """Return the drafts whose keys name commits already, which are to be kept, with these."""
        asked = {at: each.key for at, each in enumerate(drafts) if each.on_key == "keep"}
        keys = [key for key in asked.values() if key is not None]
        found = await self._keys.find(tract_id, keys) if keys else {}
        return {at: found[key].commit_hash for at, key in asked.items() if key in found}

    async def check_head(self, branch: BranchName, head: str | None, expected: Expected) -> None:
        """Check that *head* is the commit that the hash or name *expected* stands for.

        Raises:
            HeadMovedError: it is not.
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

    async def _within(
        self,
        budget: Budget,
        attempt: _Attempt,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        expected: Expected,
        basis: Basis | None = None,
        brought: Sequence[CommitStep] = (),
        kept: Mapping[int, str] = MappingProxyType({}),
    ) -> list[CommitRow]:
        """Write commits if the budget admits them, or if its action does."""
        self._commits.check_writable()
        for _ in range(MOST_TRIES):
            try:
                async with budget.turn(branch):
                    steps = [*brought, *await budget.steps(branch, drafts, kept)]
                    return await self._checked(budget, attempt, branch, steps, expected, basis)
            except OverBudgetError as error:
                over = error
            room = await budget.make_room(branch, over)
            if not room.fits:
                break
            if expected is not UNSET:
                expected = await self.follow(branch.tract_id, expected, room)
        await budget.act(over.tokens)
        return await attempt(expected_head=expected)

    async def follow(self, tract_id: str, expected: str | None, room: Room) -> str | None:
        """Return the head to expect: the commit that made room, if it followed *expected*."""
        if expected is None or room.made is None:
            return expected
        made = await self._commits.get(tract_id, room.made)
        was = await self._commits.resolve(tract_id, expected)
        return room.made if made is not None and made.parent_hash == was else expected

    async def _checked(
        self,
        budget: Budget,
        attempt: _Attempt,
        branch: BranchName,
        steps: Sequence[CommitStep],
        expected: Expected,
        basis: Basis | None,
    ) -> list[CommitRow]:
        """Write on the head that *steps* were checked against, however often it moves."""
        while True:
            found = await self._contexts.snapshot(branch)
            head = found.snapshot.head_hash
            await self.check_head(branch, head, expected)
            if basis and not await self._comparisons.still_holds(branch.tract_id, head, basis):
                raise OutdatedBasisError  # otherwise, brought commits might count twice
            await budget.check(found, steps)
            try:
                return await attempt(expected_head=head)
            except HeadMovedError:
                if expected is not UNSET:
                    raise
                # another process was faster: retry on its head

    def _thawed(self, given: Given, thaw: Callable[[], Any]) -> CommitDraft:
        content, metadata, generation_config = thaw()
        return self._drafts.check(
            given._replace(content=content, metadata=metadata, generation_config=generation_config)
        )()


def _made(staged: Sequence[Staged]) -> list[CommitDraft]:
    drafts: list[CommitDraft] = []
    for item in staged:
        drafts.append(item.make())  # noqa: PERF401  # before Python 3.12 that is one call more
    return drafts
