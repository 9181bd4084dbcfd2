"""Processes that shorten one branch, alone or two at once, and are killed: each shortening is whole."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from support.compacted import orphans
from support.counters import WordCounter
from support.effort import effort
from support.killing import kill_often, started
from tract import AsyncTract, TractStore

_PROGRAM = """
import asyncio, sys
from support.counters import WordCounter
from tract import CompactionError, EditTargetError, ToolIOContent, TractStore

async def summarise(request):
    await asyncio.sleep(0.001)
    return f"a summary of {len(request.context.messages)} messages"

async def main():
    async with TractStore.open(sys.argv[1], tokenizer=WordCounter()) as store:
        tract, number = store.tract("t"), 0
        print(flush=True)
        while True:
            number += 1
            await asyncio.sleep(0.004)
            name = f"{sys.argv[2]} {number}"
            async with tract.batch() as batch:
                batch.user(name, message="turn")
                io = {"tool_name": "look", "call_id": name}
                batch.commit(ToolIOContent(direction="call", payload={}, **io), message="turn")
                batch.commit(ToolIOContent(direction="result", payload=name, **io), message="turn")
            if number % 3 == 0:
                await tract.clear_tool_results(keep=2)
            if number % 4 == 0:
                try:
                    await tract.compact(summarise, keep_recent=1, roll_up=number % 8 == 0)
                except CompactionError:  # the other process hid the same each time
                    await asyncio.sleep(0.01)
            if number % 10 == 0:
                made = [each for each in await tract.compactions() if not each.undone]
                try:
                    await tract.expand(made[-1].commit_hash)
                except EditTargetError:  # the other process was first
                    pass

asyncio.run(main())
"""


async def check_whole(path: Path) -> None:
    """Check that every API would take the branch, and that undoing all shows every turn again."""
    async with TractStore.open(path, tokenizer=WordCounter()) as store:
        tract = store.tract("t")
        context = await tract.compile(aggregate_same_role=False)
        assert orphans(context.messages) == set()
        assert (await tract.verify()).faults == ()
        turns = [info for info in reversed(await tract.log(None)) if info.message == "turn"]
        assert len(turns) % 3 == 0
        aside = await tract.fork("undone")
        await _undo(aside)
        shown = (await aside.compile()).commit_hashes
        assert shown == [info.commit_hash for info in turns]
        await tract.delete_branch("undone", force=True)


async def _undo(tract: AsyncTract) -> None:
    for made in reversed(await tract.compactions()):
        if not made.undone:
            await tract.expand(made.commit_hash)


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(2, 0), *(pytest.param(effort(6, 12), seed, marks=pytest.mark.long) for seed in range(1, 4))],
)
async def test_a_killed_process_leaves_whole_shortenings(
    db_path: Path, kills: int, seed: int
) -> None:
    await kill_often(_PROGRAM, db_path, check_whole, kills=kills, seed=seed, within=0.2)


@pytest.mark.parametrize(
    ("rounds", "seed"),
    [(1, 0), *(pytest.param(effort(4, 12), seed, marks=pytest.mark.long) for seed in range(1, 4))],
)
async def test_two_processes_that_shorten_one_branch_leave_it_whole(
    db_path: Path, rounds: int, seed: int
) -> None:
    rng = Random(seed)
    for number in range(rounds):
        pair = [await started(_PROGRAM, db_path, f"{seed}.{number}.{each}") for each in range(2)]
        for running in pair:
            await asyncio.sleep(rng.random() * 0.3)
            await running.kill()
        await check_whole(db_path)
