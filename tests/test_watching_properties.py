"""A copy that the documented loop keeps of a branch, for any history of it: always the branch."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.doing import Doing
from support.effort import examples
from support.naive import messages
from support.opening import COUNTER
from support.plans import Plan, plans
from support.probes import probe
from tract import AsyncTract, BranchReset, CommitInfo, TractStore, Watch
from tract.storage.repositories import BranchName

SOON = 20.0  # seconds


class Between(NamedTuple):
    """What happens after a plan: copies look, or branches are moved, as fast-forwards may have done.

    `jump` moves the plan's branch to any commit, `follow` another one to where that is.
    """

    look: bool
    jump: int | None = None
    follow: bool = False


BETWEEN = st.lists(
    st.builds(
        Between,
        look=st.sampled_from([False, False, True]),
        jump=st.sampled_from([None] * 9) | st.integers(0, 20),
        follow=st.sampled_from([False, False, False, True]),
    ),
    min_size=22,
    max_size=22,
)


def apply(history: list[CommitInfo], item: CommitInfo | BranchReset) -> None:
    """Do what the documented loop does with an item."""
    if isinstance(item, BranchReset):
        hashes = [None, *(info.commit_hash for info in history)]
        assert item.old_hash == hashes[-1]
        del history[hashes.index(item.new_hash) :]
    else:
        history.append(item)


@dataclass
class Copy:
    """A copy of a branch, and what a watch without resets has given."""

    tract: AsyncTract
    watch: Watch[CommitInfo | BranchReset]
    plain: Watch[CommitInfo]
    history: list[CommitInfo]
    given: list[CommitInfo] = field(default_factory=list)

    @classmethod
    async def begin(cls, tract: AsyncTract, *, with_log: bool) -> Copy:
        """Begin with the branch's first commit, or behind what is there."""
        history = (await tract.log(None, order="context"))[::-1] if with_log else []
        after = history[-1].commit_hash if history else None
        watch = tract.watch(after, resets=True)
        return cls(tract, watch, tract.watch(after), history, [*history])

    async def look(self, wanted: Sequence[str]) -> None:
        """Read on until the copy is the branch, whose commits are *wanted*."""
        async with asyncio.timeout(SOON):
            while [info.commit_hash for info in self.history] != wanted:
                apply(self.history, await anext(self.watch))
            while not {*wanted} <= {info.commit_hash for info in self.given}:
                self.given.append(await anext(self.plain))

    async def check(self, wanted: Sequence[str]) -> None:
        """Compare it with everything that tells the branch's order."""
        assert self.history == (await self.tract.log(None, order="context"))[::-1]
        hashes = [info.commit_hash for info in self.given]
        assert len({*hashes}) == len(hashes), "once each"


@dataclass
class Copies:
    """Copies of all branches of a tract, kept in the process that writes and in another store."""

    doing: Doing
    stores: Sequence[TractStore]
    kept: dict[str, list[Copy]] = field(default_factory=dict)

    def wanted(self, branch: str) -> list[str]:
        model = self.doing.model
        return [self.doing.hashes[n] for n in model.history(model.heads.get(branch))]

    async def look(self) -> None:
        for number, branch in enumerate(self.doing.model.heads):
            if branch not in self.kept:
                tracts = [store.tract("t", branch=branch) for store in self.stores]
                self.kept[branch] = [
                    await Copy.begin(tract, with_log=(number + at) % 2 == 1)
                    for at, tract in enumerate(tracts)
                ]
        async with asyncio.TaskGroup() as group:
            for branch, copies in self.kept.items():
                for copy in copies:
                    group.create_task(copy.look(self.wanted(branch)))

    async def check(self) -> None:
        """Compare all with the branches, and what they fold to with what these compile to."""
        model, hashes = self.doing.model, self.doing.hashes
        for branch, copies in self.kept.items():
            for copy in copies:
                await copy.check(self.wanted(branch))
                numbers = [hashes.index(info.commit_hash) for info in copy.history]
                folded = messages(
                    model.deeds(model.changing(numbers)),
                    include_edit_annotations=False,
                    aggregate_same_role=True,
                )
                assert (await copy.tract.compile()).to_dicts() == folded


async def move(doing: Doing, branch: str, to: int | None) -> None:
    """Point a branch at any commit, whatever `merge` would make of it."""
    if to is not None and doing.model.heads.get(branch) not in (None, to):
        refs, name = probe(doing.store).refs, BranchName("t", branch)
        await refs.move(name, doing.hashes[to], action="fast-forward")
        doing.model.heads[branch] = to


async def go_on(doing: Doing, plan: Plan, then: Between) -> None:
    """Do what follows on a plan, but for looking."""
    branch = await doing.do(plan)
    heads = doing.model.heads
    if then.jump is not None and doing.hashes:
        await move(doing, branch, then.jump % len(doing.hashes))
    if then.follow:
        await move(doing, sorted(heads)[plan.other % len(heads)], heads.get(branch))


async def run(path: Path, todo: Sequence[Plan], between: Sequence[Between]) -> None:
    async with (
        TractStore.open(path, tokenizer=COUNTER) as store,
        TractStore.open(path, tokenizer=COUNTER) as other,
    ):
        doing = Doing(store)
        copies = Copies(doing, [store, other])
        await copies.look()
        for plan, then in zip(todo, between, strict=False):
            await go_on(doing, plan, then)
            if then.look:
                await copies.look()
        await copies.look()
        await copies.check()


def planned(kind: str, branch: int = 0, other: int = 0) -> Plan:
    said = {"content_type": "dialogue", "role": "user", "text": kind}
    return Plan(kind, branch, other, 0, said, None, "skip", "theirs", fast_forward=True)


LOOK, FOLLOW = Between(look=True), Between(look=True, follow=True)
CROSSED = [planned("append"), planned("fork"), *[planned("append", 0), planned("append", 1)] * 2]
EDITED = [planned("append"), planned("fork"), planned("edit", 0), planned("edit", 1)]


@settings(max_examples=examples(40), deadline=None)
@example([*CROSSED, planned("merge", 0, 1)], [LOOK] * 6 + [FOLLOW])
@example([*EDITED, planned("merge", 0, 1)], [LOOK] * 4 + [FOLLOW])
@example([*EDITED, planned("merge", 0, 1), planned("reset", 1)], [LOOK] * 4 + [FOLLOW, LOOK])
@given(plans, BETWEEN)
def test_a_copy_is_the_branch_whatever_was_done_to_it(
    todo: list[Plan], between: list[Between]
) -> None:
    """Committing, merging, crossed merges, fast-forwards, resets, here and in another process."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "t.db", todo, between))
