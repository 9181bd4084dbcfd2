"""Takes turns on a branch and shortens it until it is killed, and tells everything that returned.

`python -m torture.compactor PLACE NAME SEED`. Each turn is a batch of a question, a call and its
result. Meanwhile other tasks compact, clear, expand and maintain, some of them cancelled on their way.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from support.counters import WordCounter
from tract import (
    AsyncTract,
    CompactionError,
    CompactionPolicy,
    CompactionRequest,
    CompactionResult,
    EditTargetError,
    ToolIOContent,
    TractStore,
)

__all__ = ["PINNED", "TRACTS"]

TRACTS = ("a", "b")
PINNED = "remember this"
_POLICY = CompactionPolicy(
    trigger_tokens=500, target_tokens=350, keep_recent=1, keep_results=1, clear_at_least=20
)


def _tell(*facts: object) -> None:
    """Write a line at once; see the man page of `pipe` for lines up to PIPE_BUF."""
    os.write(1, json.dumps(facts).encode() + b"\n")


async def _summarise(request: CompactionRequest) -> str:
    await asyncio.sleep(0.001)
    return f"a summary of {len(request.context.messages)} messages"


class _Compactor:
    """The tasks on one tract."""

    def __init__(self, tract: AsyncTract, name: str, dice: Random) -> None:
        self._tract = tract
        self._name = name
        self._dice = dice

    async def talk(self) -> None:
        number = 0
        while True:
            number += 1
            said = f"{self._name} {number}"
            io: dict[str, Any] = {"tool_name": "look", "call_id": said}
            async with self._tract.batch() as batch:
                batch.user(said, message="turn")
                batch.commit(ToolIOContent(direction="call", payload={}, **io), message="turn")
                result = ToolIOContent(direction="result", payload=said, **io)
                batch.commit(result, message="turn")
            _tell("turn", self._tract.tract_id, [each.commit_hash for each in batch.commits])
            if number % 40 == 1:
                pinned = await self._tract.user(f"{PINNED} {said}", message="turn")
                made = await self._tract.annotate(pinned.commit_hash, "pinned")
                hashes = [pinned.commit_hash, made.commit_hash]
                _tell("pinned", self._tract.tract_id, hashes)
            await asyncio.sleep(0.002)

    async def shorten(self) -> None:
        ways: tuple[Callable[[], Awaitable[CompactionResult | None]], ...] = (
            lambda: self._tract.compact(_summarise, keep_recent=2),
            lambda: self._tract.compact(_summarise, keep_recent=2, roll_up=True),
            lambda: self._tract.compact(None, keep_recent=6),
            lambda: self._tract.clear_tool_results(keep=2),
        )
        while True:
            await asyncio.sleep(self._dice.uniform(0, 0.01))
            work = asyncio.ensure_future(self._dice.choice(ways)())
            if self._dice.random() < 0.3:
                loop = asyncio.get_running_loop()
                loop.call_later(self._dice.uniform(0, 0.01), work.cancel)
            await asyncio.wait([work])
            if work.cancelled() or isinstance(work.exception(), CompactionError):
                continue  # others changed each time what it was to hide
            self._tell_of("compacted", work.result())

    async def expand(self) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(0.01, 0.04))
            made = [each for each in await self._tract.compactions() if not each.undone]
            if not made:
                continue
            chosen = self._dice.choice(made[-3:]).commit_hash
            try:
                info = await self._tract.expand(chosen)
            except EditTargetError:  # the other process was first
                continue
            _tell("expanded", self._tract.tract_id, [info.commit_hash], chosen)

    async def maintain(self) -> None:
        async def summarise(request: CompactionRequest) -> str:
            begun = time.monotonic()
            _tell("asking", self._tract.tract_id, begun)
            await asyncio.sleep(0.02)
            _tell("asked", self._tract.tract_id, begun, time.monotonic())
            return "a summary of some turns"

        while True:
            await asyncio.sleep(0.005)
            try:
                done = await self._tract.maintain(summarise, policy=_POLICY)
            except CompactionError:  # pins and open steps are too long, or others were faster
                continue
            self._tell_of("compacted", done)

    def _tell_of(self, kind: str, done: CompactionResult | None) -> None:
        if done is not None:
            _tell(kind, self._tract.tract_id, [done.commit_hash])


async def _main(place: str, name: str, seed: str) -> None:
    async with (
        TractStore.open(place, tokenizer=WordCounter()) as store,
        asyncio.TaskGroup() as group,
    ):
        _tell("opened", "", [])
        for tract_id in TRACTS:
            own = _Compactor(store.tract(tract_id), name, Random(f"{seed} {tract_id}"))
            for task in (own.talk, own.shorten, own.expand, own.maintain):
                group.create_task(task())


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:4]))
