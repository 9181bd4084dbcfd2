"""Many processes on one file: one line of commits, and none lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.opening import COUNTER
from tract import (
    AsyncTract,
)

_COMMITTER = """
import asyncio, sys
from tract import AsyncTract, NullTokenCounter
async def main(path, name, count):
    print("ready", flush=True)
    sys.stdin.readline()
    async with AsyncTract.open(path, tract_id="agent", tokenizer=NullTokenCounter()) as tract:
        for number in range(count):
            info = await tract.user(f"{name}.{number}")
            print(info.commit_hash, flush=True)
asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def _processes(path: Path, stack: ExitStack, count: int, commits: int) -> list[Any]:
    """Start processes that are all ready to open *path* and let them go at once."""
    processes = [
        stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", _COMMITTER, str(path), str(number), str(commits)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        for number in range(count)
    ]
    for process in processes:
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def _line_of(path: Path) -> Sequence[str]:
    """Return the hashes on the branch, oldest first, having checked promises 2, 5 and 8."""

    async def read() -> list[str]:
        async with AsyncTract.open(path, tract_id="agent", tokenizer=COUNTER) as tract:
            log = (await tract.log(None))[::-1]
            report = await tract.verify()
        assert report.faults == ()
        assert report.checked == len(log)
        hashes = [info.commit_hash for info in log]
        assert [info.parent_hash for info in log] == [None, *hashes][:-1]
        times = [info.created_at for info in log]
        assert times == sorted(set(times))
        return hashes

    return asyncio.run(read())


def test_processes_that_open_and_write_at_once_make_one_line(db_path: Path) -> None:
    processes, commits = 8, 50
    with ExitStack() as stack:
        started = _processes(db_path, stack, processes, commits)
        outcomes = [process.communicate(timeout=60) for process in started]
        assert [process.returncode for process in started] == [0] * processes, outcomes

    acknowledged = [line for out, _ in outcomes for line in out.split()]
    hashes = _line_of(db_path)
    assert len(acknowledged) == processes * commits
    assert sorted(hashes) == sorted(acknowledged)


def test_a_killed_process_loses_nothing_that_was_acknowledged(db_path: Path) -> None:
    with ExitStack() as stack:
        [process] = _processes(db_path, stack, 1, 100_000)
        acknowledged = [process.stdout.readline().strip() for _ in range(50)]
        process.kill()
        acknowledged += process.communicate()[0].split("\n")[:-1]

    hashes = _line_of(db_path)
    assert hashes[: len(acknowledged)] == acknowledged
    assert len(hashes) - len(acknowledged) <= 1
