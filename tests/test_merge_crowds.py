"""Merges into a branch that many use at once: none is hindered, none waits for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.doing import decided
from support.meanwhile import (
    EDIT,
    HARMLESS,
    HINDERING,
    Interruption,
    opened,
    prepared,
    texts,
)
from tract import (
    AsyncTract,
    BudgetAction,
    BudgetExceededError,
    DialogueContent,
    MergeConflict,
    MergeKind,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
)
from tract.storage.sql.ancestry import relations

pytestmark = pytest.mark.unmeasured


@pytest_asyncio.fixture
async def store(target: Path | str) -> AsyncIterator[TractStore]:
    async with await opened(target) as store:
        yield store


async def merge_two(main: AsyncTract, number: int) -> None:
    """Merge two branches at once, one of which has edited `b`."""
    one, two = await main.fork(f"one-{number}"), await main.fork(f"two-{number}")
    await one.user(f"b {number}", operation=EDIT, edit_target="b")
    await two.user(f"two {number}")
    await asyncio.gather(*(main.merge(each.branch, fast_forward=False) for each in (one, two)))


async def test_a_function_may_merge_into_the_branch_itself(
    store: TractStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when it is asked again, as the merge is computed anew, and so are those of its own."""
    monkeypatch.setattr(relations, "_FAR", 0)
    main = await prepared(store)
    await main.user("ours of b", operation=EDIT, edit_target="b")
    asked: list[str] = []

    async def decide(conflict: MergeConflict) -> Any:
        assert isinstance(conflict.ours, DialogueContent)
        asked.append(conflict.ours.text)
        if len(asked) < 4:
            await merge_two(main, len(asked))
        return "theirs"

    async with asyncio.timeout(30):
        result = await main.merge("fork", on_conflict=decide)

    assert (result.kind, asked) == (MergeKind.MERGE, ["ours of b", "b 1", "b 2", "b 3"])
    assert await texts(main) == ["a", "B", "ours", "two 1", "two 2", "two 3", "theirs"]


async def test_a_budgets_callback_may_merge_into_the_branch_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the merge that goes over the budget was computed anew, and so are its own."""
    monkeypatch.setattr(relations, "_FAR", 0)
    called: list[int] = []
    busy = False

    async def callback(tokens: int, _: int) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        called.append(tokens)
        if len(called) < 4:
            await merge_two(main, len(called))
        busy = False

    budget = TokenBudgetConfig(max_tokens=1, action=BudgetAction.CALLBACK, callback=callback)
    async with TractStore.open(tmp_path / "a.db", config=TractConfig(token_budget=budget)) as store:
        busy = True
        main = await prepared(store)
        busy = False
        async with asyncio.timeout(30):
            result = await main.merge("fork", on_conflict="ours")

        assert (result.kind, len(called)) == (MergeKind.MERGE, 4)
        assert (await main.verify()).faults == ()


@pytest.mark.parametrize("function", [False, True])
async def test_agents_that_have_worked_much_merge_at_once(
    store: TractStore, monkeypatch: pytest.MonkeyPatch, function: bool
) -> None:
    """Together more than can be looked through, so that most have to be computed anew."""
    monkeypatch.setattr(relations, "_FAR", 100)
    main = await prepared(store)
    forks = [await main.fork(f"agent-{number}") for number in range(60)]

    async def work(fork: AsyncTract) -> None:
        for turn in range(6):
            await fork.user(f"{fork.branch} {turn}")
        way: Any = decided if function else "raise"
        result = await main.merge(fork.branch, fast_forward=False, on_conflict=way)
        assert (result.kind, len(result.merged)) == (MergeKind.MERGE, 6)

    async with asyncio.timeout(100):
        await asyncio.gather(*map(work, forks))

    assert len(await texts(main)) == 3 + 60 * 6
    assert (await main.verify()).faults == ()


@pytest.mark.parametrize("turns", [0, 1, 5, 20, 60, 200])
async def test_a_merge_that_is_cancelled_leaves_its_turn_to_the_others(
    store: TractStore, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    monkeypatch.setattr(relations, "_FAR", 1)
    main = await prepared(store)
    forks = [await main.fork(f"agent-{number}") for number in range(8)]
    for fork in forks:
        await fork.user(fork.branch)
        await fork.user("more")
    merges = [asyncio.create_task(main.merge(fork.branch, fast_forward=False)) for fork in forks]
    for _ in range(turns):
        await asyncio.sleep(0)
    for merge in merges[::2]:
        merge.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait(merges)

    assert {merge.result().kind for merge in merges[1::2]} == {MergeKind.MERGE}
    assert (await main.verify()).faults == ()


@pytest.mark.parametrize("name", ["commits", "the same merge"])
async def test_a_budget_counts_what_is_brought_once(
    store: TractStore, tmp_path: Path, name: str
) -> None:
    """And against the context that it is brought to."""
    main = await prepared(store)
    await (HARMLESS | HINDERING)[name](main)
    await main.merge("fork")
    tokens = (await main.compile()).token_count
    kinds: list[str | None] = []
    for short in (0, 1):
        async with await opened(tmp_path / f"{short}.db", tokens - short) as other:
            same = await prepared(other)
            Interruption(other, lambda same=same: (HARMLESS | HINDERING)[name](same))  # type: ignore[misc]
            try:
                kinds.append((await same.merge("fork")).kind)
            except BudgetExceededError:
                kinds.append(None)

    assert kinds == [{"commits": "merge", "the same merge": "up-to-date"}[name], None]


@pytest.mark.parametrize("others", [1, 16])
async def test_writers_without_pause_do_not_hinder_a_merge(store: TractStore, others: int) -> None:
    main = await prepared(store)
    go_on = True

    async def write() -> None:
        while go_on:
            await main.user("written")

    writers = [asyncio.create_task(write()) for _ in range(others)]
    async with asyncio.timeout(60):
        for number in range(5):
            fork = await main.fork(f"fork-{number}")
            await fork.user(f"of fork {number}")
            result = await main.merge(fork.branch)
            assert result.kind in (MergeKind.MERGE, MergeKind.FAST_FORWARD)
    go_on = False
    await asyncio.gather(*writers)

    shown = [text for text in await texts(main) if text.startswith("of fork")]
    assert shown == [f"of fork {number}" for number in range(5)]
    assert (await main.verify()).faults == ()


async def test_a_hundred_agents_merge_at_once(store: TractStore) -> None:
    """Twice each, into the branch that all of them were forked from."""
    main = await prepared(store)

    async def work(number: int) -> None:
        fork = await main.fork(f"agent-{number}")
        for turn in range(2):
            await fork.user(f"{number} {turn}")
            result = await main.merge(fork.branch, fast_forward=False)
            assert (result.kind, len(result.merged)) == (MergeKind.MERGE, 1)

    async with asyncio.timeout(100):
        await asyncio.gather(*(work(number) for number in range(100)))

    shown = (await texts(main))[3:]
    assert sorted(shown) == sorted(f"{number} {turn}" for number in range(100) for turn in range(2))
    assert (await main.verify()).faults == ()
