"""Groups of 64 commits: those that are invalid fail alone, each with its own error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from support.opening import engine_of
from support.probes import probe
from tract import (
    AsyncTract,
    BudgetAction,
    BudgetExceededError,
    CommitInfo,
    CommitNotFoundError,
    CommitOperation,
    ContentValidationError,
    EditTargetError,
    HeadMovedError,
    NullTokenCounter,
    Priority,
    TiktokenCounter,
    TokenBudgetConfig,
    TractConfig,
    TractError,
    TractStore,
)

NOWHERE = "0" * 64
EDIT = CommitOperation.EDIT


class Place(NamedTuple):
    """A tract with some history, and what a caller may wrongly name in it."""

    tract: AsyncTract
    entry: CommitInfo
    edit: CommitInfo
    foreign: CommitInfo
    """An entry of another tract."""


Call = Callable[[Place, int], Awaitable[object]]


async def bad_batch(place: Place, number: int) -> None:
    async with place.tract.batch() as batch:
        batch.commit({"content_type": "dialogue", "role": "user", "text": f"lost {number}"})
        batch.commit(
            {"content_type": "dialogue", "role": "user", "text": "x"},
            operation=EDIT,
            edit_target=NOWHERE,
        )


INVALID: dict[str, tuple[Call, type[TractError]]] = {
    "target gone": (
        lambda p, n: p.tract.user(f"lost {n}", operation=EDIT, edit_target=NOWHERE),
        EditTargetError,
    ),
    "target no entry": (
        lambda p, n: p.tract.user(f"lost {n}", operation=EDIT, edit_target=p.edit.commit_hash),
        EditTargetError,
    ),
    "target of another tract": (
        lambda p, n: p.tract.user(f"lost {n}", operation=EDIT, edit_target=p.foreign.commit_hash),
        EditTargetError,
    ),
    "nothing to annotate": (
        lambda p, n: p.tract.annotate(p.foreign.commit_hash, Priority.SKIP),
        CommitNotFoundError,
    ),
    "head moved": (
        lambda p, n: p.tract.user(f"lost {n}", expected_head=p.entry.commit_hash),
        HeadMovedError,
    ),
    "usage for no commit": (
        lambda p, n: p.tract.record_usage(
            {"prompt_tokens": 1, "completion_tokens": 1}, head_hash="f" * 64
        ),
        CommitNotFoundError,
    ),
    "no content": (
        lambda p, n: p.tract.commit({"content_type": "dialogue", "role": "nobody", "text": "x"}),
        ContentValidationError,
    ),
    "half a batch": (bad_batch, EditTargetError),
}


async def placed(tract: AsyncTract, foreign: AsyncTract) -> Place:
    entry = await tract.user("entry")
    edit = await tract.user("edited", operation=EDIT, edit_target=entry.commit_hash)
    return Place(tract, entry, edit, await foreign.user("foreign"))


async def outcomes(calls: Iterable[Awaitable[object]]) -> list[object]:
    async with asyncio.timeout(20):
        return await asyncio.gather(*calls, return_exceptions=True)


async def texts_of(tract: AsyncTract) -> list[str]:
    """Return what a tract's messages say, having checked that it is one line and sound."""
    log = await tract.log(None)
    assert [info.parent_hash for info in log] == [*(info.commit_hash for info in log), None][1:]
    assert (await tract.verify()).faults == ()
    context = await tract.compile(aggregate_same_role=False)
    return [message.content or "" for message in context.messages]


@pytest.mark.parametrize("name", INVALID)
@pytest.mark.parametrize("count", [1, 32, 63])
async def test_invalid_commits_of_a_group_fail_alone(
    target: Path | str, name: str, count: int
) -> None:
    """Whether one of the 64 is invalid, every second, or all but one."""
    call, error = INVALID[name]
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:
        place = await placed(store.tract("t"), store.tract("other"))
        await asyncio.gather(*(place.tract.user(f"warm {n}") for n in range(4)))
        bad = {n * 64 // count for n in range(count)}
        before, trips = await texts_of(place.tract), probe(store).trips
        results = await outcomes(
            [call(place, n) if n in bad else place.tract.user(f"good {n}") for n in range(64)]
        )
        trips = probe(store).trips - trips

        errors = [results[n] for n in sorted(bad)]
        assert {type(item) for item in errors} == {error}
        assert len({id(item) for item in errors}) == count
        good = [f"good {n}" for n in range(64) if n not in bad]
        assert sorted(await texts_of(place.tract)) == sorted(before + good)
        assert all(isinstance(results[n], CommitInfo) for n in range(64) if n not in bad)
        # Nothing of the group was tried again by itself; a report of usage compiles before it writes.
        # At a server, what a call looks up within the group takes a trip.
        at_a_server = engine_of(target) == "postgres"
        least = 64 + 5 if at_a_server else 4
        assert trips <= least + (name == "usage for no commit")


async def test_every_kind_of_invalid_commit_in_one_group_gets_its_own_error(
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:
        place = await placed(store.tract("t"), store.tract("other"))
        calls: list[Awaitable[object]] = []
        expected: list[type[object]] = []
        for call, error in INVALID.values():
            for number in range(4):
                calls += [place.tract.user(f"good {len(calls)}"), call(place, number)]
                expected += [CommitInfo, error]
        results = await outcomes(calls)

        assert len(results) == 64
        assert [type(item) for item in results] == expected
        assert sum(text.startswith("good") for text in await texts_of(place.tract)) == 32
        assert not any("lost" in text for text in await texts_of(place.tract))


async def test_of_64_commits_those_over_the_budget_fail_alone(target: Path | str) -> None:
    """On one branch they take turns; those of 16 tracts share transactions."""
    budget = TokenBudgetConfig(max_tokens=100, action=BudgetAction.REJECT)
    config = TractConfig(token_budget=budget)
    async with TractStore.open(target, tokenizer=TiktokenCounter(), config=config) as store:
        tracts = [store.tract(str(number)) for number in range(16)]
        long = "word " * 200
        results = await outcomes(
            [tracts[n % 16].user(f"{long if n // 16 % 2 else 'good'} {n}") for n in range(64)]
        )

        refused = [item for item in results if isinstance(item, BudgetExceededError)]
        assert [type(item) for item in results] == (
            [CommitInfo] * 16 + [BudgetExceededError] * 16
        ) * 2
        assert {error.max_tokens for error in refused} == {100}
        assert all(error.tokens > 200 for error in refused)
        for number, tract in enumerate(tracts):
            assert await texts_of(tract) == [f"good {number}", f"good {number + 32}"]


async def test_of_64_commits_on_one_branch_those_land_that_the_budget_has_room_for(
    target: Path | str,
) -> None:
    """Each is checked against the very head that it lands on, so the budget is never overrun."""
    budget = TokenBudgetConfig(max_tokens=200, action=BudgetAction.REJECT)
    config = TractConfig(token_budget=budget)
    async with AsyncTract.open(
        target, tract_id="t", tokenizer=TiktokenCounter(), config=config
    ) as tract:
        results = await outcomes(
            [
                tract.assistant("ten words are more or less ten tokens so", name=str(n))
                for n in range(64)
            ]
        )
        context = await tract.compile()

    landed = [item for item in results if isinstance(item, CommitInfo)]
    refused = [item for item in results if isinstance(item, BudgetExceededError)]
    assert len(landed) + len(refused) == 64
    assert len(landed) == context.commit_count > 5
    assert 180 < context.token_count <= 200
    assert all(error.tokens > 200 for error in refused)


async def test_one_of_64_with_one_expected_head_lands_and_others_beside_it(
    target: Path | str,
) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=NullTokenCounter()) as tract:
        await asyncio.gather(*(tract.user(f"warm {n}") for n in range(4)))
        head = await tract.head()
        results = await outcomes(
            [tract.user(f"swap {n}", expected_head=head) for n in range(32)]
            + [tract.user(f"good {n}") for n in range(32)]
        )
        texts = await texts_of(tract)

    assert isinstance(results[0], CommitInfo)
    assert [type(item) for item in results[1:32]] == [HeadMovedError] * 31
    assert [type(item) for item in results[32:]] == [CommitInfo] * 32
    assert texts[4:] == ["swap 0", *(f"good {n}" for n in range(32))]
