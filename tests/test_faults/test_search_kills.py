"""Processes that are killed while they index, and processes that write and search at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from support.effort import effort
from support.killing import started
from support.opening import COUNTER
from tract import TractStore

_PROGRAM = """
import asyncio, sys
from tract import DialogueContent, NullTokenCounter, TractStore

async def main():
    path, name, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        tract = store.tract(name)
        print("ready", flush=True)
        await store.enable_search()
        for at in range(number):
            made = await tract.user(f"word {name} {at}")
            hits = await tract.search(f"{at} {name}")
            assert [hit.commit for hit in hits] == [made], (at, hits)
            if at % 5 == 4:
                await tract.erase([made.commit_hash], reason="asked")
                assert await tract.search(f"{at} {name}") == []

asyncio.run(main())
"""
_INDEXES = """
import asyncio, sys
from tract import NullTokenCounter, TractStore

async def main():
    async with TractStore.open(sys.argv[1], tokenizer=NullTokenCounter()) as store:
        await store.enable_search(progress=lambda number: print(number, flush=True))

asyncio.run(main())
"""
_ON_BOTH = pytest.mark.parametrize("target", ["sqlite", "postgres"], indirect=True)


async def check(path: Path | str) -> None:
    """Compare what the index has with what is there."""
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        for name in await store.tract_ids():
            tract = store.tract(name)
            said = {info.commit_hash for info in await tract.log(None)}
            said -= {each.commit_hash for each in (await tract.verify()).erased}
            hits = await tract.search("word", limit=None)
            found = [hit.commit.commit_hash for hit in hits]
            assert sorted(found) == sorted(said)


async def filled(path: Path | str, number: int) -> None:
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        async with store.tract("old").batch() as batch:
            for at in range(number):
                batch.commit({"content_type": "freeform", "payload": f"word {at}"})


@_ON_BOTH
@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("kills", "seed"),
    [(2, 0), *(pytest.param(effort(10, 40), seed, marks=pytest.mark.long) for seed in range(1, 4))],
)
async def test_a_killed_process_leaves_an_index_that_others_complete(
    target: Path | str, kills: int, seed: int
) -> None:
    rng = Random(seed)
    await filled(target, 800)
    for number in range(kills):
        running = await started(_PROGRAM, target, f"t{number}", 10_000)
        await asyncio.sleep(rng.random() * 0.5)
        await running.kill()
        if number % 3 == 2:
            await check(target)
    await check(target)


@_ON_BOTH
@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.long)])
async def test_what_a_killed_process_has_indexed_of_a_backlog_is_kept(
    target: Path | str, kills: int
) -> None:
    rng = Random(kills)
    number = 4_000 * kills
    await filled(target, number)
    for _ in range(kills):
        running = await started(_INDEXES, target)
        await asyncio.sleep(rng.random() * 0.02)
        await running.kill()

    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert 0 < await store.enable_search() <= number - 512 * kills
        assert await store.enable_search() == 0
    await check(target)


@_ON_BOTH
async def test_two_processes_that_write_search_and_erase_find_what_they_should(
    target: Path | str,
) -> None:
    await filled(target, 300)
    programs = [await started(_PROGRAM, target, name, 10) for name in ("one", "two")]

    assert [await running.ended() for running in programs] == [0, 0]
    await check(target)


@_ON_BOTH
async def test_two_processes_that_index_at_once_index_each_commit_once(
    target: Path | str,
) -> None:
    await filled(target, 1_500)
    programs = [await started(_INDEXES, target) for _ in range(2)]

    assert [await running.ended() for running in programs] == [0, 0]
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert await store.enable_search() == 0
    await check(target)
