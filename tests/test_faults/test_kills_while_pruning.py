"""Processes killed while they prune: contexts are whole, and another call finishes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from random import Random

import pytest

from support.opening import COUNTER
from tract import ErasedContent, TractStore

_PROGRAM = """
import asyncio, os, sys
from support.opening import COUNTER
from tract import TractStore
from support.pruned import grow

async def main(path, name, number=0):
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        if name:
            print(os.getpid(), flush=True)
        while name:
            number += 1
            tract = store.tract("t")
            await grow(tract, f"{name}-{number}")
            await tract.prune(keep=0, reason="old")
            await store.collect()

asyncio.run(main(":memory:", ""))
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            asyncio.run(main(sys.argv[1], line.strip()))
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Forks a process to be killed for each line that it reads: a start takes ten times as long."""
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
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, str(db_path)),
        env={**os.environ, "PYTHONPATH": _PATHS},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(kills):
        process.stdin.write(f"{number}\n".encode())
        child = int(await process.stdout.readline())
        await asyncio.sleep(rng.random() * 0.4)
        os.kill(child, signal.SIGKILL)
        assert int(await process.stdout.readline()) == -signal.SIGKILL
        await check(db_path)
    process.stdin.close()
    assert await process.wait() == 0
