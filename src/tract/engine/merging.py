"""Merging branches, and committing contents of one on another.

A merge is computed beside the store: what both sides are is read in one trip, conflicts are
decided with nothing held, and what comes out is written on the head that it was computed for, or on
one that goes on from there without changing anything about it. Else all is done anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal, NamedTuple, cast
from weakref import WeakValueDictionary

import anyio
from pydantic import BaseModel

from tract.canonical import stored_json
from tract.engine.budget import BudgetedCommits
from tract.engine.conflicts import (
    EntryConflict,
    Outcome,
    Settlement,
    SideChanges,
    settle,
    unmet,
)
from tract.engine.contents import ContentRegistry
from tract.engine.drafts import DraftMaker, Given, Staged
from tract.engine.entries import Entry
from tract.engine.fold import Snapshot
from tract.engine.reading import ContextReader
from tract.exceptions import (
    EditTargetError,
    HeadMovedError,
    MergeConflictError,
    TractError,
    shown,
)
from tract.graph import brought, is_ancestor, merge_bases
from tract.models.annotations import Priority
from tract.models.commit import CommitOperation
from tract.models.refs import ConflictKind, MergeConflict, MergeKind, MergeResult
from tract.protocols import CommitStep
from tract.storage.repositories import (
    BlobRepository,
    BranchName,
    CommitDraft,
    CommitRecord,
    CommitRepository,
    MergeBasis,
    Origin,
    OutdatedMergeError,
    Position,
    RefRepository,
    Relation,
)

__all__ = ["Asked", "Merger", "OnConflict", "Resolution", "checked_way"]

Resolution = BaseModel | Mapping[str, Any] | Priority | Literal["ours", "theirs"]
"""What a function decides for a conflict: a side, a content, or a priority."""

OnConflict = (
    Literal["raise", "ours", "theirs"]
    | Callable[[MergeConflict], Awaitable[Resolution]]
    | Callable[[MergeConflict], Resolution]
)
"""What to do about conflicts: raise, take one side in all of them, or ask a function about each."""


class Asked(NamedTuple):
    """What a caller wants of a merge."""

    on_conflict: OnConflict
    fast_forward: bool
    squash: BaseModel | Mapping[str, Any] | None
    message: str | None


_ATTEMPTS = 50
"""How often a merge is computed anew while others change what it is about, before the caller is told."""


class _Sides(NamedTuple):
    """Two heads, and what a merge of the second into the first would bring."""

    relation: Relation
    ours: str
    theirs: str
    brought: list[str]

    def basis(self, decided: Iterable[str]) -> MergeBasis:
        """Return what a merge of them stands on, *decided* being the entries that it was asked of.

        Others it states again only where theirs has changed them.
        """
        relation, new = self.relation, frozenset(self.brought)
        changed = {relation.changes[each][1] for each in new & relation.changes.keys()}
        return MergeBasis(self.ours, self.theirs, relation.parents, new, changed.union(decided))


class _MovedMeanwhile(Exception):
    """The branch has moved, and the merge would now be another; nothing was written.

    No `TractError`, which might be one of a caller's function, raised for its own reasons.
    """


def checked_way(on_conflict: object) -> OnConflict:
    """Return what to do about conflicts.

    Raises:
        ValueError: it is neither one of the words nor a function.
    """
    if issubclass(type(on_conflict), str):
        word = str.__str__(on_conflict)
        if word in ("raise", "ours", "theirs"):
            return cast(OnConflict, word)
    elif callable(on_conflict):
        return on_conflict
    raise ValueError(
        "on_conflict must be 'raise', 'ours', 'theirs' or a function that decides, "
        f"not {shown(on_conflict)}"
    )


class Merger:
    """Merges branches of one store.

    Those that have to be computed anew take turns at their branch, so as not to hinder each other
    again. A merge gives up its turn before it asks anybody, and takes none where writing might.
    """

    def __init__(
        self,
        commits: CommitRepository,
        refs: RefRepository,
        blobs: BlobRepository,
        reader: ContextReader,
        drafts: DraftMaker,
        writer: BudgetedCommits,
        registry: ContentRegistry,
    ) -> None:
        self._commits = commits
        self._refs = refs
        self._blobs = blobs
        self._reader = reader
        self._drafts = drafts
        self._writer = writer
        self._registry = registry
        self._turns: WeakValueDictionary[tuple[str, str], anyio.Lock] = WeakValueDictionary()

    async def merge(self, branch: BranchName, other: BranchName, asked: Asked) -> MergeResult:
        """Merge *other* into *branch*; see `BranchCalls.merge`."""
        decided = _Decided(asked.on_conflict)
        squash = None if asked.squash is None else self._squashed(other, asked)
        turn = self._turns.setdefault(branch[:2], anyio.Lock(fast_acquire=True))
        for attempt in range(_ATTEMPTS):
            async with AsyncExitStack() as held:
                if attempt and not self._writer.calls_back:
                    await held.enter_async_context(turn)
                    decided.before_asking = held.aclose
                relation = await self._commits.relation(branch, other)
                try:
                    return await self._attempt(branch, other, relation, asked, decided, squash)
                except _MovedMeanwhile:
                    continue  # nothing was written: compute the merge anew
        raise HeadMovedError(relation.ours, await self._refs.head(branch))

    async def cherry_pick(self, branch: BranchName, hashes: Sequence[str]) -> list[CommitRecord]:
        """Commit the contents of other commits; see `BranchCalls.cherry_pick`."""
        drafts = [await self._picked(branch, each) for each in hashes]
        return await self._writer.write(branch, drafts) if drafts else []

    async def _attempt(
        self,
        branch: BranchName,
        other: BranchName,
        relation: Relation,
        asked: Asked,
        decided: _Decided,
        squash: Staged | None,
    ) -> MergeResult:
        ours, theirs, parents = relation.ours, relation.theirs, relation.parents
        new = brought(parents, ours, theirs)
        held = squash is not None and any(
            commit in parents and is_ancestor(parents, commit, ours) for commit in relation.squashed
        )
        if not new or held:
            return MergeResult(kind=MergeKind.UP_TO_DATE, head_hash=ours)
        if squash is not None:
            basis = MergeBasis(ours, theirs, parents, frozenset(new), squash=True)
            return await self._squash(branch, basis, new, squash)
        if ours is None or (asked.fast_forward and is_ancestor(parents, ours, theirs)):
            await self._fast_forward(branch, other, ours, theirs)
            return MergeResult(kind=MergeKind.FAST_FORWARD, head_hash=theirs, merged=tuple(new))
        sides = _Sides(relation, ours, theirs, new)
        return await self._merge(branch, other, sides, asked, decided)

    def _squashed(self, other: BranchName, asked: Asked) -> Staged:
        """Take down what the branch is squashed to before anything is awaited: it may change."""
        assert asked.squash is not None
        message = asked.message or f"Squash branch '{other.branch}'"
        return self._drafts.stage(Given(asked.squash, message=message), checking=False)

    async def _squash(
        self,
        branch: BranchName,
        basis: MergeBasis,
        new: Sequence[str],
        squash: Staged,
    ) -> MergeResult:
        (draft,) = await self._drafts.finish([squash])
        draft = draft._replace(origins=(Origin("squash", basis.theirs),))
        (record,) = await self._write(branch, [draft], basis)
        return MergeResult(kind=MergeKind.SQUASH, head_hash=record.commit_hash, merged=tuple(new))

    async def _fast_forward(
        self, branch: BranchName, other: BranchName, ours: str | None, theirs: str
    ) -> None:
        await self._writer.admit(branch, theirs)
        note = f"to {other.branch}"
        try:
            await self._refs.move(
                branch, theirs, action="fast-forward", note=note, expected_head=ours
            )
        except HeadMovedError:
            raise _MovedMeanwhile from None

    async def _merge(
        self,
        branch: BranchName,
        other: BranchName,
        sides: _Sides,
        asked: Asked,
        decided: _Decided,
    ) -> MergeResult:
        ours = await self._snapshot(branch, sides.ours)
        settlement = await self._settle(branch, sides, ours)
        conflicts = [await self._shown(branch, item) for item in settlement.conflicts]
        if conflicts and asked.on_conflict == "raise":
            raise MergeConflictError(conflicts)
        outcomes = list(settlement.outcomes)
        drafts: list[CommitDraft] = []
        for found, conflict in zip(settlement.conflicts, conflicts, strict=True):
            answer = await decided.on(conflict)
            if isinstance(answer, str) and answer in ("ours", "theirs"):
                outcomes.append(found.take("ours" if answer == "ours" else "theirs"))
            else:
                drafts.append(await self._stated(conflict, found, answer))
        steps = await self._commits.steps(branch.tract_id, sides.brought)
        merged = await self._reader.folded(ours, steps)
        assert isinstance(merged, Snapshot)
        restated = [await self._restated(branch, item) for item in unmet(merged, outcomes)]
        merge = self._drafts.merge(other.branch, sides.theirs, asked.message)
        basis = sides.basis(conflict.target_hash for conflict in conflicts)
        records = await self._write(branch, [merge, *restated, *drafts], basis, steps)
        return MergeResult(
            kind=MergeKind.MERGE,
            head_hash=records[-1].commit_hash,
            merged=tuple(sides.brought),
            conflicts=tuple(conflicts),
        )

    async def _write(
        self,
        branch: BranchName,
        drafts: Sequence[CommitDraft],
        basis: MergeBasis,
        brought: Sequence[CommitStep] = (),
    ) -> list[CommitRecord]:
        """Write where a merge still is what was computed, or tell that the branch has moved."""
        try:
            return await self._writer.merge(branch, drafts, basis, brought)
        except OutdatedMergeError:
            raise _MovedMeanwhile from None

    async def _settle(self, branch: BranchName, sides: _Sides, ours: Snapshot) -> Settlement:
        relation = sides.relation
        theirs_own = set(sides.brought)
        ours_own = set(brought(relation.parents, sides.theirs, sides.ours))
        bases = merge_bases(relation.parents, sides.ours, sides.theirs)
        return settle(
            [await self._snapshot(branch, base) for base in bases],
            ours,
            await self._snapshot(branch, sides.theirs),
            _changes(relation, ours_own),
            _changes(relation, theirs_own),
        )

    async def _snapshot(self, branch: BranchName, commit_hash: str) -> Snapshot:
        found = await self._reader.snapshot(branch, Position(commit_hash))
        if not isinstance(found.snapshot, Snapshot):
            raise TractError(
                "Merging needs the entries of a context, which only the default compiler and its "
                "subclasses have. Squash, or cherry-pick."
            )
        return found.snapshot

    async def _shown(self, branch: BranchName, found: EntryConflict) -> MergeConflict:
        """Return a conflict as callers see it."""
        base = found.base
        return MergeConflict(
            target_hash=found.target_hash,
            kind=found.kind,
            base=None if base is None else await self._told(branch, found.kind, base),
            ours=await self._told(branch, found.kind, found.ours),
            theirs=await self._told(branch, found.kind, found.theirs),
        )

    async def _told(
        self, branch: BranchName, kind: ConflictKind, entry: Entry
    ) -> BaseModel | Priority:
        if kind is ConflictKind.PRIORITY:
            return entry.priority
        return await self._content(branch, entry)

    async def _content(self, branch: BranchName, entry: Entry) -> BaseModel:
        record, data = await self._blobs.get(branch.tract_id, entry.source_hash)
        return self._registry.load(record.content_type, data)

    async def _stated(
        self, conflict: MergeConflict, found: EntryConflict, answer: Any
    ) -> CommitDraft:
        """Return the commit of what a function decided."""
        if found.kind is ConflictKind.PRIORITY:
            return await self._drafts.annotate(conflict.target_hash, answer, "merge")
        return await self._drafts.make(
            Given(answer, CommitOperation.EDIT, conflict.target_hash, message="merge")
        )

    async def _restated(self, branch: BranchName, outcome: Outcome) -> CommitDraft:
        """Return the commit that lets an entry show what one side had."""
        entry = outcome.entry
        if outcome.kind is ConflictKind.PRIORITY:
            return await self._drafts.annotate(entry.commit_hash, entry.priority, "merge")
        return await self._drafts.make(
            Given(
                await self._content(branch, entry),
                CommitOperation.EDIT,
                entry.commit_hash,
                message="merge",
                generation_config=stored_json(entry.config_json or "{}", "a generation config"),
            )
        )

    async def _picked(self, branch: BranchName, commit_hash: str) -> CommitDraft:
        record, data = await self._blobs.get(branch.tract_id, commit_hash)
        if record.operation not in ("append", "edit"):
            raise EditTargetError(
                commit_hash,
                f"has no content to pick: it is of the operation {record.operation.upper()}.",
            )
        draft = await self._drafts.make(
            Given(
                self._registry.load(record.content_type, data),
                message=record.message,
                metadata=_parsed(record.metadata_json),
                generation_config=_parsed(record.generation_config_json),
            )
        )
        return draft._replace(origins=(Origin("cherry-pick", record.commit_hash),))


class _Decided:
    """Asks what to do about conflicts, each question once."""

    def __init__(self, on_conflict: OnConflict) -> None:
        self._on_conflict = on_conflict
        self._answers: dict[str, Any] = {}
        self.before_asking: Callable[[], Awaitable[None]] | None = None

    async def on(self, conflict: MergeConflict) -> Any:
        """Return `ours`, `theirs`, or what the function says."""
        if isinstance(self._on_conflict, str):
            return self._on_conflict
        question = conflict.model_dump_json()
        if question not in self._answers:
            if self.before_asking is not None:
                await self.before_asking()
            answer = self._on_conflict(conflict)
            self._answers[question] = await answer if inspect.isawaitable(answer) else answer
        return self._answers[question]


def _changes(relation: Relation, own: set[str]) -> SideChanges:
    """Return what a side's own commits did to entries."""
    done = [change for commit, change in relation.changes.items() if commit in own]
    return SideChanges(
        edited={target for operation, target in done if operation == "edit"},
        annotated={target for operation, target in done if operation == "annotate"},
    )


def _parsed(text: str | None) -> dict[str, Any] | None:
    return None if text is None else stored_json(text, "a commit's metadata or config")
