"""Event loops of every kind and number: a store keeps its promises on each."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.opening import COUNTER
from support.scenario import PARTS, run
from tract import AsyncTract, CommitInfo, TractStore

LOOPS = [
    "asyncio",
    pytest.param(
        "uvloop",
        marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not here"),
    ),
]
every_loop = pytest.mark.parametrize("loop", LOOPS)


def strict(*arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    """Run Python with *arguments* and our path, every warning being an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@every_loop
@pytest.mark.parametrize("part", PARTS)
def test_the_promises_hold_on_every_event_loop(loop: str, part: str, db_path: Path) -> None:
    run(loop, PARTS[part](db_path))


@every_loop
def test_a_strict_interpreter_in_development_mode_has_nothing_to_tell(
    loop: str, db_path: Path
) -> None:
    """No warning, no task destroyed while pending, no slow callback: nothing on its stderr."""
    child = strict("-X", "dev", "-m", "support.scenario", str(db_path), loop)

    assert (child.stdout, child.stderr, child.returncode) == ("sound\n", "", 0)


_LEFT_OPEN = """
import asyncio, sys
from support.scenario import loop_factory
from tract import AsyncTract, NullTokenCounter
async def main(path):
    global tract, call
    tract = await AsyncTract.open(path, tract_id="t", tokenizer=NullTokenCounter())
    for number in range(5):
        print((await tract.user(str(number))).commit_hash, flush=True)
    call = asyncio.create_task(tract.user("under way"))
    await asyncio.sleep(0)
with asyncio.Runner(loop_factory=loop_factory(sys.argv[2])) as runner:
    runner.run(main(sys.argv[1]))
"""


@every_loop
def test_a_loop_that_ends_with_the_store_open_loses_nothing_and_does_not_hang(
    loop: str, db_path: Path
) -> None:
    child = strict("-c", _LEFT_OPEN, str(db_path), loop, timeout=240)

    async def kept() -> list[str]:
        async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
            assert (await tract.verify()).faults == ()
            return [info.commit_hash for info in await tract.log(None)][::-1]

    assert child.returncode == 0, child.stderr
    assert child.stderr.count("was dropped without being closed") == 1
    assert asyncio.run(kept())[:5] == child.stdout.split()


@every_loop
def test_two_loops_in_two_threads_share_a_file(loop: str, target: Path | str) -> None:
    """Each with its own store; they meet before every round, so that both are at it at once."""
    meeting = threading.Barrier(2, timeout=30)
    made: dict[str, list[CommitInfo]] = {"left": [], "right": []}
    failures: list[BaseException] = []

    async def work(name: str) -> None:
        async with TractStore.open(target, tokenizer=COUNTER) as store:
            tract = store.tract("t")
            for number in range(10):
                await asyncio.to_thread(meeting.wait)
                made[name] += await asyncio.gather(
                    *(tract.user(f"{name} {number} {n}") for n in range(10))
                )
                assert (await tract.compile()).head_hash is not None

    def thread(name: str) -> None:
        try:
            run(loop, work(name))
        except BaseException as error:
            failures.append(error)
            meeting.abort()

    threads = [threading.Thread(target=thread, args=[name]) for name in made]
    for item in threads:
        item.start()
    for item in threads:
        item.join(60)

    async def check() -> None:
        async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
            log = await tract.log(None)
            hashes = [info.commit_hash for info in log]
            assert [info.parent_hash for info in log] == [*hashes[1:], None]
            assert set(hashes) == {info.commit_hash for name in made for info in made[name]}
            assert (await tract.verify()).faults == ()

    assert failures == []
    assert not any(item.is_alive() for item in threads)
    run(loop, check())


_MANY_LOOPS = """
import asyncio, gc, os, sys, threading
from support.scenario import loop_factory
from tract import AsyncTract, NullTokenCounter
async def use(path, number):
    async with AsyncTract.open(path, tract_id="t", tokenizer=NullTokenCounter()) as tract:
        await tract.user(str(number))
        assert len(await tract.log(None)) == number + 1
for number in range(60):
    with asyncio.Runner(loop_factory=loop_factory(sys.argv[2])) as runner:
        runner.run(use(sys.argv[1], number))
    gc.collect()
    print(len(os.listdir("/proc/self/fd")), threading.active_count())
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are seen in /proc")
@every_loop
def test_many_loops_one_after_the_other_leave_no_file_and_no_thread_open(
    loop: str, db_path: Path
) -> None:
    """In a process of its own: what other tests have left could be let go of meanwhile."""
    child = strict("-c", _MANY_LOOPS, str(db_path), loop)
    counts = child.stdout.splitlines()

    assert (child.stderr, len(counts)) == ("", 60)
    assert len(set(counts)) == 1, counts
