"""Processes killed while they erase: either state is left, never one between."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.effort import effort
from support.killing import kill_often
from support.opening import COUNTER
from tract import ErasedContent, TractStore

_TOGETHER = 5
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
            kept, gone = store.tract("kept"), store.tract("gone")
            made = [await kept.user(f"{sys.argv[2]} {number} {n}", message="m") for n in range(5)]
            await asyncio.gather(*(gone.user(f"{number} {n}") for n in range(300)))
            await kept.erase([info.commit_hash for info in made], reason="asked")
            await store.erase_tract("gone", reason="asked")
            await store.collect()

asyncio.run(main())
"""


def grouped(items: list[bool]) -> list[tuple[bool, ...]]:
    return [tuple(items[at : at + _TOGETHER]) for at in range(0, len(items), _TOGETHER)]


async def check(path: Path) -> None:
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        kept = store.tract("kept")
        log = await kept.log(None, contents=True)
        erased = [isinstance(content, ErasedContent) for _, content in reversed(log)]
        stripped = [info.message is None for info, _ in reversed(log)]
        assert erased == stripped
        whole = [set(group) for group in grouped(erased)]
        assert all(len(group) == 1 for group in whole)
        assert (await kept.verify()).faults == ()
        await store.tract("gone").compile()
        await store.erase_tract("gone", reason="asked")
        assert await store.tract_ids() in ([], ["kept"])
        await store.collect()
        assert (await store.collect()).contents == 0
        # the next process begins with a whole group
        for _ in range(-len(log) % _TOGETHER):
            await kept.user("filler", message="m")


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(4, 0), *(pytest.param(effort(10, 40), seed, marks=pytest.mark.long) for seed in range(1, 6))],
)
async def test_a_killed_process_has_erased_all_or_nothing(
    db_path: Path, kills: int, seed: int
) -> None:
    await kill_often(_PROGRAM, db_path, check, kills=kills, seed=seed, within=0.4)
