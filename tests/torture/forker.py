"""Commits from several tasks, and writes a line for everything that was acknowledged.

`python -m torture.forker fork PATH NUMBER SEED` forks NUMBER times at random moments; each child
tries to commit in a store of its own. `python -m torture.forker log PATH` goes on until a commit
is refused, says so, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from random import Random

from torture.checks import COUNTER
from tract import AsyncTract, ForkedProcessError, StorageError, TractStore

__all__ = ["CHILD", "PARENT"]

PARENT, CHILD = "parent", "child"
_TASKS = 4
_LIMIT = 30  # seconds that a child may take
_COMMITS = 5  # of a child that may have a store


def _tell(kind: str, *facts: str) -> None:
    """Write a line; it is shorter than PIPE_BUF, so it comes whole."""
    os.write(1, json.dumps([kind, *facts]).encode() + b"\n")


async def _commit_for_ever(tract: AsyncTract, task: int) -> None:
    number = 0
    while True:
        number += 1
        info = await tract.user(f"{task} {number}")
        _tell(tract.tract_id, info.commit_hash)


async def _fork(path: str, number: int) -> None:
    """Have a child try the file, and wait for it."""
    pid = os.fork()
    if not pid:
        signal.alarm(_LIMIT)
        try:
            asyncio.run(_use(path, number))
        except ForkedProcessError:
            _tell("refused")
        except BaseException:
            _tell("failed", traceback.format_exc()[-2000:])
        os._exit(0)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    if status:
        _tell("failed", f"child {number} ended with {status}")


async def _use(path: str, number: int) -> None:
    async with AsyncTract.open(path, tract_id=CHILD, tokenizer=COUNTER) as tract:
        for index in range(_COMMITS):
            info = await tract.user(f"{number} {index}")
            _tell(CHILD, info.commit_hash)


async def _forking(path: str, forks: int, seed: str) -> None:
    dice = Random(seed)
    async with TractStore.open(path, tokenizer=COUNTER) as store, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_commit_for_ever(store.tract(PARENT), task)) for task in range(_TASKS)
        ]
        for number in range(forks):
            await asyncio.sleep(dice.uniform(0, 0.05))
            await _fork(path, number)
        for task in tasks:
            task.cancel()


async def _losing(path: str) -> None:
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        tasks = [
            asyncio.create_task(_commit_for_ever(store.tract(PARENT), task))
            for task in range(_TASKS)
        ]
        await asyncio.wait(tasks)
        kinds = {type(task.exception()) for task in tasks}
        _tell("refused" if kinds == {StorageError} else "failed", str(kinds))
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    if sys.argv[1] == "fork":
        asyncio.run(_forking(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
    else:
        asyncio.run(_losing(sys.argv[2]))
