"""`prune()` on random histories: no context since the boundary changes, and nothing else is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from random import Random

import pytest

from support.effort import effort
from support.opening import with_clock
from support.pruned import Growing, held, shown
from tract import (
    AsyncTract,
    CommitOperation,
    ErasedContent,
    StateContent,
)

SEEDS = [
    *range(8),
    *(pytest.param(seed, marks=pytest.mark.long) for seed in range(8, effort(32, 200))),
]
SHOWN = {CommitOperation.APPEND, CommitOperation.EDIT}


async def _behind(tract: AsyncTract, commits: set[str]) -> set[str]:
    """Return commits and all that they reach."""
    logs = [await tract.log(None, before=commit) for commit in sorted(commits)]
    return commits.union(info.commit_hash for log in logs for info in log)


async def with_tracts(
    folder: Path, names: str, seed: int, check: Callable[..., Awaitable[None]]
) -> None:
    """Check tracts that grew by the same steps at the same times, each in a file of its own."""
    growing: list[Growing] = []
    for name in names:
        ticks = count(10**15, 10**6)
        store = await with_clock(folder / f"{name}.db", ticks.__next__)
        growing.append(Growing(store, "t", seed))
        await growing[-1].grow(20 + seed % 50)
    try:
        await check(*growing)
    finally:
        for each in growing:
            await each.store.aclose()


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_context_since_the_boundary_changes_and_nothing_else_is_left(
    tmp_path: Path, seed: int
) -> None:
    async def check(growing: Growing) -> None:
        main, keep = growing.main, Random(seed).choice([0, 1, 5, 20])
        everything = {entry.new_hash for entry in await main.reflog()} - {None}
        times = [info.created_at for info in await main.query()]  # of reset branches, too
        since = times[-keep] if 0 < keep <= len(times) else None
        before = await shown(main, since)

        await main.prune(keep=keep, reason="old")

        assert await shown(main, since) == before
        assert (await main.verify()).faults == ()
        again = await main.prune(keep=keep, reason="old")
        assert (again.erased, again.deleted) == (0, 0)
        await main.prune(keep=0, reason="old")
        await _check_left(main, everything)

    await with_tracts(tmp_path, "a", seed, check)


async def _check_left(main: AsyncTract, everything: set[str | None]) -> None:
    """Check that of a pruned tract nothing is left that no context shows."""
    reached = await held(main)
    keyed = {info.commit_hash for info in await main.keys()}
    for gone in everything - {*reached} - await _behind(main, keyed):
        assert await main.get_commit(str(gone)) is None
    states = await main.get_contents(sorted(keyed))
    views = (await shown(main)).values()
    texts = {message.content for view in views for message in view[0]}
    for info, content in reached.values():
        if info.operation in SHOWN and not isinstance(content, ErasedContent):
            assert any(content.text in text for text in texts)  # type: ignore[attr-defined]
        elif info.operation == CommitOperation.ANNOTATE:
            assert isinstance(content, ErasedContent) or content.reason is None  # type: ignore[attr-defined]
        elif isinstance(content, StateContent):
            assert content in states


@pytest.mark.parametrize("seed", SEEDS)
async def test_work_goes_on_after_a_prune_as_without_it(tmp_path: Path, seed: int) -> None:
    """Edits, skips and merges, whose bases may be pruned, lead to the same contexts."""

    async def check(one: Growing, two: Growing) -> None:
        await one.main.prune(keep=seed % 7, reason="old")
        await one.go_on(25)
        await two.go_on(25)

        ours, theirs = await shown(one.main), await shown(two.main)
        assert {name: view[0] for name, view in ours.items()} == {
            name: view[0] for name, view in theirs.items()
        }
        assert (await one.main.verify()).faults == ()

    await with_tracts(tmp_path, "ab", seed, check)
