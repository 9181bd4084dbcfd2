"""`Pruner`: shortens histories without changing what any context since a boundary shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from tract.engine.compile.entries import Chunk
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader
from tract.engine.erasing import Eraser
from tract.engine.threads import Breath, Threads
from tract.exceptions import CommitNotFoundError, TractError
from tract.models.annotations import Priority
from tract.models.commit import moment
from tract.models.erasure import PruneProgress, PruneReceipt, Retention
from tract.protocols import CompileSnapshot
from tract.running.crossing import called_back
from tract.running.lifecycle import to_the_end
from tract.storage.repositories import (
    BranchName,
    Dropped,
    Position,
    PrunePlan,
    PruneRepository,
    Taken,
)

__all__ = ["Boundary", "Pruner"]

_AT_ONCE = 128
"""Commits of one transaction: some milliseconds, for which other writers wait."""

Progress = Callable[[PruneProgress], object] | None


class Boundary(NamedTuple):
    """Where a prune ends: the earlier of *before*, a time or a commit, and the *keep*-th newest."""

    before: str | int | None
    keep: int | None


class Pruner:
    """Prunes tracts of one store."""

    def __init__(
        self,
        prunes: PruneRepository,
        contexts: ContextReader,
        eraser: Eraser,
        threads: Threads,
    ) -> None:
        self._prunes = prunes
        self._contexts = contexts
        self._eraser = eraser
        self._threads = threads

    async def prune(
        self, tract_id: str, boundary: Boundary, reason: str, progress: Progress
    ) -> PruneReceipt:
        """Prune a tract; see `AsyncTract.prune`."""
        plan = await self._prunes.plan(tract_id, before=boundary.before, keep=boundary.keep)
        views = _Views(self._contexts, self._threads, tract_id)
        work = _Prune(self._prunes, self._eraser, views, tract_id, plan, reason, progress)
        try:
            await work.drop_runs()
            await work.drop_commits()
            await work.take_contents()
        finally:
            if work.has_begun:
                await to_the_end(self._finish(tract_id))
            await to_the_end(views.release())
        dropped, taken = work.dropped, work.taken
        return PruneReceipt(
            tract_id=tract_id,
            before=moment(plan.boundary),
            pruned_at=moment(work.now),
            reason=reason,
            erased=taken.commits,
            deleted=dropped.commits,
            contents=taken.contents + dropped.contents,
            kept=taken.kept,
            attachments=taken.attachments + dropped.attachments,
            pending=await self._eraser.scrub() if work.has_begun else None,
        )

    async def retain(
        self, tracts: Iterable[str], retention: Retention, reason: str, progress: Progress
    ) -> list[PruneReceipt]:
        """Prune tracts; return the receipts of those that lost something."""
        age = retention.max_age
        before = None if age is None else self._eraser.now() - age // timedelta(microseconds=1)
        boundary = Boundary(before, retention.keep)
        receipts = [await self.prune(each, boundary, reason, progress) for each in tracts]
        return [each for each in receipts if each.erased or each.deleted]

    async def _finish(self, tract_id: str) -> None:
        self._contexts.forget(tract_id, await self._prunes.finish(tract_id))


class _Views:
    """What the contexts of a plan's roots show; each is looked at once."""

    def __init__(self, contexts: ContextReader, threads: Threads, tract_id: str) -> None:
        self._contexts = contexts
        self._threads = threads
        self._branch = BranchName(tract_id, "main")
        self._looked_at: set[str] = set()
        self._chunks: tuple[Chunk, ...] = ()
        self.shown: set[str] = set()
        """The commits whose contents they show."""

    async def add(self, roots: Iterable[str]) -> None:
        """Look at those of *roots* that are new."""
        for root in [each for each in roots if each not in self._looked_at]:
            try:
                found = await self._contexts.snapshot(self._branch, Position(root))
            except CommitNotFoundError:  # another prune has deleted it: nothing reaches it
                continue
            await self._threads.run(self._note, found.snapshot)
            self._looked_at.add(root)

    async def release(self) -> None:
        """Let go of the entries looked at, chunk by chunk: all at once keeps the loop waiting."""
        chunks = [*self._chunks]
        self._chunks = ()
        await self._threads.run(_emptied, chunks)

    def _note(self, snapshot: CompileSnapshot) -> None:
        if not isinstance(snapshot, Snapshot):
            raise TractError(
                "prune() needs the entries of contexts, which only the default compiler and its "
                "subclasses have."
            )
        former = {id(chunk) for chunk in self._chunks}
        self._chunks = (*snapshot.entries.full, snapshot.entries.last)
        breath = Breath()
        for chunk in self._chunks:
            breath.take()
            if id(chunk) not in former:
                self.shown.update(
                    entry.source_hash
                    for entry in chunk.items
                    if entry.priority is not Priority.SKIP
                )


class _Prune:
    """One prune under way: its plan, which is renewed when writers overtake it, and its sums."""

    def __init__(
        self,
        prunes: PruneRepository,
        eraser: Eraser,
        views: _Views,
        tract_id: str,
        plan: PrunePlan,
        reason: str,
        progress: Progress,
    ) -> None:
        self._prunes = prunes
        self._eraser = eraser
        self._views = views
        self._tract_id = tract_id
        self._plan = plan
        self._reason = reason
        self._progress = progress
        self.now: int = eraser.now()
        self.has_begun: bool = plan.was_cut_short
        """Whether something may have been deleted or erased, here or by a prune before."""
        self.dropped: Dropped = Dropped()
        self.taken: Taken = Taken()

    async def drop_runs(self) -> None:
        """Delete what a reflog before the boundary says of branches without commits."""
        while await self._prunes.drop_runs(self._tract_id, self._plan):
            pass

    async def drop_commits(self) -> None:
        """Delete the commits that nothing reaches, newest first, so that none loses its parent."""
        at, more = self._plan.boundary, True
        while more:
            page = await self._prunes.unreached(self._tract_id, self._plan, at)
            for some in _portions(page.commits):
                self.has_begun = True
                while (done := await self._prunes.drop(self._tract_id, self._plan, some)) is None:
                    await self._plan_again()
                self.dropped = Dropped(*map(sum, zip(self.dropped, done, strict=True)))
                await self._tell()
            at, more = page.at, page.more

    async def take_contents(self) -> None:
        """Erase contents that no context since the boundary shows, oldest first."""
        await self._look()
        at, more = 0, True
        while more:
            page = await self._prunes.unneeded(self._tract_id, self._plan, at)
            for some in _portions(page.commits):
                await self._take(some)
            at, more = page.at, page.more

    async def _take(self, commits: Sequence[str]) -> None:
        markers = await self._eraser.markers(self._tract_id, commits, self._reason, self.now)
        told = {content: marker for content, marker in markers.items() if marker.along}
        if not told:
            return
        self.has_begun = True
        while (done := await self._prunes.take(self._tract_id, self._plan, told)) is None:
            await self._plan_again()
            await self._look()
        self.taken = Taken(*map(sum, zip(self.taken, done, strict=True)))
        await self._tell()

    async def _plan_again(self) -> None:
        self._plan = await self._prunes.plan(
            self._tract_id, before=None, keep=None, former=self._plan
        )

    async def _look(self) -> None:
        await self._views.add(self._plan.roots)
        self._plan = self._plan._replace(live=self._views.shown)

    async def _tell(self) -> None:
        if self._progress is not None:
            done = PruneProgress(
                tract_id=self._tract_id, erased=self.taken.commits, deleted=self.dropped.commits
            )
            await called_back(self._progress, done)


def _emptied(chunks: list[Chunk]) -> None:
    breath = Breath()
    while chunks:
        chunks.pop()
        breath.take()


def _portions(commits: Sequence[str]) -> Iterable[Sequence[str]]:
    return (commits[at : at + _AT_ONCE] for at in range(0, len(commits), _AT_ONCE))
