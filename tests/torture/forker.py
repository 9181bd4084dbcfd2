"""Commits, and forks now and then: `python -m torture.forker PATH FORKS SEED`.

With no forks it goes on until its input ends. What is acknowledged is told by lines of JSON: who
committed, and the commit; and of each child, what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from torture.checks import COUNTER
from tract import AsyncTract, ForkedProcessError, TractStore

__all__: list[str] = []

_LIMIT = 30  # seconds that a child may take


def _tell(*line: object) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")  # whole or not at all, below PIPE_BUF


async def _commit(tract: AsyncTract, name: str) -> None:
    for number in range(1_000_000):
        _tell(name, (await tract.user(f"{number} " * (1 + number % 90))).commit_hash)


async def _try(path: Path) -> None:
    async with AsyncTract.open(path, tract_id="child", tokenizer=COUNTER) as tract:
        for number in range(5):
            _tell("child", (await tract.user(str(number))).commit_hash)


def _fork(path: Path) -> int:
    """Fork; the child uses the file that is open, and another one."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(_LIMIT)
    try:
        try:
            asyncio.run(_try(path))
        except ForkedProcessError:
            asyncio.run(_other(path))
        os._exit(0)
    except BaseException as error:
        _tell("failed", repr(error)[:500])
    os._exit(1)


async def _other(path: Path) -> None:
    other = path.with_name(f"{path.name}-other")
    async with AsyncTract.open(other, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("hello")


async def _fork_now_and_then(path: Path, dice: Random, forks: int) -> Sequence[int]:
    made: list[int] = []
    for _ in range(forks):
        await asyncio.sleep(dice.uniform(0, 0.03))
        made.append(_fork(path))
    return made


async def _main(path: Path, forks: int, seed: str) -> None:
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        name = "parent" if forks else "third"
        committing = [asyncio.create_task(_commit(store.tract(name), name)) for _ in range(4)]
        if forks:
            made = await _fork_now_and_then(path, Random(seed), forks)
            for pid in made:
                _, status = await asyncio.to_thread(os.waitpid, pid, 0)
                _tell("forked" if status == 0 else "failed", status)
        else:
            await asyncio.to_thread(sys.stdin.read)
        for task in committing:
            task.cancel()
        await asyncio.wait(committing)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
