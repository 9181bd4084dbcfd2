"""How many files a reader has to follow through one call.

The bounds are what was counted; whoever crosses one has a reason, and lowers it where they can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.crossing import Crossing, crossings
from support.opening import engine_of
from tract import AsyncTract, MergeKind

MOST = {
    "sqlite": {"commit": 30, "compile": 10, "merge": 48},
    "postgres": {"commit": 31, "compile": 17, "merge": 48},
}


@pytest.fixture
def crossing() -> Iterator[Crossing]:
    with crossings() as noted:
        yield noted


@pytest_asyncio.fixture
async def tract(crossing: Crossing, target: Path | str) -> AsyncIterator[AsyncTract]:
    """A store that is warm, whose threads have started after `crossing`."""
    async with AsyncTract.open(target, tract_id="t") as opened:
        for number in range(5):
            await opened.user(f"{number}", generation_config={"model": "m"})
            await opened.compile()
        yield opened


async def test_a_commit_crosses_few_files(
    tract: AsyncTract, crossing: Crossing, target: Path | str
) -> None:
    with crossing.noted() as files:
        await tract.user("hello", generation_config={"model": "m"})

    assert "storage/sql/writing/transaction.py" in files, "threads are noted, too"
    assert len(files) <= MOST[engine_of(target)]["commit"], sorted(files)


async def test_a_compile_of_a_known_head_crosses_few_files(
    tract: AsyncTract, crossing: Crossing, target: Path | str
) -> None:
    await tract.compile()
    await asyncio.sleep(0.1)  # a store on a server tells others of its commits a little later
    with crossing.noted() as files:
        await tract.compile()

    assert len(files) <= MOST[engine_of(target)]["compile"], sorted(files)


async def conflicting(tract: AsyncTract, name: str) -> None:
    """Make a branch that has edited an entry otherwise than this one."""
    entry = (await tract.user(name)).commit_hash
    other = await tract.fork(name)
    for handle, text in ((tract, "ours"), (other, "theirs")):
        await handle.user(text, operation="edit", edit_target=entry)
        await handle.compile()


async def test_a_merge_crosses_few_files(
    tract: AsyncTract, crossing: Crossing, target: Path | str
) -> None:
    await conflicting(tract, "warm")
    await tract.merge("warm", on_conflict=lambda conflict: "theirs")
    await conflicting(tract, "other")
    with crossing.noted() as files:
        result = await tract.merge("other", on_conflict=lambda conflict: "theirs")

    assert result.kind is MergeKind.MERGE
    assert len(files) <= MOST[engine_of(target)]["merge"], sorted(files)
