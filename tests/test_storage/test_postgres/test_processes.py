"""Several processes on one server: a crowd, forks, and an event loop that ended too soon."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from itertools import chain, pairwise

import asyncpg
import pytest

from support.opening import COUNTER
from tract import AsyncTract, CommitInfo, DialogueContent, TractStore

_COMMITTER = """
import asyncio, sys
from support.opening import COUNTER
from tract import AsyncTract
async def main(url, name, count):
    async with AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as tract:
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(int(count)):
            info = await tract.user(f"{name} {number}")
            print(info.commit_hash, flush=True)
asyncio.run(main(*sys.argv[1:]))
"""
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
_FORKER = """
import asyncio, gc, sys
from support.forking import child, opened, refuses
from support.opening import COUNTER
from tract import AsyncTract
held = []
async def main(url):
    tract = await AsyncTract.open(url, tract_id="t", tokenizer=COUNTER)
    held.append(tract)
    await tract.user("one")
    await tract.compile()

    def inherited():
        async def use():
            return [await refuses(held[0].user("no")), await refuses(held[0].compile())]
        return asyncio.run(use())

    def dropped():
        nonlocal tract
        held.clear()
        tract = None
        gc.collect()
        return "dropped"

    print(child(inherited), child(lambda: opened(url)), child(dropped))
    async with asyncio.timeout(20):
        await tract.user("two")
        print(len((await tract.log())))
        await tract.aclose()
asyncio.run(main(sys.argv[1]))
"""
_LEFT_OPEN = """
import asyncio, gc, sys, warnings
from support.opening import COUNTER
from tract import TractStore
async def main():
    store = await TractStore.open(sys.argv[1], tokenizer=COUNTER)
    await store.tract("t").user("one")
    await store.tract("t").compile()
    return store
sys.unraisablehook = lambda found: print("not raised:", found.exc_value)
warnings.simplefilter("always")
warnings.showwarning = lambda message, *_: print(message)
store = asyncio.run(main())
del store
gc.collect()
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def ran(code: str, url: str) -> tuple[str, str]:
    return started(code, url).communicate(timeout=240)


async def check_chain(url: str, told: list[str], names: range, each: int) -> None:
    """Check that the commits *told* of, numbered by whoever made them, are one sound chain."""
    async with AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as tract:
        faults = (await tract.verify()).faults
        log = (await tract.log(limit=None))[::-1]
        contents = await tract.get_contents([info.commit_hash for info in log])

    assert not faults
    assert sorted(told) == sorted(info.commit_hash for info in log)
    assert [info.parent_hash for info in log[1:]] == [info.commit_hash for info in log[:-1]]
    times = [info.created_at for info in log]
    assert all(earlier < later for earlier, later in pairwise(times))
    texts = [content.text for content in contents if isinstance(content, DialogueContent)]
    for name in names:
        own = [text for text in texts if text.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(each)]


async def test_a_crowd_on_one_branch_makes_one_chain_of_all_commits(postgres_url: str) -> None:
    names, each = range(8), 20

    async def commit(name: int) -> list[str]:
        async with AsyncTract.open(postgres_url, tract_id="t", tokenizer=COUNTER) as tract:
            made = [await tract.user(f"{name} {number}") for number in range(each)]
        return [info.commit_hash for info in made]

    told = await asyncio.gather(*map(commit, names))

    await check_chain(postgres_url, [*chain.from_iterable(told)], names, each)


async def deadlocks(url: str) -> int:
    raw = await asyncpg.connect(url)
    await raw.execute("SELECT pg_stat_force_next_flush()")
    found: int = await raw.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    await raw.close()
    return found


async def test_groups_that_share_tracts_never_wait_for_each_other(postgres_url: str) -> None:
    """Each takes its locks in one order, whatever that of its commits."""
    orders = [[*range(12)], [*range(12)][::-1], [*range(6, 12), *range(6)], [*range(0, 12, 5)] * 3]

    async def commit(order: list[int]) -> None:
        async with TractStore.open(postgres_url, tokenizer=COUNTER) as store:
            for turn in range(8):
                await asyncio.gather(*(store.tract(f"{at}").user(f"{turn}") for at in order))

    await asyncio.gather(*map(commit, orders))

    assert await deadlocks(postgres_url) == 0


async def test_groups_that_share_contents_never_wait_for_each_other(postgres_url: str) -> None:
    """Two write the same contents in opposite orders, and meet at one that a third holds."""

    async def commit(url: str, name: str, order: range) -> list[CommitInfo]:
        async with AsyncTract.open(url, tract_id=name, tokenizer=COUNTER) as tract:
            async with tract.batch() as batch:
                for at in order:
                    batch.commit(DialogueContent(role="user", text=f"{at}"))
            return await tract.log()

    elsewhere = await commit(f"{postgres_url}?schema=elsewhere", "t", range(4, 5))
    await commit(postgres_url, "t", range(100, 101))  # the tables exist
    holder, looking = [await asyncpg.connect(postgres_url) for _ in range(2)]
    held = holder.transaction()
    await held.start()
    key = bytes.fromhex(elsewhere[0].content_hash)
    await holder.execute("INSERT INTO blobs (content_hash, data) VALUES ($1, $1)", key)
    commits = asyncio.gather(
        commit(postgres_url, "one", range(9)), commit(postgres_url, "two", range(8, -1, -1))
    )
    async with asyncio.timeout(20):
        while await looking.fetchval(_WAITING) < 2:
            await looking.execute("SELECT pg_sleep(0.01)")
    await held.rollback()
    await commits
    await holder.close()
    await looking.close()

    assert await deadlocks(postgres_url) == 0


@pytest.mark.long
async def test_a_crowd_of_processes_makes_one_chain_of_all_commits(postgres_url: str) -> None:
    names, each = range(8), 250
    crowd = [started(_COMMITTER, postgres_url, name, each) for name in names]
    for process in crowd:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "open\n"
    outputs = await asyncio.gather(
        *(asyncio.to_thread(process.communicate, "go\n", timeout=200) for process in crowd)
    )

    assert [errors for _, errors in outputs] == [""] * 8
    told = [commit_hash for output, _ in outputs for commit_hash in output.split()]
    await check_chain(postgres_url, told, names, each)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process forks here")
def test_a_forked_child_opens_its_own_store_and_leaves_the_parents_alone(
    postgres_url: str,
) -> None:
    assert ran(_FORKER, postgres_url) == ("[True, True] committed dropped\n3\n", "")


def test_a_store_whose_event_loop_ended_is_reported_when_it_is_dropped(postgres_url: str) -> None:
    told, errors = ran(_LEFT_OPEN, postgres_url)

    assert "was dropped without being closed" in told
    assert "Event loop is closed" not in told + errors
