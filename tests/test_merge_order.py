"""What a merge does to the order of a context, in any graph: it adds at the end, and comes to rest."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.doing import Doing
from support.meanwhile import opened
from support.plans import Plan, plans
from tract import AsyncTract, MergeKind

ROUNDS = 3  # each of both branches; the last one finds nothing to do


async def shown(tract: AsyncTract) -> list[str]:
    return list((await tract.compile()).commit_hashes)


async def held(tract: AsyncTract) -> set[str]:
    return {info.commit_hash for info in await tract.log(None)}


def with_branches(
    check: Callable[[Doing, list[str]], Awaitable[None]], todo: Sequence[Plan]
) -> None:
    """Do *todo*, then check the branches that came of it."""

    async def run(folder: Path) -> None:
        async with await opened(folder / "a.db") as store:
            doing = Doing(store)
            for plan in todo:
                await doing.do(plan)
            heads = doing.model.heads
            await check(doing, sorted(name for name in heads if heads[name] is not None))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(plans, st.booleans())
def test_a_merge_adds_behind_what_was_there_and_moves_none_of_it(
    todo: list[Plan], fast_forward: bool
) -> None:
    """Entries may be hidden or shown by it, and read otherwise."""

    async def check(doing: Doing, names: list[str]) -> None:
        for name in names:
            for other in names:
                tract = doing.tract(name)
                before, had = await shown(tract), await held(tract)
                await tract.merge(other, on_conflict="theirs", fast_forward=fast_forward)
                after = await shown(tract)

                kept = [entry for entry in after if entry in had]
                assert after[: len(kept)] == kept
                assert [e for e in kept if e in before] == [e for e in before if e in kept]

    with_branches(check, todo)


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(plans, st.booleans(), st.sampled_from(["ours", "theirs"]))
def test_branches_that_merge_each_other_come_to_show_the_same_and_rest(
    todo: list[Plan], fast_forward: bool, way: Literal["ours", "theirs"]
) -> None:
    """The same entries with the same messages, configs and priorities, if in an order of their own."""

    async def check(doing: Doing, names: list[str]) -> None:
        if len(names) < 2:
            return
        one, two = (doing.tract(name) for name in names[:2])
        kinds: set[MergeKind] = set()
        for _ in range(ROUNDS):
            kinds = {
                (await mine.merge(theirs.branch, on_conflict=way, fast_forward=fast_forward)).kind
                for mine, theirs in ((one, two), (two, one))
            }

        assert kinds == {MergeKind.UP_TO_DATE}
        assert await entries(one) == await entries(two)
        await one.delete_branch(two.branch)

    with_branches(check, todo)


async def entries(tract: AsyncTract) -> dict[str, object]:
    context = await tract.compile(aggregate_same_role=False)
    return {
        name: (message, config)
        for name, message, config in zip(
            context.commit_hashes, context.messages, context.generation_configs, strict=True
        )
    }
