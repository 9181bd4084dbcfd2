"""Commits until it is killed, and writes a line for everything that was acknowledged.

`python -m torture.committer PLACE DURABILITY RUN SEED`: 16 tasks on 4 tracts append, edit,
annotate, batch and record usage. What each commit says can be told from who made it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from torture.checks import COUNTER
from tract import (
    AsyncTract,
    CommitOperation,
    DialogueContent,
    Priority,
    TokenUsage,
    TractConfig,
    TractStore,
)

__all__ = ["TASKS", "TRACTS", "Acknowledgement", "said"]

TRACTS = ("a", "b", "c", "d")
TASKS = 16
_KINDS = {"append": 8, "edit": 4, "annotate": 3, "batch": 3, "usage": 3}
_LARGE = 600  # times that a text is repeated to be work for a thread, not for the loop


class Acknowledgement(NamedTuple):
    """One call that has returned: the *number*-th of a task, and the commits it made or meant."""

    tract_id: str
    run: int
    task: int
    number: int
    kind: str
    hashes: list[str]


def said(run: int, task: int, number: int, index: int = 0) -> str:
    """Return the text of the commit at *index* of a task's call."""
    text = f"{run}.{task}.{number}.{index} "
    return text * (_LARGE if number % 10 == 9 else 1)


@dataclass(slots=True)
class _Committer:
    """One task, and what it has committed."""

    tract: AsyncTract
    run: int
    task: int
    dice: Random
    number: int = 0
    entries: list[str] = field(default_factory=list)

    async def commit_for_ever(self) -> None:
        calls: dict[str, Callable[[], Awaitable[list[str]]]] = {
            "append": self.append,
            "edit": self.edit,
            "annotate": self.annotate,
            "batch": self.batch,
            "usage": self.usage,
        }
        while True:
            self.number += 1
            [kind] = self.dice.choices(list(_KINDS), list(_KINDS.values()))
            kind = kind if self.entries else "append"
            hashes = await calls[kind]()
            line = (self.tract.tract_id, self.run, self.task, self.number, kind, hashes)
            # Shorter than PIPE_BUF, so the write is whole or not there at all: pipe(7)
            os.write(1, json.dumps(line).encode() + b"\n")

    def _mark(self, index: int = 0, size: int = 1) -> dict[str, Any]:
        return {"mark": [self.run, self.task, self.number], "index": index, "size": size}

    def _content(self, index: int = 0) -> DialogueContent:
        return DialogueContent(role="user", text=said(self.run, self.task, self.number, index))

    async def append(self) -> list[str]:
        config = {"n": self.number}
        info = await self.tract.commit(
            self._content(), metadata=self._mark(), generation_config=config
        )
        self.entries.append(info.commit_hash)
        return [info.commit_hash]

    async def edit(self) -> list[str]:
        target = self.dice.choice(self.entries)
        info = await self.tract.commit(
            self._content(),
            metadata=self._mark(),
            operation=CommitOperation.EDIT,
            edit_target=target,
        )
        return [info.commit_hash]

    async def annotate(self) -> list[str]:
        target = self.dice.choice(self.entries)
        reason = said(self.run, self.task, self.number)
        made = await self.tract.annotate(target, self.dice.choice([*Priority]), reason=reason)
        return [made.commit_hash]

    async def batch(self) -> list[str]:
        size = self.dice.randint(2, 6)
        async with self.tract.batch() as batch:
            first = batch.commit(self._content(), metadata=self._mark(0, size))
            for index in range(1, size):
                edit = index % 2 == 1
                batch.commit(
                    self._content(index),
                    metadata=self._mark(index, size),
                    operation=CommitOperation.EDIT if edit else CommitOperation.APPEND,
                    edit_target=first if edit else None,
                )
        self.entries.append(first.info.commit_hash)
        return [info.commit_hash for info in batch.commits]

    async def usage(self) -> list[str]:
        context = await self.tract.record_usage(TokenUsage(1 + self.task, self.number))
        return [context.head_hash or ""]


async def _main(place: str, durability: Any, run: int, seed: str) -> None:
    config = TractConfig(durability=durability)
    async with (
        TractStore.open(place, config=config, tokenizer=COUNTER) as store,
        asyncio.TaskGroup() as group,
    ):
        for task in range(TASKS):
            tract = store.tract(TRACTS[task % len(TRACTS)])
            committer = _Committer(tract, run, task, Random(f"{seed} {task}"))
            group.create_task(committer.commit_for_ever())


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
