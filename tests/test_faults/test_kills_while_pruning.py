"""Processes killed while they prune: contexts are whole, and another call finishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.effort import effort
from support.killing import kill_often
from support.opening import COUNTER
from tract import ErasedContent, TractStore

_PROGRAM = """
import asyncio, sys
from support.opening import COUNTER
from tract import TractStore
from support.pruned import grow

async def main():
    async with TractStore.open(sys.argv[1], tokenizer=COUNTER) as store:
        print(flush=True)
        number = 0
        while True:
            number += 1
            tract = store.tract("t")
            await grow(tract, f"{sys.argv[2]}-{number}")
            await tract.prune(keep=0, reason="old")
            await store.collect()

asyncio.run(main())
"""


async def check(path: Path) -> None:
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        entries = await tract.entries()
        assert all(entry.content.text.count(" ") == 0 for entry in entries)  # type: ignore[attr-defined]
        assert (await tract.verify()).faults == ()
        for branch in await tract.branches():
            if branch.name != "main":
                await tract.delete_branch(branch.name, force=True)
        await tract.prune(keep=0, reason="old")
        assert (await tract.verify()).faults == ()
        log = await tract.log(None, contents=True)
        left = [content for _, content in log if not isinstance(content, ErasedContent)]
        assert len(left) == len(entries)
        await store.collect()
        assert (await store.collect()).contents == 0


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("kills", "seed"),
    [(4, 0), *(pytest.param(effort(10, 40), seed, marks=pytest.mark.long) for seed in range(1, 6))],
)
async def test_a_killed_process_has_pruned_whole_portions(
    db_path: Path, kills: int, seed: int
) -> None:
    await kill_often(_PROGRAM, db_path, check, kills=kills, seed=seed, within=0.4)
