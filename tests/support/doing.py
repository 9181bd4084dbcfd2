"""Plans carried out through the public API and in the plain model at the same time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from support.branched import Branched, Conflict, Made, Settled, value
from support.naive import rendered
from support.plans import Plan
from tract import (
    AsyncTract,
    BranchNotMergedError,
    CommitInfo,
    CommitOperation,
    MergeConflict,
    MergeConflictError,
    MergeKind,
    MergeResult,
    Priority,
    TractStore,
)

__all__ = ["Doing", "decided"]

_BRANCHES = 4


@dataclass
class Doing:
    """A tract of a store, and the model of what it must hold."""

    store: TractStore
    model: Branched = field(default_factory=Branched)
    hashes: list[str] = field(default_factory=list)
    """Commits by their numbers in the model."""
    forks: int = 0
    said: list[Any] = field(default_factory=list)
    """The results of calls, to be compared with those of another store."""

    def tract(self, branch: str) -> AsyncTract:
        """Return a handle."""
        return self.store.tract("t", branch=branch)

    async def do(self, plan: Plan) -> str:
        """Carry out one plan; return the branch that it was done on."""
        names = sorted(self.model.heads)
        branch = names[plan.branch % len(names)]
        other = names[plan.other % len(names)]
        head = self.model.heads[branch]
        kind = plan.kind
        if head is None and kind in ("edit", "annotate"):
            kind = "append"  # there is no entry to change yet
        if not self.model.commits:
            kind = "append"
        if kind == "fork" and len(names) >= _BRANCHES:
            kind = "merge"
        await getattr(self, f"_{kind}")(plan, branch, other)
        return branch

    async def _append(self, plan: Plan, branch: str, _: str) -> None:
        info = await self.tract(branch).commit(plan.content, generation_config=plan.config)
        self._made(branch, Made("append", plan.content, None, plan.config, None), info.commit_hash)

    async def _edit(self, plan: Plan, branch: str, _: str) -> None:
        target = self._entry(plan, branch)
        info = await self.tract(branch).commit(
            plan.content,
            operation=CommitOperation.EDIT,
            edit_target=self.hashes[target],
            generation_config=plan.config,
        )
        self._made(branch, Made("edit", plan.content, target, plan.config, None), info.commit_hash)

    async def _annotate(self, plan: Plan, branch: str, _: str) -> None:
        target = self._entry(plan, branch)
        done = await self.tract(branch).annotate(self.hashes[target], Priority(plan.priority))
        self._made(branch, Made("annotate", plan.priority, target, None, None), done.commit_hash)

    async def _fork(self, plan: Plan, branch: str, _: str) -> None:
        self.forks += 1
        name = f"b{self.forks}"
        if plan.fast_forward:
            await self.tract(branch).fork(name)
            self.model.heads[name] = self.model.heads[branch]
            return
        at = [*range(len(self.hashes)), None][plan.number % (len(self.hashes) + 1)]
        await self.tract(branch).fork(name, at_commit=None if at is None else self.hashes[at])
        self.model.heads[name] = at

    async def _reset(self, plan: Plan, branch: str, _: str) -> None:
        history = [*self.model.history(self.model.heads[branch]), None]
        to = history[plan.number % len(history)]
        info = await self.tract(branch).reset(None if to is None else self.hashes[to])
        assert info.head_hash == (None if to is None else self.hashes[to])
        self.model.heads[branch] = to

    async def _pick(self, plan: Plan, branch: str, _: str) -> None:
        able = [n for n, made in enumerate(self.model.commits) if made.kind in ("append", "edit")]
        picked = self.model.commits[source := able[plan.number % len(able)]]
        [info] = await self.tract(branch).cherry_pick(self.hashes[source])
        made = Made("append", picked.content, None, picked.config, None)
        self._made(branch, made, info.commit_hash)

    async def _delete(self, plan: Plan, branch: str, other: str) -> None:
        """Delete a branch, usually without force, so that most deletions are refused."""
        if branch == other or other == "main":
            return
        model = self.model
        head = model.heads[other]
        kept = model.is_kept(other)
        squashed = [
            origin.commit_hash
            for origin in await self.tract(branch).origins()
            if head is not None
            and origin.kind == "squash"
            and origin.source_hash == self.hashes[head]
        ]
        kept = kept or any(
            self.hashes.index(one) in model.ancestors(at)
            for one in squashed
            for name, at in model.heads.items()
            if name != other
        )
        try:
            await self.tract(branch).delete_branch(other, force=plan.fast_forward)
        except BranchNotMergedError:
            assert not kept
            assert not plan.fast_forward
            return
        assert kept or plan.fast_forward
        del model.heads[other]

    async def _cross(self, plan: Plan, branch: str, other: str) -> None:
        """Merge two branches into each other as both were, so that they have two merge bases."""
        if branch == other:
            return
        await self.tract(branch).fork("was")
        self.model.heads["was"] = self.model.heads[branch]
        plan = replace(plan, fast_forward=False)
        await self._merge(plan, branch, other)
        await self._merge(plan, other, "was")
        await self.tract(branch).delete_branch("was", force=True)
        del self.model.heads["was"]

    async def _squash(self, plan: Plan, branch: str, other: str) -> None:
        model, theirs = self.model, self.model.heads[other]
        before = model.ancestors(model.heads[branch])
        held = theirs is None or theirs in before
        held = held or theirs in [model.squashed.get(number) for number in before]
        result = await self.tract(branch).merge(other, squash=plan.content)

        assert result.kind is (MergeKind.UP_TO_DATE if held else MergeKind.SQUASH)
        if not held:
            assert result.head_hash is not None
            self._made(branch, Made("append", plan.content, None, None, None), result.head_hash)
            made = model.heads[branch]
            assert made is not None
            assert theirs is not None
            model.squashed[made] = theirs

    async def _merge(self, plan: Plan, branch: str, other: str) -> None:
        model, ours, theirs = self.model, self.model.heads[branch], self.model.heads[other]
        tract = self.tract(branch)
        before = model.ancestors(ours)
        new = [n for n in model.history(theirs) if n not in before]
        if theirs is None or not new:
            kind, settled = MergeKind.UP_TO_DATE, Settled({}, [])
        elif ours is None or (plan.fast_forward and ours in model.line(theirs)):
            kind, settled = MergeKind.FAST_FORWARD, Settled({}, [])
            model.heads[branch] = theirs
        elif model.comes_to_nothing(ours, theirs):
            kind, settled, new = MergeKind.UP_TO_DATE, Settled({}, []), []
        else:
            kind, settled = MergeKind.MERGE, model.settle(ours, theirs)
        way: Any = decided if plan.way == "function" else plan.way
        try:
            result = await tract.merge(other, on_conflict=way, fast_forward=plan.fast_forward)
        except MergeConflictError as error:
            assert plan.way == "raise"
            self._check_conflicts(error.conflicts, settled.conflicts)
            assert settled.conflicts
            assert await tract.head() == (None if ours is None else self.hashes[ours])
            return
        assert plan.way != "raise" or not settled.conflicts
        assert result.kind is kind
        assert [*result.merged] == [self.hashes[number] for number in new]
        self._check_conflicts(result.conflicts, settled.conflicts)
        self.said.append(result)
        if kind is MergeKind.MERGE:
            assert ours is not None
            assert theirs is not None
            await self._adopt(plan, branch, (ours, theirs), settled, result)

    async def _adopt(
        self, plan: Plan, branch: str, sides: tuple[int, int], settled: Settled, result: MergeResult
    ) -> None:
        """Take over the commits of the merge, and check that it shows what it must."""
        model, tract = self.model, self.tract(branch)
        ours, theirs = sides
        made = [info for info in await tract.log(None) if info.commit_hash not in self.hashes][::-1]
        merge, *stated = made
        assert (merge.operation, merge.parent_hash) == ("merge", self.hashes[ours])
        assert merge.merge_parent == self.hashes[theirs]
        self._made(branch, Made("merge", None, None, None, None, theirs), merge.commit_hash)
        folded = model.entries(model.history(model.heads[branch]))
        wanted = dict(settled.values)
        answers: dict[tuple[str, int], Any] = {}
        for conflict in settled.conflicts:
            key = conflict.kind, conflict.entry
            if plan.way == "function":
                answers[key] = _answer(conflict.kind, conflict.ours, conflict.theirs)
            else:
                side = ours if plan.way == "ours" else theirs
                theirs_or_ours = model.entries(model.history(side))
                wanted[key] = value(conflict.kind, theirs_or_ours[conflict.entry])
        needed = {key for key in wanted if value(key[0], folded[key[1]]) != wanted[key]}
        for info in stated:
            await self._state(branch, info)
        last = model.commits[-len(stated) :] if stated else []
        kinds = {"edit": "content", "annotate": "priority"}
        assert sorted((kinds[item.kind], item.target or 0) for item in last) == sorted(
            needed | answers.keys()
        )
        shown = model.entries(model.history(model.heads[branch]))
        assert {key: value(key[0], shown[key[1]]) for key in wanted} == wanted
        for (kind, position), answer in answers.items():
            now = value(kind, shown[position])
            assert (rendered(answer) == now[0]) if kind == "content" else (answer == now)
        assert result.head_hash == made[-1].commit_hash
        assert shown.keys() == folded.keys()

    async def _state(self, branch: str, info: CommitInfo) -> None:
        assert info.edit_target is not None
        content = (await self.tract(branch).get_content(info.commit_hash)).model_dump(mode="json")
        what = content["priority"] if info.operation == "annotate" else content
        target = self.hashes.index(info.edit_target)
        made = Made(info.operation.value, what, target, info.generation_config, None)
        self._made(branch, made, info.commit_hash)

    def _check_conflicts(self, told: tuple[MergeConflict, ...], wanted: list[Conflict]) -> None:
        assert [
            Conflict(
                item.kind.value,
                self.hashes.index(item.target_hash),
                *(_plain(part) for part in (item.base, item.ours, item.theirs)),
            )
            for item in told
        ] == wanted

    def _entry(self, plan: Plan, branch: str) -> int:
        there = [*self.model.entries(self.model.history(self.model.heads[branch]))]
        return there[plan.number % len(there)]

    def _made(self, branch: str, made: Made, commit_hash: str) -> None:
        made = Made(
            made.kind, made.content, made.target, made.config, self.model.heads[branch], made.merged
        )
        self.model.add(branch, made)
        self.hashes.append(commit_hash)


def _plain(part: Any) -> Any:
    if part is None or isinstance(part, str):
        return part
    return rendered(part.model_dump(mode="json"))


async def decided(conflict: MergeConflict) -> Any:
    kind = conflict.kind.value
    return _answer(kind, _plain(conflict.ours), _plain(conflict.theirs))


def _answer(kind: str, ours: Any, theirs: Any) -> Any:
    """Return a decision: a text made of both, or the priority that neither side has."""
    if kind == "priority":
        return next(one for one in ("normal", "pinned", "skip") if one not in (ours, theirs))
    return {"content_type": "dialogue", "role": "user", "text": f"{ours} and {theirs}"}
