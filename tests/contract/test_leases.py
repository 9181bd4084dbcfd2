"""Leases: one owner at a time has a branch, until it releases it or its lease lapses."""

from __future__ import annotations

import asyncio

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT
from support.repositories import Repositories, say
from tract.storage.repositories import BranchName


def never(owner: str, quiet: int) -> bool:
    return False


async def test_a_branch_is_lent_to_one_owner_until_it_is_released(store: Repositories) -> None:
    assert await store.leases.take(MAIN, "a", never) == "a"
    assert await store.leases.take(MAIN, "b", never) == "a"
    assert await store.leases.take(MAIN, "a", never) == "a"

    await store.leases.release(MAIN, "b")
    assert await store.leases.take(MAIN, "b", never) == "a"
    await store.leases.release(MAIN, "a")
    assert await store.leases.take(MAIN, "b", never) == "b"


async def test_a_sign_of_life_that_was_given_up_does_not_take_a_released_branch_again(
    pair: tuple[Repositories, Repositories],
) -> None:
    one, other = pair
    for times in range(40):  # of the loop: before it has left, on its way, and after it has landed
        assert await one.leases.take(MAIN, "a", never) == "a"
        sign = asyncio.create_task(one.leases.take(MAIN, "a", never))
        for _ in range(times):
            await asyncio.sleep(0)
        sign.cancel()
        await one.leases.release(MAIN, "a")

        assert await other.leases.take(MAIN, "b", never) == "b"
        await asyncio.gather(sign, return_exceptions=True)
        await say(one, MAIN, "so nothing of it is under way")
        assert await other.leases.take(MAIN, "c", never) == "b"
        await other.leases.release(MAIN, "b")


async def test_a_release_of_nothing_does_nothing(store: Repositories) -> None:
    await store.leases.release(MAIN, "a")

    assert await store.leases.take(MAIN, "b", never) == "b"


async def test_branches_are_lent_one_by_one(store: Repositories) -> None:
    long = BranchName("t" * 1_000, "b" * 200)
    for at, branch in enumerate((MAIN, OTHER_BRANCH, OTHER_TRACT, long)):
        assert await store.leases.take(branch, f"{at}", never) == f"{at}"

    assert await store.leases.take(MAIN, "another", never) == "0"


async def test_a_lease_that_has_lapsed_goes_to_the_next(store: Repositories) -> None:
    asked: list[tuple[str, int]] = []

    def lapsed(owner: str, quiet: int) -> bool:
        asked.append((owner, quiet))
        return len(asked) == 2

    await store.leases.take(MAIN, "a", never)
    assert await store.leases.take(MAIN, "b", lapsed) == "a"
    assert await store.leases.take(MAIN, "b", lapsed) == "b"
    assert await store.leases.take(MAIN, "a", never) == "b"

    assert [owner for owner, _ in asked] == ["a", "a"]
    assert 0 < asked[0][1] < asked[1][1]


async def test_a_renewed_lease_is_young_again(store: Repositories) -> None:
    quiet: list[int] = []

    def note(owner: str, since: int) -> bool:
        quiet.append(since)
        return False

    await store.leases.take(MAIN, "a", never)
    for _ in range(3):
        await store.leases.take(MAIN, "b", note)
    await store.leases.take(MAIN, "a", never)
    await store.leases.take(MAIN, "b", note)

    assert quiet[3] <= quiet[0] < quiet[2]


async def test_of_many_that_ask_at_once_through_two_openings_one_has_it(
    pair: tuple[Repositories, Repositories],
) -> None:
    asked = [pair[number % 2].leases.take(MAIN, f"{number}", never) for number in range(12)]
    found = {*await asyncio.gather(*asked)}

    assert len(found) == 1
    assert await pair[1].leases.take(MAIN, "late", never) in found


async def test_a_lease_moves_no_branch(pair: tuple[Repositories, Repositories]) -> None:
    [made] = await say(pair[0], MAIN, "hello")
    await pair[1].leases.take(MAIN, "a", never)
    await pair[1].leases.release(MAIN, "a")

    assert [await each.refs.head(MAIN) for each in pair] == [made, made]
