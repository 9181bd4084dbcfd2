"""Turns at a branch: one after another, passed on, lost after a while, and never waited for within."""

from __future__ import annotations

import asyncio

import pytest

from tract.engine.branches.turns import Turns

BRANCH = ("t", "main")


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_free_turn_is_had_at_once() -> None:
    turns = Turns()
    with turns.at(BRANCH) as turn:
        assert not turn.held
        assert await turn.take() is False
        assert turn.held
        assert await turn.take() is False
    assert not turn.held


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    turns = Turns()
    had: list[int] = []

    async def one(number: int) -> bool:
        with turns.at(BRANCH) as turn:
            waited = await turn.take()
            had.append(number)
            await rest()
            assert had[-1] == number
            return waited

    waited = await asyncio.gather(*map(one, range(5)))
    assert had == [*range(5)]
    assert waited == [False, True, True, True, True]


async def test_other_branches_do_not_wait() -> None:
    turns = Turns()
    with turns.at(BRANCH) as turn, turns.at(("t", "fork")) as other:
        await turn.take()

        async def elsewhere() -> bool:
            return await other.take()

        async with asyncio.timeout(20):
            assert await asyncio.create_task(elsewhere()) is False


async def test_a_turn_is_passed_on_by_who_raises() -> None:
    turns = Turns()

    async def fail() -> None:
        with turns.at(BRANCH) as turn:
            await turn.take()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await fail()
    async with asyncio.timeout(20):
        with turns.at(BRANCH) as turn:
            assert await turn.take() is False


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "given just now"])
async def test_who_is_cancelled_leaves_the_turn_to_the_next(late: bool) -> None:
    turns = Turns()
    go_on = asyncio.Event()

    async def first() -> None:
        with turns.at(BRANCH) as turn:
            await turn.take()
            await go_on.wait()
        if late:
            waiting[0].cancel()

    async def one() -> bool:
        with turns.at(BRANCH) as turn:
            return await turn.take()

    holding = asyncio.create_task(first())
    await rest()
    waiting = [asyncio.create_task(one()) for _ in range(3)]
    await rest()
    if not late:
        waiting[0].cancel()
    go_on.set()
    async with asyncio.timeout(20):
        await asyncio.wait([holding, *waiting])

    assert waiting[0].cancelled()
    assert [task.result() for task in waiting[1:]] == [True, True]


async def test_a_turn_is_lost_after_a_while_and_taken_anew_behind_the_others() -> None:
    turns = Turns(longest=0.02)
    lost = asyncio.Event()
    had: list[str] = []

    async def slow() -> None:
        with turns.at(BRANCH) as turn:
            await turn.take()
            had.append("slow")
            await lost.wait()
            assert not turn.held
            assert await turn.take() is True
            had.append("slow again")

    async def quick() -> None:
        with turns.at(BRANCH) as turn:
            assert await turn.take() is True
            had.append("quick")
            lost.set()
            await rest()

    async with asyncio.timeout(20):
        await asyncio.gather(slow(), quick())
    assert had == ["slow", "quick", "slow again"]


async def test_a_turn_that_is_taken_again_lasts_longer() -> None:
    turns = Turns(longest=0.5)
    with turns.at(BRANCH) as turn:
        for _ in range(15):
            await turn.take()
            await asyncio.sleep(0.05)
        assert turn.held


@pytest.mark.parametrize("task", [False, True], ids=["itself", "a task of its own"])
async def test_within_a_turn_nobody_waits_for_it(task: bool) -> None:
    """But those who ask from there take turns with each other."""
    turns = Turns()
    had: list[int] = []

    async def inner(number: int) -> None:
        with turns.at(BRANCH) as turn:
            await turn.take()
            had.append(number)
            await rest()
            assert had[-1] == number

    async with asyncio.timeout(20):
        with turns.at(BRANCH) as turn:
            await turn.take()
            if task:
                await asyncio.gather(*map(inner, range(3)))
            else:
                await inner(0)
            assert turn.held
    assert had == [*range(3 if task else 1)]


async def test_within_turns_at_two_branches_nobody_waits_for_the_other() -> None:
    turns = Turns()
    both = asyncio.Barrier(2)

    async def crossing(one: str, other: str) -> None:
        with turns.at(("t", one)) as turn:
            await turn.take()
            await both.wait()
            with turns.at(("t", other)) as inner:
                await inner.take()

    async with asyncio.timeout(20):
        await asyncio.gather(crossing("a", "b"), crossing("b", "a"))


async def test_who_was_started_within_a_turn_that_is_over_takes_turns_again() -> None:
    turns = Turns()
    over = asyncio.Event()

    async def later() -> bool:
        await over.wait()
        with turns.at(BRANCH) as turn:
            return await turn.take()

    with turns.at(BRANCH) as turn:
        await turn.take()
        task = asyncio.create_task(later())
        await rest()

    async def holding() -> None:
        with turns.at(BRANCH) as turn:
            await turn.take()
            over.set()
            await rest()

    await holding()
    assert await task is True
