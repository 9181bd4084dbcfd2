"""Merging branches, and picking commits of one branch onto another.

A merge is computed without a lock. Both sides are read in one trip, and conflicts are resolved
while no transaction is open. The result is written on the head that it was computed for, or on a
later one whose new commits do not affect it. Otherwise the merge is computed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from pydantic import BaseModel

from tract.engine.branches.conflicts import Settlement, SideChanges, Verdict, settle, unmet
from tract.engine.branches.resolving import (
    AskedTooOftenError,
    Resolver,
    Shown,
    Sides,
    given_by,
    kept_config,
)
from tract.engine.branches.turns import Turns
from tract.engine.commit.drafts import Given
from tract.engine.commit.engine import CommitEngine, Staged
from tract.engine.commit.infos import parsed
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader
from tract.engine.contents.registry import ContentLoader
from tract.exceptions import (
    BlobNotFoundError,
    BranchBusyError,
    CommitNotFoundError,
    EditTargetError,
    HeadMovedError,
    MergeConflictError,
    StoreCorruptError,
    TractError,
)
from tract.history.graph import beyond, line, merge_bases, parted_at
from tract.models.commit import CommitInfo
from tract.models.erasure import ERASED
from tract.models.merging import ConflictKind, MergeKind, MergeResult, OnConflict, Resolution
from tract.models.operations import CommitOperation, Effect, rule_of
from tract.protocols import UNSET, CommitStep, UnsetType
from tract.running.waiting import Lock
from tract.storage.repositories import (
    Basis,
    BranchName,
    CommitDraft,
    CommitRow,
    Origin,
    OutdatedBasisError,
    Position,
    Relation,
    Repositories,
)

__all__ = ["Asked", "Merger", "PickCompaction"]


class Asked(NamedTuple):
    """The arguments of a merge."""

    on_conflict: OnConflict
    fast_forward: bool
    squash: BaseModel | Mapping[str, Any] | Resolution | None
    message: str | None
    expected_head: str | UnsetType | None = UNSET


Checked: TypeAlias = tuple[Basis, str | UnsetType | None]
"""What must hold when a commit is written, and the head that it needs, if it needs one."""
PickCompaction = Callable[[BranchName, CommitRow, bytes], Awaitable[tuple[Staged, Checked]]]
"""Makes a compaction again on a branch; returns what it was checked against, too."""

_ATTEMPTS = 50
"""How often a merge is computed while others change its entries, before it raises."""


class _Heads(NamedTuple):
    """Two heads, and the commits that a merge of the second into the first would bring."""

    relation: Relation
    ours: str
    theirs: str
    brought: list[str]

    @property
    def goes_on(self) -> bool:
        """Whether our history is a beginning of theirs, so that a fast-forward reorders nothing."""
        return parted_at(self.relation.parents, self.theirs, {*self.brought}) == self.ours

    @property
    def brings_merges_alone(self) -> bool:
        """Whether all brought commits are merges of commits that are here already."""
        parents = self.relation.parents
        return all(parents[each][1] is not None for each in self.brought)

    def basis(self, stated: Iterable[str]) -> Basis:
        """Return the basis of a merge of these heads.

        *stated* are the entries that it asks about or restates.
        """
        relation, new = self.relation, frozenset(self.brought)
        changed = {relation.changes[each][1] for each in new & relation.changes.keys()}
        touched = changed.union(stated)
        return Basis(self.ours, self.theirs, new, touched, erasures=relation.erasures)


class _MovedMeanwhile(Exception):
    """The branch has moved, and the merge has to be computed again; nothing was written.

    Not a `TractError`, which the caller's function might raise for reasons of its own.
    """


class _Call:
    """One call of `merge`, over all its attempts."""

    def __init__(
        self,
        branch: BranchName,
        other: BranchName,
        asked: Asked,
        resolver: Resolver,
        squash: Staged | None,
    ) -> None:
        self.branch = branch
        self.other = other
        self.asked = asked
        self.resolver = resolver
        self.squash = squash
        self.relation: Relation | None = None
        self.step_aside: Callable[[], Awaitable[None]] | None = None
        """Releases the lock, so that other merges can compute meanwhile."""
        self._changed: Counter[str] = Counter()

    def saw(self, relation: Relation) -> None:
        """Note the state of the branches, and which entries changed since the last attempt."""
        if self.relation is not None:
            new = relation.changes.keys() - self.relation.changes.keys()
            self._changed.update({relation.changes[each][1] for each in new})
        self.relation = relation

    def busy(self, head: str | None) -> BranchBusyError:
        """Return the error that names the entries that kept changing."""
        assert self.relation is not None
        relation = self.relation
        new = line(relation.parents.items(), relation.theirs, base=relation.ours)
        about = {relation.changes[each][1] for each in new if each in relation.changes}
        about |= self.resolver.asked
        changed = {entry: times for entry, times in self._changed.items() if entry in about}
        return BranchBusyError(self.branch.branch, relation.ours, head, changed)


class Merger:
    """Merges branches of one store.

    A merge that has to be computed again holds a lock meanwhile, so that merges do not keep
    invalidating each other. It releases the lock before it calls the caller's function, and does
    not take it if a budget has a callback. Merges that ask take turns, and keep them until they are
    written.
    """

    def __init__(
        self,
        storage: Repositories,
        contexts: ContextReader,
        engine: CommitEngine,
        contents: ContentLoader,
        pick_compaction: PickCompaction,
    ) -> None:
        self._storage = storage
        self._pick_compaction = pick_compaction
        self._contexts = contexts
        self._engine = engine
        self._contents_of = contents
        self._sides = Sides(storage.blobs, contents)
        self._asking = Turns()
        self._computing: WeakValueDictionary[tuple[str, str], Lock] = WeakValueDictionary()

    async def merge(self, branch: BranchName, other: BranchName, asked: Asked) -> MergeResult:
        """Merge *other* into *branch*; see `AsyncTract.merge`."""
        self._engine.check_writable()
        squash = None if asked.squash is None else self._squashed(other, asked)
        with self._asking.at(branch) as turn:
            resolver = Resolver(branch, self._sides, self._engine, asked.on_conflict, turn)
            call = _Call(branch, other, asked, resolver, squash)
            computing = self._computing.setdefault(branch, Lock())
            for attempt in range(_ATTEMPTS):
                async with AsyncExitStack() as held:
                    if attempt and not self._engine.calls_back:
                        await held.enter_async_context(computing)
                    call.step_aside = held.aclose
                    relation = await self._storage.comparisons.relation(branch, other)
                    await self._engine.check_head(branch, relation.ours, asked.expected_head)
                    call.saw(relation)
                    try:
                        return await self._attempt(call)
                    except _MovedMeanwhile:
                        continue  # nothing was written: compute the merge again
                    except (BlobNotFoundError, CommitNotFoundError, StoreCorruptError):
                        if not await self._has_moved(call, relation):
                            raise
                        continue  # what the branches had may have been pruned since
                    except AskedTooOftenError:
                        break
        raise call.busy(await self._storage.refs.head(branch))

    async def cherry_pick(
        self,
        branch: BranchName,
        hashes: Sequence[str],
        expected_head: str | UnsetType | None = UNSET,
    ) -> list[CommitInfo]:
        """Commit the contents of other commits; see `AsyncTract.cherry_pick`."""
        if not hashes and expected_head is UNSET:
            return []
        while True:
            picked = [await self._picked(branch, each) for each in hashes]
            staged = [each for each, _ in picked]
            checked = [each for _, each in picked if each is not None]
            if not checked:
                return await self._engine.land(branch, staged, expected_head)
            needed = [head for _, head in checked if head is not UNSET]
            expected = needed[0] if needed and expected_head is UNSET else expected_head
            try:
                basis = _of_all([basis for basis, _ in checked])
                return await self._engine.land_on(branch, staged, basis, expected)
            except OutdatedBasisError:
                continue  # what a picked compaction hides is looked at again
            except HeadMovedError:
                if expected_head is not UNSET:
                    raise

    async def _has_moved(self, call: _Call, relation: Relation) -> bool:
        """Return True if one of the branches points elsewhere than a merge was computed from.

        Raises:
            BranchNotFoundError: the other branch was deleted.
        """
        now = await self._storage.comparisons.relation(call.branch, call.other)
        return (now.ours, now.theirs) != (relation.ours, relation.theirs)

    async def _attempt(self, call: _Call) -> MergeResult:
        relation = call.relation
        assert relation is not None
        ours, theirs, parents = relation.ours, relation.theirs, relation.parents
        new = line(parents.items(), theirs, base=ours)
        held = call.squash is not None and any(
            commit in parents and commit not in new for commit in relation.squashed
        )
        if theirs is None or not new or held:
            return MergeResult(kind=MergeKind.UP_TO_DATE, head_hash=ours)
        if call.squash is not None:
            basis = Basis(ours, theirs, frozenset(new), squash=True)
            return await self._squash(call, basis, new, call.squash)
        if ours is None:
            return await self._fast_forward(call, ours, theirs, new)
        heads = _Heads(relation, ours, theirs, new)
        if call.asked.fast_forward and heads.goes_on:
            return await self._fast_forward(call, ours, theirs, new)
        return await self._merge(call, heads)

    def _squashed(self, other: BranchName, asked: Asked) -> Staged:
        """Copy the content of the squash before anything is awaited: the caller may change it."""
        message = asked.message or f"Squash branch '{other.branch}'"
        return self._engine.stage(given_by(asked.squash)._replace(message=message))

    async def _squash(
        self, call: _Call, basis: Basis, new: Sequence[str], squash: Staged
    ) -> MergeResult:
        assert basis.theirs is not None
        (draft,) = await self._engine.drafts([squash])
        draft = draft._replace(origins=(Origin("squash", basis.theirs),))
        (record,) = await self._write(call, [draft], basis)
        return MergeResult(kind=MergeKind.SQUASH, head_hash=record.commit_hash, merged=tuple(new))

    async def _fast_forward(
        self, call: _Call, ours: str | None, theirs: str, new: Sequence[str]
    ) -> MergeResult:
        branch, note = call.branch, f"to {call.other.branch}"
        await self._engine.admit(branch, theirs)
        try:
            await self._storage.refs.move(
                branch, theirs, action="fast-forward", note=note, expected_head=ours
            )
        except HeadMovedError:
            raise _MovedMeanwhile from None
        return MergeResult(kind=MergeKind.FAST_FORWARD, head_hash=theirs, merged=tuple(new))

    async def _merge(self, call: _Call, heads: _Heads) -> MergeResult:
        branch = call.branch
        ours = await self._snapshot(branch, heads.ours)
        settlement = await self._settle(branch, heads, ours)
        shown = [await self._sides.show(branch, item) for item in settlement.conflicts]
        conflicts = tuple(item.conflict for item in shown)
        if conflicts and call.asked.on_conflict == "raise":
            raise MergeConflictError(conflicts)
        verdicts, drafts = await self._decided(call, shown)
        steps = await self._storage.histories.steps(branch.tract_id, heads.brought)
        merged = await self._contexts.folded(ours, steps)
        assert isinstance(merged, Snapshot)
        again = unmet(merged, [*settlement.verdicts, *verdicts])
        if heads.brings_merges_alone and not (conflicts or again):
            return MergeResult(kind=MergeKind.UP_TO_DATE, head_hash=heads.ours)
        merge = self._engine.merge_draft(call.other.branch, heads.theirs, call.asked.message)
        restated = [await self._restated(branch, item) for item in again if not item.hidden_by]
        undone = dict.fromkeys(each for item in again for each in item.hidden_by)
        restated += [self._engine.expansion_draft(each, "merge") for each in undone]
        stated = [item.found.target_hash for item in shown]
        basis = heads.basis([*stated, *(item.entry.commit_hash for item in again)])
        records = await self._write(call, [merge, *restated, *drafts], basis, steps)
        return MergeResult(
            kind=MergeKind.MERGE,
            head_hash=records[-1].commit_hash,
            merged=tuple(heads.brought),
            conflicts=conflicts,
        )

    async def _decided(
        self, call: _Call, shown: Sequence[Shown]
    ) -> tuple[list[Verdict], list[CommitDraft]]:
        """Return how conflicts are resolved: the verdicts to show, and the drafts to commit."""
        verdicts: list[Verdict] = []
        drafts: list[CommitDraft] = []
        for item in shown:
            if not call.resolver.knows(item):
                assert call.step_aside is not None
                await call.step_aside()
                if not await call.resolver.may_ask():
                    raise _MovedMeanwhile  # most likely, as others had their turns
            decided = await call.resolver.decide(item)
            if isinstance(decided, Verdict):
                verdicts.append(decided)
            else:
                drafts.append(decided)
        return verdicts, drafts

    async def _write(
        self,
        call: _Call,
        drafts: Sequence[CommitDraft],
        basis: Basis,
        brought: Sequence[CommitStep] = (),
    ) -> list[CommitRow]:
        """Write the merge if its basis still holds; otherwise raise `_MovedMeanwhile`."""
        try:
            return await self._engine.write_on(
                call.branch, drafts, basis, brought, call.asked.expected_head
            )
        except OutdatedBasisError:
            raise _MovedMeanwhile from None

    async def _settle(self, branch: BranchName, heads: _Heads, ours: Snapshot) -> Settlement:
        commits = heads.relation.parents.items()
        ours_own = {each for each, _ in beyond(commits, heads.ours, heads.theirs)}
        bases = merge_bases(commits, heads.ours, heads.theirs)
        return settle(
            [await self._snapshot(branch, base) for base in bases],
            ours,
            await self._snapshot(branch, heads.theirs),
            _changes(heads.relation, heads.ours, ours_own, bases),
            _changes(heads.relation, heads.theirs, {*heads.brought}, bases),
        )

    async def _snapshot(self, branch: BranchName, commit_hash: str) -> Snapshot:
        found = await self._contexts.snapshot(branch, Position(commit_hash))
        if not isinstance(found.snapshot, Snapshot):
            raise TractError(
                "Merging needs the entries of a context, which only the default compiler and its "
                "subclasses have. Squash, or cherry-pick."
            )
        return found.snapshot

    async def _restated(self, branch: BranchName, verdict: Verdict) -> CommitDraft:
        """Return the draft that makes an entry show what one side had."""
        entry = verdict.entry
        if verdict.kind is ConflictKind.PRIORITY:
            return await self._engine.annotation(entry.commit_hash, entry.priority, "merge")
        if entry.erased:
            _, data = await self._storage.blobs.get(branch.tract_id, entry.source_hash)
            draft = self._engine.erased_draft(entry.commit_hash, data)
        else:
            content = await self._sides.content(branch, entry)
            draft = await self._engine.draft(
                Given(content, CommitOperation.EDIT, entry.commit_hash, message="merge")
            )
        return draft._replace(generation_config_json=kept_config(entry))

    async def _picked(self, branch: BranchName, commit_hash: str) -> tuple[Staged, Checked | None]:
        """Return a commit made again, and what must hold when it is written, if anything must."""
        record, data = await self._storage.blobs.get(branch.tract_id, commit_hash)
        if record.content_type == ERASED:
            raise EditTargetError(commit_hash, "has no content to pick: it was erased.")
        if record.operation == CommitOperation.COMPACT:
            return await self._pick_compaction(branch, record, data)
        if rule_of(record.operation).made_by != "commit":
            raise EditTargetError(
                commit_hash,
                f"has no content to pick: it is of the operation {record.operation.upper()}.",
            )
        staged = self._engine.stage(
            Given(
                await self._contents_of.load(branch.tract_id, record.content_type, data),
                message=record.message,
                metadata=parsed(record.metadata_json),
                generation_config=parsed(record.generation_config_json),
                redact=False,  # the source was redacted when it was stored
                origins=(Origin("cherry-pick", record.commit_hash),),
            )
        )
        return staged, None


def _of_all(bases: Sequence[Basis]) -> Basis:
    """Return what holds only if all of *bases* do; the first was looked at first."""
    return bases[0]._replace(
        touched=frozenset().union(*(each.touched for each in bases)),
        any_edit=any(each.any_edit for each in bases),
    )


def _changes(relation: Relation, head: str, own: set[str], bases: Sequence[str]) -> SideChanges:
    """Return what the side's own commits did to entries."""
    done = [
        (rule_of(operation).effect, target)
        for commit, (operation, target) in relation.changes.items()
        if commit in own
    ]
    parted = parted_at(relation.parents, head, own)
    return SideChanges(
        edited={target for effect, target in done if effect is Effect.REPLACE},
        annotated={target for effect, target in done if effect is Effect.PRIORITISE},
        goes_on=parted is not None and parted in bases,
    )
