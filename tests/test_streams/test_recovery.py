"""What a killed process leaves of its streams: found at once, and taken once."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.opening import with_clock
from tract import BranchNotFoundError, NullTokenCounter, TractStore
from tract.engine.streams.owners import PATIENCE, current_owner, is_gone

COUNTER = NullTokenCounter()

_WRITER = """
import asyncio, sys
from tract import NullTokenCounter, TractStore

async def main(path):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        config = {"model": "m"}
        async with store.tract("agent").stream(generation_config=config) as stream:
            for number in range(100_000):
                await stream.write(f"{number} ")
                print(number, flush=True)
                await asyncio.sleep(0.001)

asyncio.run(main(sys.argv[1]))
"""

_RECOVERER = """
import asyncio, sys
from tract import NullTokenCounter, TractStore

async def main(path):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        left = await store.recover_streams()
        print("ready", flush=True)
        sys.stdin.readline()
        print(sum([len(await stream.commit()) for stream in left]), flush=True)

asyncio.run(main(sys.argv[1]))
"""


@contextmanager
def python(source: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run *source*; whatever happens, it has ended and been waited for afterwards."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", source, str(path)], **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def written_for(process: subprocess.Popen[str], seconds: float) -> int:
    """Read what the writer says it wrote, for some time from its first word; return the last."""
    assert process.stdout is not None
    last = int(process.stdout.readline())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        last = int(process.stdout.readline())
    return last


def spooled_streams(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT count(DISTINCT stream_id) FROM spool").fetchone()
    return int(rows[0])


def leave(path: Path, text: str, tract_id: str = "agent", owner: str = '{"pid": 1}') -> None:
    """Write a stream into the spool that another host left an hour ago."""
    then = time.time_ns() // 1000 - 3_600_000_000
    opening = {"role": "assistant", "started_at": then, "generation_config": {"model": "m"}}
    data = json.dumps([["opening", opening], ["text", text]])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO spool VALUES (?, ?, 0, 'main', ?, ?, ?)",
            (tract_id, os.urandom(8).hex(), owner, data, then),
        )
        connection.commit()


async def new_store(path: Path) -> None:
    async with TractStore.open(path, tokenizer=COUNTER):
        pass


def test_a_killed_process_loses_at_most_its_last_second(db_path: Path) -> None:
    with python(_WRITER, db_path) as process:
        before = written_for(process, 1.5)
        written = written_for(process, 2.5)
        process.kill()

        async def recover() -> None:  # at once: nobody has waited for the process yet
            async with TractStore.open(db_path, tokenizer=COUNTER) as store:
                [left] = await store.recover_streams()
                numbers = left.text.split()
                assert numbers == [str(number) for number in range(len(numbers))]
                assert len(numbers) > before  # which was spooled more than two seconds ago
                assert len(numbers) <= written + 100  # nothing but what was written
                [info] = await left.commit()
                content: Any = await store.tract("agent").get_content(info.commit_hash)
                assert content.text == left.text
                assert info.generation_config == {"model": "m"}
                assert info.metadata == {"interrupted": True, "reason": "recovered"}
                assert await store.recover_streams() == []

        asyncio.run(recover())


def test_the_stream_of_a_living_process_is_not_taken(db_path: Path) -> None:
    with python(_WRITER, db_path) as process:
        written_for(process, 2)

        async def recover() -> list[Any]:
            async with TractStore.open(db_path, tokenizer=COUNTER) as store:
                return list(await store.recover_streams())

        assert spooled_streams(db_path) == 1
        assert asyncio.run(recover()) == []


async def test_a_stream_of_this_process_is_not_taken_by_another_store(db_path: Path) -> None:
    async with (
        TractStore.open(db_path, tokenizer=COUNTER) as writing,
        TractStore.open(db_path, tokenizer=COUNTER) as looking,
    ):
        async with writing.tract("agent").stream() as stream:
            await stream.write("x" * 20_000)
            await stream.write("y")
            while spooled_streams(db_path) == 0:  # noqa: ASYNC110  (the disk tells nobody)
                await asyncio.sleep(0.01)

            assert await looking.recover_streams() == []
        assert spooled_streams(db_path) == 0


def test_of_two_processes_that_recover_one_stream_one_commits_it(db_path: Path) -> None:
    asyncio.run(new_store(db_path))
    leave(db_path, "left behind")
    with python(_RECOVERER, db_path) as first, python(_RECOVERER, db_path) as second:
        both = [first, second]
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        outcomes = [process.communicate("go\n", timeout=60)[0] for process in both]

    assert sorted(outcomes) == ["0\n", "1\n"]


async def test_one_stream_committed_twice_at_once_is_committed_once(db_path: Path) -> None:
    await new_store(db_path)
    leave(db_path, "left behind")
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        [left], [again] = await store.recover_streams(), await store.recover_streams()
        made = await asyncio.gather(left.commit(), again.commit())

        assert sorted(map(len, made)) == [0, 1]
        assert len(await store.tract("agent").log()) == 1


async def test_what_was_left_can_be_dropped(db_path: Path) -> None:
    await new_store(db_path)
    leave(db_path, "left behind")
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()
        await left.drop()

        assert await store.recover_streams() == []
        assert await left.commit() == []
        assert await store.tract_ids() == []


async def test_streams_go_back_to_their_own_tracts(db_path: Path) -> None:
    await new_store(db_path)
    for name in ("ann", "bob"):
        leave(db_path, f"of {name}", tract_id=name)
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        for left in await store.recover_streams():
            await left.commit()

        for name in ("ann", "bob"):
            assert (await store.tract(name).compile()).messages[0].content == f"of {name}"


async def test_what_was_left_on_a_deleted_branch_makes_no_new_one(db_path: Path) -> None:
    """It is kept, for whoever makes the branch again, or reads its text."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        main = store.tract("agent")
        first = await main.user("hi")
        fork = await main.fork("experiment")
        stream = fork.stream()
        await stream.__aenter__()
        await stream.write("half a rep")
        await main.delete_branch("experiment")
        with pytest.raises(BranchNotFoundError):
            await stream.__aexit__(None, None, None)
        [left] = await store.recover_streams()
        with pytest.raises(BranchNotFoundError):
            await left.commit()

        assert left.text == "half a rep"
        assert [info.name for info in await main.branches()] == ["main"]

        await main.fork("experiment")
        [info] = await left.commit()

        assert info.parent_hash == first.commit_hash
        assert await store.recover_streams() == []


async def test_the_first_words_on_a_branch_can_be_recovered(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        stream = store.tract("agent", branch="new").stream()
        await stream.__aenter__()
        await stream.write("half a rep")
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        [left] = await store.recover_streams()
        [info] = await left.commit()

        assert await store.tract("agent", branch="new").head() == info.commit_hash


async def test_streams_begin_and_are_left_by_the_stores_own_clock(db_path: Path) -> None:
    """A stream counts as left after a minute without a sign, whatever the machine's clock says."""
    now = 1_000_000_000_000_000

    async def opened() -> TractStore:
        return await with_clock(db_path, lambda: now)

    async with await opened() as store:
        stream = store.tract("agent").stream()
        await stream.__aenter__()
        await stream.write("what came")
    async with await opened() as store:
        [left] = await store.recover_streams()

        assert left.started_at == left.touched_at == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)

    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute("UPDATE spool SET owner = ?", (owner(host="another"),))
        connection.commit()
    async with await opened() as store:
        now += PATIENCE
        assert await store.recover_streams() == []
        now += 1
        assert [left.text for left in await store.recover_streams()] == ["what came"]


async def test_a_store_without_streams_has_none_left(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        assert await store.recover_streams() == []


# Owners


def owner(**changed: Any) -> str:
    return json.dumps({**json.loads(current_owner()), **changed})


def test_an_owner_names_neither_the_machine_nor_its_boot() -> None:
    told = json.loads(current_owner())

    assert set(told) == {"pid", "started", "host"}
    assert re.fullmatch("[0-9a-f]{16}", told["host"])


def test_this_process_lives() -> None:
    assert not is_gone(current_owner(), 10 * PATIENCE)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no /proc")
def test_a_process_that_ended_is_gone_even_before_its_parent_looks() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
        theirs = owner(pid=child.pid, started=started)
        assert not is_gone(theirs, 0)

        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not waited for
        assert is_gone(theirs, 0)
    assert is_gone(theirs, 0)


def test_another_process_of_the_same_number_is_not_the_owner() -> None:
    assert is_gone(owner(started="1"), 0)


@pytest.mark.parametrize(
    "theirs",
    [owner(host="another"), "{}", "nonsense", "[]"],
    ids=["another host", "nothing", "nonsense", "a list"],
)
def test_an_owner_who_cannot_be_judged_is_gone_after_a_minute_of_silence(theirs: str) -> None:
    assert not is_gone(theirs, PATIENCE)
    assert is_gone(theirs, PATIENCE + 1)
