"""Transactions that are cancelled, killed, or in each other's way: all or nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.effort import effort
from support.killing import kill_often
from support.opening import COUNTER
from tract import (
    BudgetAction,
    CommitInfo,
    HeadMovedError,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
)

_PROGRAM = """
import asyncio, sys
from support.opening import COUNTER
from tract import TractStore

async def main():
    async with TractStore.open(sys.argv[1], tokenizer=COUNTER) as store:
        print(flush=True)
        number = 0
        while True:
            number += 1
            async with store.transaction() as tx:
                said = [tx.on(store.tract("a")).user(f"{sys.argv[2]} {number} {n}") for n in range(9)]
                if number % 8 == 0:
                    draft = tx.on(store.tract("a")).fork(f"{sys.argv[2]}-{number}", at_commit=said[4])
                    draft.user("draft")
                tx.on(store.tract("b")).state(said, key=f"{sys.argv[2]} {number}")
                tx.on(store.tract("b")).tag(f"{sys.argv[2]}-{number}")

asyncio.run(main())
"""


async def write(store: TractStore, mark: str) -> list[CommitInfo]:
    """Write something of everything on two tracts."""
    a, b = store.tract("a"), store.tract("b")
    async with store.transaction() as tx:
        said = tx.on(a).user(mark)
        tx.on(b).state([said], key=mark)
        tx.on(a).fork(f"of-{mark}").user("draft")
        tx.on(b).tag(f"of-{mark}")
    return tx.commits


async def found(store: TractStore, mark: str) -> list[bool]:
    """Return which of the things are there that `write` wrote."""
    a, b = store.tract("a"), store.tract("b")
    return [
        any(
            each["content"] == mark
            for each in (await a.compile(aggregate_same_role=False)).to_dicts()
        ),
        mark in await b.get_by_keys([mark]),
        f"of-{mark}" in [each.name for each in await a.branches()],
        f"of-{mark}" in [each.name for each in await b.tags()],
    ]


@pytest.mark.parametrize("budgeted", [False, True], ids=["plain", "budgeted"])
async def test_a_cancelled_transaction_is_written_or_not(
    target: Path | str, budgeted: bool
) -> None:
    limits = TokenBudgetConfig(max_tokens=10**9, action=BudgetAction.REJECT)
    config = TractConfig(token_budget=limits if budgeted else None)
    async with TractStore.open(target, tokenizer=COUNTER, config=config) as store:
        ends: set[bool] = set()
        for turns in range(40):
            mark = f"m{turns}"
            writing = asyncio.create_task(write(store, mark))
            for turn in range(turns // 2):
                await asyncio.sleep(0 if turn < 7 else 0.0005)
            writing.cancel()
            await asyncio.wait([writing])
            await asyncio.wait_for(store.tract("a").user("goes on"), 20)
            there = {*await found(store, mark)}
            assert len(there) == 1
            assert writing.cancelled() or there == {True}
            ends |= there
        reports = [await store.tract(name).verify() for name in "ab"]

    assert ends == {True, False}
    assert [report.faults for report in reports] == [(), ()]


async def check_whole(path: Path) -> None:
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        a, b = store.tract("a"), store.tract("b")
        said = [info.commit_hash for info in reversed(await a.log(None))]
        states = [content for _, content in reversed(await b.log(None, contents=True))]
        listed = [each for state in states for each in state.model_dump()["payload"]]
        assert listed == said
        names = {str(info.key).replace(" ", "-") for info in await b.keys()}
        assert {each.name for each in await b.tags()} == names
        drafts = {name for name in names if int(name.partition("-")[2]) % 8 == 0}
        assert {each.name for each in await a.branches()} - {"main"} == drafts
        assert [(await each.verify()).faults for each in (a, b)] == [(), ()]


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(2, 0), *(pytest.param(effort(6, 12), seed, marks=pytest.mark.long) for seed in range(1, 4))],
)
async def test_a_killed_process_leaves_whole_transactions(
    db_path: Path, kills: int, seed: int
) -> None:
    await kill_often(_PROGRAM, db_path, check_whole, kills=kills, seed=seed, within=0.1)


async def test_transactions_that_cross_all_land(target: Path | str) -> None:
    """Of two stores, over the same tracts in opposite orders."""
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as other,
    ):

        async def cross(store: TractStore, names: str) -> None:
            for number in range(6):
                async with store.transaction() as tx:
                    for name in names:
                        tx.on(store.tract(name)).user(f"{number}")
                    tx.on(store.tract(names[0])).annotate(
                        tx.on(store.tract(names[0])).user("x"), "skip"
                    )

        orders = ["abc", "cba", "bca", "acb"]
        await asyncio.wait_for(
            asyncio.gather(*(cross(store, names) for store in (one, other) for names in orders)), 60
        )

        sizes = [(await one.tract(name).stats()).commits for name in "abc"]
        assert sum(sizes) == 8 * 6 * 5
        for name in "abc":
            assert (await one.tract(name).verify()).faults == ()


async def test_of_transactions_that_expect_one_head_a_single_one_lands(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as other,
    ):
        head = (await one.tract("a").user("first")).commit_hash

        async def attempt(store: TractStore, number: int) -> None:
            async with store.transaction() as tx:
                tx.on(store.tract("b")).user(str(number))
                tx.on(store.tract("a"), expected_head=head).user(str(number))

        attempts = (attempt(store, number) for number in range(8) for store in (one, other))
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)

        assert sum(outcome is None for outcome in outcomes) == 1
        assert all(isinstance(each, HeadMovedError) for each in outcomes if each is not None)
        assert len(await one.tract("a").log(None)) == 2
        assert len(await one.tract("b").log(None)) == 1
