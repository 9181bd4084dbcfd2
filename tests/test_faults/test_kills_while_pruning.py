"""Processes killed while they prune: contexts are whole, and another call finishes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from random import Random

import pytest

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
_PATHS = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])


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


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(4, 0), *(pytest.param(40, seed, marks=pytest.mark.long) for seed in range(1, 6))],
)
async def test_a_killed_process_has_pruned_whole_portions(
    db_path: Path, kills: int, seed: int
) -> None:
    rng = Random(seed)
    for number in range(kills):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM, str(db_path), str(number)),
            env={**os.environ, "PYTHONPATH": _PATHS},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(rng.random() * 0.4)
        process.kill()
        await process.wait()
        await check(db_path)
