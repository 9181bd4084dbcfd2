"""Ctrl-C, once and once more while the store is closing: the process always ends, nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
LONG = pytest.mark.long


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.mark.parametrize(
    ("how", "step"),
    [
        pytest.param("lost", 1, marks=LONG),
        pytest.param("untold", 1, marks=LONG),
        pytest.param("after", 2, marks=LONG),
        ("line", 29),
        ("mapping", 1),
    ],
)
def test_closing_ends_wherever_a_second_interrupt_comes(
    how: str, step: int, tmp_path: Path
) -> None:
    """In place of a callback of ours, while the loop notes one, after any callback, or at a line of ours.

    A callback that wakes a task which waits for something of ours is one of ours, too.
    """
    interrupt_everywhere("closing", how, anywhere_within(step), step, tmp_path)


@pytest.mark.parametrize(
    ("how", "step"), [("lost", 11), ("untold", 11), ("after", 17), ("line", 1999)]
)
def test_every_caller_is_told_the_truth_wherever_an_interrupt_comes(
    how: str, step: int, tmp_path: Path
) -> None:
    """By a store that lives on: what was acknowledged is there, and what was denied is not."""
    interrupt_everywhere("going-on", how, anywhere_within(step), step, tmp_path)


def test_callers_whose_jobs_an_interrupt_loses_while_they_are_grouped_are_told(
    tmp_path: Path,
) -> None:
    interrupt_everywhere("going-on", "grouping", anywhere_within(101), 101, tmp_path)


@pytest.mark.parametrize("step", [pytest.param(5, marks=LONG), 23])
def test_a_save_that_is_interrupted_loses_nothing_of_the_streams(step: int, tmp_path: Path) -> None:
    """It is that of all open streams, whichever task the interrupt ends."""
    interrupt_everywhere("streaming", "saving", anywhere_within(step), step, tmp_path)


@pytest.mark.parametrize(("how", "step"), [pytest.param("lost", 17, marks=LONG), ("turns", 29)])
def test_a_merge_that_is_interrupted_leaves_its_turn_to_the_next(
    how: str, step: int, tmp_path: Path
) -> None:
    interrupt_everywhere("merging", how, anywhere_within(step), step, tmp_path)


@pytest.mark.parametrize(("how", "step"), [pytest.param("lost", 11, marks=LONG), ("watching", 71)])
def test_watchers_go_on_wherever_an_interrupt_comes(how: str, step: int, tmp_path: Path) -> None:
    interrupt_everywhere("watching", how, anywhere_within(step), step, tmp_path)


def test_watchers_that_share_a_read_go_on_wherever_an_interrupt_comes(tmp_path: Path) -> None:
    interrupt_everywhere("catching-up", "watching", anywhere_within(41), 41, tmp_path)


def anywhere_within(step: int) -> int:
    return 1 if "CI" in os.environ else random.SystemRandom().randrange(1, step + 1)


def interrupt_everywhere(program: str, how: str, first: int, step: int, folder: Path) -> None:
    arguments = (program, how, str(first), str(step), str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "support.interrupts", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told, number = done.stdout.split()
    assert told == "closed"
    assert int(number) > 5 * step


_BUSY = """
import asyncio, sys
from functools import partial
from support.interrupts import busy_until_interrupted
asyncio.run(busy_until_interrupted(sys.argv[1], partial(print, flush=True)))
"""


@pytest.mark.parametrize(
    ("commits", "pause"),
    [
        (20, 0.0),
        pytest.param(21, 0.0005, marks=LONG),
        pytest.param(22, 0.001, marks=LONG),
        (20, 0.002),
        pytest.param(21, 0.005, marks=LONG),
    ],
)
def test_a_process_that_is_interrupted_twice_ends(
    commits: int, pause: float, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _BUSY, str(tmp_path / "context.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        for _ in range(commits):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=240)

    assert process.returncode != 3, told


_LEFT_IN_THE_MIDDLE = """
import asyncio, sys
from support.opening import COUNTER
from tract import AsyncTract
async def main():
    async with AsyncTract.open(sys.argv[1], tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("a long text " * 10_000)
        asyncio.get_running_loop().call_soon(interrupt)
        await asyncio.sleep(60)
def interrupt():
    raise KeyboardInterrupt
loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(main())
except KeyboardInterrupt:
    loop.close()
"""


def test_a_loop_that_is_left_in_the_middle_keeps_no_process_from_ending(tmp_path: Path) -> None:
    """What ends a thread by a callback of the loop would not be called any more."""
    done = subprocess.run(
        [sys.executable, "-c", _LEFT_IN_THE_MIDDLE, str(tmp_path / "context.db")],
        stderr=subprocess.DEVNULL,
        timeout=240,
        env=environment(),
    )

    assert done.returncode == 0


_WHILE_A_THREAD_STARTS = """
import asyncio, sys, threading
from tract.engine.threads import Threads
def trace(frame, event, _):
    return at_its_end if frame.f_code is threading.Thread.start.__code__ else None
def at_its_end(frame, event, _):
    if event == "return":
        sys.settrace(None)
        raise KeyboardInterrupt
    return at_its_end
async def main():
    global threads
    threads = Threads()
    sys.settrace(trace)
    await threads.run(int)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_while_a_thread_starts_keeps_no_process_from_ending() -> None:
    """Its executor does not know that thread, and would not end it at the interpreter's end."""
    done = subprocess.run(
        [sys.executable, "-c", _WHILE_A_THREAD_STARTS],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(),
    )

    assert (done.returncode, done.stdout) == (0, "interrupted\n")
