"""How much of the context that was compiled last the next one begins with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.counters import WordCounter
from tract import (
    AsyncTract,
    Priority,
    StablePrefix,
    TractConfig,
    TractStore,
)

TOOL: dict[str, Any] = {"type": "function", "name": "look", "parameters": {"type": "object"}}


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=WordCounter()) as tract:
        yield tract


async def filled(tract: AsyncTract, number: int = 4) -> list[str]:
    """Commit entries of a token or two each; return their hashes."""
    roles = (tract.user, tract.assistant)
    return [(await roles[at % 2](f"entry {at}")).commit_hash for at in range(number)]


async def prefix(tract: AsyncTract) -> StablePrefix | None:
    return (await tract.compile()).stable_prefix


async def test_nothing_is_known_of_the_first_context(tract: AsyncTract) -> None:
    assert await prefix(tract) is None
    await filled(tract)
    assert await prefix(tract) is None


@pytest.mark.parametrize("number", [1, 63, 64, 65, 130])
async def test_all_of_it_is_stable_while_commits_are_appended(
    tract: AsyncTract, number: int
) -> None:
    hashes = await filled(tract, number)
    await tract.compile()

    for _ in range(3):
        last = hashes[-1]
        hashes.append((await tract.user("more")).commit_hash)
        stable = await prefix(tract)
        assert stable is not None
        assert stable.commit_hash == last

    await tract.compile(aggregate_same_role=False)
    context = await tract.compile(aggregate_same_role=False)
    assert context.stable_prefix is not None
    assert context.stable_prefix.commit_hash == hashes[-1]
    assert context.stable_prefix.tokens >= context.token_count - 3


async def test_an_edit_or_a_priority_ends_it(tract: AsyncTract) -> None:
    hashes = await filled(tract)
    await tract.compile()
    await tract.assistant("other", operation="edit", edit_target=hashes[1])
    first = await prefix(tract)
    await tract.annotate(hashes[2], Priority.SKIP)
    second = await prefix(tract)
    await tract.annotate(hashes[2], Priority.NORMAL)
    third = await prefix(tract)
    await tract.annotate(hashes[2], Priority.PINNED)
    fourth = await prefix(tract)

    assert [each and each.commit_hash for each in (first, second, third, fourth)] == [
        hashes[0],
        hashes[1],
        hashes[1],
        hashes[3],
    ]
    assert fourth is not None
    assert third is not None
    assert first is not None
    assert 0 < first.tokens < third.tokens < fourth.tokens


async def test_a_compaction_ends_it_where_its_summary_stands_and_the_next_one_there(
    tract: AsyncTract,
) -> None:
    system = await tract.system("be good")
    await filled(tract, 70)
    await tract.compile()

    async def summarise(request: object) -> str:
        return "the summary"

    done = await tract.compact(summarise, keep_recent=2)
    assert done is not None
    first = await prefix(tract)
    await filled(tract, 70)
    await tract.compile()
    await tract.compact(summarise, keep_recent=2)
    second = await prefix(tract)

    assert first is not None
    assert second is not None
    assert first.commit_hash == system.commit_hash
    assert second.commit_hash == done.commit_hash
    assert second.tokens > first.tokens


async def test_other_tools_leave_nothing_stable(tract: AsyncTract) -> None:
    await tract.tools([TOOL])
    hashes = await filled(tract, 70)
    await tract.compile()
    same = await prefix(tract)
    await tract.tools([{**TOOL, "name": "listen"}])
    changed = await prefix(tract)
    await tract.user("more")
    again = await prefix(tract)

    assert same is not None
    assert again is not None
    assert same.commit_hash == again.commit_hash == hashes[-1]
    assert changed == StablePrefix(None, 0)


async def test_branches_have_each_their_own_and_the_past_has_none(tract: AsyncTract) -> None:
    hashes = await filled(tract)
    await tract.compile()
    side = await tract.fork("side")

    assert (await tract.compile(at_commit=hashes[1])).stable_prefix is None
    assert await prefix(side) is None
    stable = await prefix(tract)
    assert stable is not None
    assert stable.commit_hash == hashes[-1]


async def test_a_branch_that_was_reset_keeps_what_is_left(tract: AsyncTract) -> None:
    hashes = await filled(tract)
    await tract.compile()
    await tract.reset(hashes[1])
    await tract.user("another way")
    stable = await prefix(tract)

    assert stable is not None
    assert stable.commit_hash == hashes[1]


@pytest.mark.parametrize("times", [1, 2])
async def test_nothing_is_known_of_a_context_that_was_erased_from(
    tract: AsyncTract, times: int
) -> None:
    """An erasure moves no branch, so the head that was compiled last shows less by now."""
    hashes = await filled(tract)
    for _ in range(times):
        await tract.compile()
    await tract.erase([hashes[1]], reason="asked for")

    assert await prefix(tract) is None
    stable = await prefix(tract)
    assert stable is not None
    assert stable.commit_hash == hashes[-1]


async def test_what_was_evicted_is_not_compared(target: Path | str) -> None:
    async with AsyncTract.open(target, config=TractConfig(cache_max_bytes=0)) as tract:
        await filled(tract)

        assert await prefix(tract) is None
        assert await prefix(tract) is None


async def test_stats_sum_it_since_the_store_was_opened(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        tract = store.tract("t")
        assert (await tract.stats()).compiled_tokens == 0
        compiled = stable = 0
        for number in range(4):
            await tract.user(f"entry {number}") if number % 2 else await tract.assistant("entry")
            context = await tract.compile()
            compiled += (await tract.stats()).tokens - 3
            stable += 0 if context.stable_prefix is None else context.stable_prefix.tokens

        stats = await tract.stats()
        assert (stats.compiled_tokens, stats.stable_tokens) == (compiled, stable)
        assert 0 < stable < compiled
        assert (await store.tract("u").stats()).compiled_tokens == 0
