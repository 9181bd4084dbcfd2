"""Commits from several tasks, and writes a line for everything that was acknowledged.

`python -m torture.forker fork PATH NUMBER SEED` forks NUMBER times at random moments, and closes while
the children are at work; each tries to commit in a store of its own, and then to another file. `python -m torture.forker log PATH` goes on until a commit
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
_COMMITS = 20  # of a child that may have a store


def _tell(kind: str, *facts: str) -> None:
    """Write a line; it is shorter than PIPE_BUF, so it comes whole."""
    os.write(1, json.dumps([kind, *facts]).encode() + b"\n")


async def _commit_for_ever(tract: AsyncTract, task: int) -> None:
    number = 0
    while True:
        number += 1
        info = await tract.user(f"{task} {number}")
        _tell(tract.tract_id, info.commit_hash)


def _fork(path: str, number: int) -> int:
    """Have a child try the file, and another one if that is refused; return its number."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(_LIMIT)
    try:
        try:
            asyncio.run(_use(path, number))
        except ForkedProcessError:
            asyncio.run(_use_another(f"{path}-other"))
            _tell("refused")
    except BaseException:
        _tell("failed", traceback.format_exc()[-2000:])
    os._exit(0)


async def _use(path: str, number: int) -> None:
    async with AsyncTract.open(path, tract_id=CHILD, tokenizer=COUNTER) as tract:
        for index in range(_COMMITS):
            info = await tract.user(f"{number} {index}")
            _tell(CHILD, info.commit_hash)
            await asyncio.sleep(0.02)  # the parent closes meanwhile


async def _use_another(path: str) -> None:
    async with AsyncTract.open(path, tract_id=CHILD, tokenizer=COUNTER) as tract:
        await tract.user("hello")


async def _forking(path: str, forks: int, seed: str) -> None:
    dice = Random(seed)
    children: list[int] = []
    async with TractStore.open(path, tokenizer=COUNTER) as store, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_commit_for_ever(store.tract(PARENT), task)) for task in range(_TASKS)
        ]
        for number in range(forks):
            await asyncio.sleep(dice.uniform(0, 0.05))
            children.append(_fork(path, number))
        for task in tasks:
            task.cancel()
    for pid in children:
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        if status:
            _tell("failed", f"a child ended with {status}")


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
