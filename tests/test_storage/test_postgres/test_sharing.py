"""Callers that find all connections in use look for their heads together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.opening import COUNTER
from support.postgres.proxy import Proxy
from tract import AsyncTract, BranchNotFoundError, TractConfig, TractStore

_NUMBER = 20
_ONE_READER = TractConfig(readers=1, busy_timeout=5)


@pytest_asyncio.fixture
async def proxy(postgres_store: str) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_store) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def tracts(proxy: Proxy) -> AsyncIterator[list[AsyncTract]]:
    """Tracts with a commit each, of a store that reads over one connection."""
    async with TractStore.open(proxy.url, tokenizer=COUNTER, config=_ONE_READER) as store:
        tracts = [store.tract(f"{number}") for number in range(_NUMBER)]
        await asyncio.gather(*(tract.user(tract.tract_id) for tract in tracts))
        yield tracts


async def compiled(tract: AsyncTract) -> str:
    return str((await tract.compile()).messages[0].content)


async def test_each_gets_its_own_whatever_else_is_read(tracts: list[AsyncTract]) -> None:
    heads = [(await tract.log())[0].commit_hash for tract in tracts]
    texts, logs, reaching = await asyncio.gather(
        asyncio.gather(*map(compiled, tracts)),
        asyncio.gather(*(tract.log() for tract in tracts)),
        asyncio.gather(
            *(tract.reached_by([head]) for tract, head in zip(tracts, heads, strict=True))
        ),
    )

    assert texts == [tract.tract_id for tract in tracts]
    assert [[info.commit_hash for info in log] for log in logs] == [[head] for head in heads]
    assert reaching == [{head: ["main"]} for head in heads]


async def test_a_head_is_the_one_at_the_time_of_the_call_or_a_later_one(
    tracts: list[AsyncTract],
) -> None:
    async def commit_and_look(tract: AsyncTract) -> None:
        for number in range(5):
            made = await tract.user(f"{number}")
            assert await tract.head() == made.commit_hash

    await asyncio.gather(*map(commit_and_look, tracts))


async def test_callers_that_are_cancelled_leave_the_others_theirs(
    tracts: list[AsyncTract], proxy: Proxy
) -> None:
    await asyncio.gather(*map(compiled, tracts))
    proxy.delay = 0.02
    calls = [asyncio.create_task(compiled(tract)) for tract in tracts]
    await asyncio.sleep(0.03)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    proxy.delay = 0.0

    assert outcomes[1::2] == [tract.tract_id for tract in tracts[1::2]]


async def test_a_connection_that_is_cut_meanwhile_costs_nobody_an_answer(
    tracts: list[AsyncTract], proxy: Proxy
) -> None:
    await asyncio.gather(*map(compiled, tracts))
    proxy.delay = 0.02
    calls = asyncio.gather(*map(compiled, tracts))
    await asyncio.sleep(0.03)
    proxy.cut()
    proxy.delay = 0.0

    assert await calls == [tract.tract_id for tract in tracts]


async def test_a_branch_that_is_missing_is_named_to_its_caller_alone(
    tracts: list[AsyncTract],
) -> None:
    missing = [await tract.fork("side") for tract in tracts]
    await asyncio.gather(*(tract.delete_branch("side") for tract in tracts))
    found, refused = await asyncio.gather(
        asyncio.gather(*map(compiled, tracts)),
        asyncio.gather(*map(compiled, missing), return_exceptions=True),
    )

    assert found == [tract.tract_id for tract in tracts]
    assert {type(error) for error in refused} == {BranchNotFoundError}


@pytest.mark.parametrize("turns", range(4))
async def test_a_store_closes_after_its_callers_were_cancelled(
    postgres_store: str, turns: int
) -> None:
    async with TractStore.open(postgres_store, tokenizer=COUNTER, config=_ONE_READER) as store:
        tract = store.tract("t")
        await tract.user("one")
        calls = [asyncio.create_task(tract.compile()) for _ in range(10)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
