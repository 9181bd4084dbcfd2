from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from support.counters import WordCounter
from tract import (
    AsyncTract,
    BudgetAction,
    BudgetExceededError,
    CommitOperation,
    EditTargetError,
    HeadMovedError,
    Priority,
    TokenBudgetConfig,
    TokenBudgetWarning,
    TractConfig,
    TractStore,
)

EMPTY = 3 + 3 + 1
"""Words of a context with one message without text: list, message and role."""


class Stop(Exception):
    """Raised by a callback that does not want the commit."""


def reject(max_tokens: int) -> TractConfig:
    return TractConfig(
        token_budget=TokenBudgetConfig(max_tokens=max_tokens, action=BudgetAction.REJECT)
    )


def calling(max_tokens: int, callback: Callable[[int, int], Awaitable[None] | None]) -> TractConfig:
    budget = TokenBudgetConfig(
        max_tokens=max_tokens, action=BudgetAction.CALLBACK, callback=callback
    )
    return TractConfig(token_budget=budget)


def opened(config: TractConfig, path: Path | str = ":memory:") -> Any:
    return AsyncTract.open(path, tract_id="t", config=config, tokenizer=WordCounter())


def words(count: int) -> str:
    return " ".join(["word"] * count)


async def test_a_commit_may_reach_the_budget_and_not_pass_it() -> None:
    async with opened(reject(EMPTY + 5)) as tract:
        info = await tract.user(words(5))
        assert (await tract.compile()).token_count == EMPTY + 5

        with pytest.raises(BudgetExceededError) as raised:
            await tract.user("word")
        assert (raised.value.tokens, raised.value.max_tokens) == (EMPTY + 6, EMPTY + 5)
        assert await tract.head() == info.commit_hash
        assert len(await tract.log(None)) == 1


async def test_what_makes_the_context_fit_again_is_let_through() -> None:
    async with opened(reject(EMPTY + 5)) as tract:
        info = await tract.user(words(5))
        short = {"content_type": "dialogue", "role": "user", "text": "a"}
        await tract.commit(short, operation=CommitOperation.EDIT, edit_target=info.commit_hash)
        await tract.user(words(4))

        assert (await tract.compile()).token_count == EMPTY + 5


async def test_an_edit_that_makes_it_too_long_is_rejected() -> None:
    async with opened(reject(EMPTY + 5)) as tract:
        info = await tract.user("a")
        long = {"content_type": "dialogue", "role": "user", "text": words(6)}
        with pytest.raises(BudgetExceededError):
            await tract.commit(long, operation=CommitOperation.EDIT, edit_target=info.commit_hash)

        assert await tract.head() == info.commit_hash


async def test_showing_an_entry_again_is_checked_too() -> None:
    async with opened(reject(EMPTY + 5)) as tract:
        info = await tract.user(words(5))
        await tract.annotate(info.commit_hash, Priority.SKIP)
        last = await tract.user(words(5))
        with pytest.raises(BudgetExceededError):
            await tract.annotate(info.commit_hash, Priority.NORMAL)

        assert await tract.head() == last.commit_hash


async def test_a_batch_is_checked_as_a_whole() -> None:
    async with opened(reject(EMPTY + 5)) as tract:
        async with tract.batch() as batch:
            first = batch.commit({"content_type": "dialogue", "role": "user", "text": words(50)})
            short = {"content_type": "dialogue", "role": "user", "text": words(2)}
            batch.commit(short, operation=CommitOperation.EDIT, edit_target=first)
            batch.commit({"content_type": "dialogue", "role": "user", "text": words(3)})
        head = await tract.head()
        batch = tract.batch()
        await batch.__aenter__()
        for text in ("", "word"):
            batch.commit({"content_type": "dialogue", "role": "user", "text": text})
        with pytest.raises(BudgetExceededError):
            await batch.__aexit__(None, None, None)

        assert await tract.head() == head
        assert batch.commits == []


@pytest.mark.parametrize("stores", [1, 2])
async def test_concurrent_commits_never_pass_the_budget_together(
    target: Path | str, stores: int
) -> None:
    config = reject(EMPTY + 10)
    async with (
        TractStore.open(target, config=config, tokenizer=WordCounter()) as one,
        TractStore.open(target, config=config, tokenizer=WordCounter()) as two,
    ):
        handles = [(one, two)[number % stores].tract("t") for number in range(30)]
        results = await asyncio.gather(
            *(handle.user("word") for handle in handles), return_exceptions=True
        )

        refused = [item for item in results if isinstance(item, BaseException)]
        assert {type(item) for item in refused} == {BudgetExceededError}
        assert len(results) - len(refused) == 10
        assert (await two.tract("t").compile()).token_count == EMPTY + 10


async def test_a_warning_is_issued_and_the_commit_made() -> None:
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=5))
    async with opened(config) as tract:
        with pytest.warns(TokenBudgetWarning, match=f"will have {EMPTY + 1} tokens.*budget of 5"):
            info = await tract.user("word")

        assert await tract.head() == info.commit_hash


async def test_a_warning_that_is_an_error_leaves_nothing() -> None:
    """Promise 4."""
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=5))
    async with opened(config) as tract:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(TokenBudgetWarning):
                await tract.user("word")

        assert await tract.head() is None
        assert await tract.log(None) == []


async def test_a_callback_is_told_tokens_and_budget_before_the_commit() -> None:
    calls: list[tuple[int, int, str | None]] = []
    heads: list[str | None] = []

    def callback(tokens: int, max_tokens: int) -> None:
        calls.append((tokens, max_tokens, heads[-1] if heads else None))

    async with opened(calling(EMPTY + 1, callback)) as tract:
        heads.append((await tract.user("one")).commit_hash)
        info = await tract.user("two")

        assert calls == [(EMPTY + 2, EMPTY + 1, heads[0])]
        assert await tract.head() == info.commit_hash


async def test_a_callback_may_shorten_the_context_it_was_called_for() -> None:
    async def shorten(tokens: int, max_tokens: int) -> None:
        context = await tract.compile()
        await tract.annotate(context.commit_hashes[0], Priority.SKIP)

    async with opened(calling(EMPTY + 5, shorten)) as tract:
        for number in range(12):
            await tract.user(f"word {number}")

        context = await tract.compile()
        assert context.to_dicts() == [{"role": "user", "content": "word 10\n\nword 11"}]
        assert context.token_count <= EMPTY + 5


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_callback_that_raises_leaves_nothing(awaited: bool) -> None:
    """Promise 4."""

    def refuse(tokens: int, max_tokens: int) -> None:
        raise Stop

    async def refuse_later(tokens: int, max_tokens: int) -> None:
        await asyncio.sleep(0)
        raise Stop

    async with opened(calling(1, refuse_later if awaited else refuse)) as tract:
        with pytest.raises(Stop):
            await tract.user("word")

        assert await tract.head() is None
        assert (await tract.compile()).token_count == 0


async def test_nobody_waits_for_a_callback_of_another_commit() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def linger(tokens: int, max_tokens: int) -> None:
        entered.set()
        await leave.wait()

    async with opened(calling(EMPTY + 3, linger)) as tract:
        slow = asyncio.create_task(tract.user(words(9)))
        await entered.wait()
        quick = await tract.user("word")
        leave.set()

        assert (await slow).parent_hash == quick.commit_hash


@pytest.mark.parametrize("action", ["warn", "reject", "callback"])
async def test_a_moved_head_is_told_before_the_budget(action: Any) -> None:
    """A stale caller has nothing to shorten."""
    calls: list[int] = []

    def note(tokens: int, max_tokens: int) -> None:
        calls.append(tokens)

    budget = TokenBudgetConfig(
        max_tokens=EMPTY + 1, action=action, callback=note if action == "callback" else None
    )
    async with opened(TractConfig(token_budget=budget)) as tract:
        info = await tract.user("one")
        with pytest.raises(HeadMovedError) as raised:
            await tract.user(words(9), expected_head=None)

        assert (raised.value.expected, raised.value.actual) == (None, info.commit_hash)
        assert calls == []


async def test_a_right_expectation_is_no_way_past_the_budget() -> None:
    async with opened(reject(EMPTY + 1)) as tract:
        info = await tract.user("one", expected_head=None)
        with pytest.raises(BudgetExceededError):
            await tract.user("two", expected_head=info.commit_hash)

        assert await tract.head() == info.commit_hash


async def test_a_wrong_target_is_told_as_without_a_budget() -> None:
    async with opened(reject(EMPTY + 1)) as tract:
        with pytest.raises(EditTargetError):
            await tract.user("x", operation=CommitOperation.EDIT, edit_target="a" * 64)

        assert await tract.head() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"max_tokens": 5, "action": "callback"},
        {"max_tokens": 5, "callback": print},
        {"max_tokens": 5, "action": "explode"},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TokenBudgetConfig(**wrong)


async def test_a_budget_leaves_what_snapshots_share_and_what_is_counted_of_it_as_it_is() -> None:
    """Checking a commit makes a context that is thrown away; the commit's own is to grow on."""

    async def held(config: TractConfig) -> int:
        async with TractStore.open(config=config, tokenizer=WordCounter()) as store:
            for number in range(60):
                await store.tract("t").user(f"{number} " * 500)
                await store.tract("t").compile()
            return store.cache_info().bytes

    assert await held(reject(10**9)) == await held(TractConfig())
