"""Clocks that jump back or stand still, in one process or in several: time goes on all the same."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from support.opening import with_clock
from support.scripts import started
from tract import AsyncTract, BranchReset, CommitInfo
from tract.storage.sqlite.database import now_microseconds

DAY = 24 * 3600 * 10**6


@asynccontextmanager
async def opened(path: Path | str, clock: Callable[[], int]) -> AsyncIterator[AsyncTract]:
    async with await with_clock(path, clock) as store:
        yield store.tract("t")


async def check_time(tract: AsyncTract, log: list[CommitInfo]) -> None:
    """Assert that time strictly increases, and that each moment names the commit of its own."""
    oldest_first = log[::-1]
    assert all(older.created_at < newer.created_at for older, newer in pairwise(oldest_first))
    for older, newer in pairwise(oldest_first):
        between = newer.created_at - timedelta(microseconds=1)
        context = await tract.compile(at_time=between)
        assert context.head_hash == older.commit_hash
    before = oldest_first[0].created_at - timedelta(microseconds=1)
    assert (await tract.compile(at_time=before)).head_hash is None


class Clock:
    """A clock that can be set, and goes on by itself unless it stands."""

    def __init__(self) -> None:
        self.offset = 0
        self.stands_at: int | None = None

    def __call__(self) -> int:
        return self.stands_at or now_microseconds() + self.offset


async def test_a_watch_tells_of_a_reset_by_the_stores_own_clock(target: Path | str) -> None:
    clock = Clock()
    clock.stands_at = now_microseconds() - DAY
    async with opened(target, clock) as tract:
        first = await tract.user("a")
        async with tract.watch(resets=True) as items:
            await anext(items)
            await tract.reset(None)
            clock.stands_at += 1
            item = await anext(items)

    assert isinstance(item, BranchReset)
    assert item.created_at == first.created_at + timedelta(microseconds=1)


async def test_a_clock_that_jumps_back_a_day_and_then_stands_still(target: Path | str) -> None:
    clock = Clock()
    async with opened(target, clock) as tract:
        first = await tract.user("now")
        clock.offset = -DAY
        await asyncio.gather(*(tract.user(f"a day back {n}") for n in range(10)))
        clock.stands_at = now_microseconds() - DAY // 2
        await asyncio.gather(*(tract.user(f"standing {n}") for n in range(10)))
        async with tract.batch() as batch:
            for number in range(5):
                batch.commit({"content_type": "freeform", "payload": number})
        clock.stands_at, clock.offset = None, 0
        last = await tract.user("now again")
        log = await tract.log(None)

        await check_time(tract, log)
    assert len(log) == 27
    made_up = log[1].created_at - first.created_at
    assert made_up == timedelta(microseconds=25)
    assert last.created_at > log[1].created_at


async def test_a_clock_that_was_a_day_ahead_moves_time_for_all(
    target: Path | str,
) -> None:
    """Who opened the store with a wrong clock has moved time for all; it stays an order."""
    async with opened(target, lambda: now_microseconds() + DAY) as tract:
        ahead = await tract.user("tomorrow")
    async with opened(target, now_microseconds) as tract:
        today = await tract.user("today")
        moment = datetime.now(tz=ahead.created_at.tzinfo)

        assert today.created_at == ahead.created_at + timedelta(microseconds=1)
        assert (await tract.compile(at_time=moment)).head_hash is None
        await check_time(tract, await tract.log(None))


_BEHIND = """
import asyncio, json, sys
from pathlib import Path
from test_time import DAY, check_time, now_microseconds, opened
async def main(path):
    async with opened(path, lambda: now_microseconds() - DAY) as tract:
        for line in sys.stdin:
            infos = await asyncio.gather(*(tract.user(f"behind {line} {n}") for n in range(5)))
            print(json.dumps([info.commit_hash for info in infos]), flush=True)
        await check_time(tract, await tract.log(None))
        print("sound", flush=True)
asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("ours", [0, -2 * DAY, 2 * DAY], ids=["right", "two back", "two ahead"])
async def test_time_increases_across_processes_one_of_them_a_day_behind(
    db_path: Path, ours: int
) -> None:
    """They take turns and then race; both find each moment's commit, each by its own lights."""
    folders = filter(None, [str(Path(__file__).parent), *sys.path])
    child = await started(
        _BEHIND, db_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    )
    acknowledged: list[str] = []
    async with asyncio.timeout(60), opened(db_path, lambda: now_microseconds() + ours) as tract:
        for turn in range(5):
            acknowledged.append((await tract.user(f"ours {turn}")).commit_hash)
            child.tell("turn")
            racing = [tract.user(f"racing {turn} {n}") for n in range(5)] if turn > 2 else []
            acknowledged += [info.commit_hash for info in await asyncio.gather(*racing)]
            acknowledged += json.loads(await child.line())
        child.stdin.close()
        assert await child.line() == "sound"
        assert await child.process.wait() == 0
        log = await tract.log(None)

        assert {info.commit_hash for info in log} == set(acknowledged)
        await check_time(tract, log)
        assert (await tract.verify()).faults == ()
