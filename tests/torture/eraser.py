"""Commits, erases, copies and collects until it is killed; tells what it begins and what it ended.

`python -m torture.eraser PLACE RUN SEED`: 6 tasks on 2 tracts. Some texts are said once, others by
all tasks of all processes; some commits have keys, which others keep or replace.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from torture.checks import COUNTER
from tract import AsyncTract, KeyExistsError, TractStore

__all__ = ["KEPT", "TRACTS"]

TRACTS = ("first", "second")
KEPT = "kept/"
"""What keys begin with that are never replaced."""
_TASKS = 6
_CALLS = {"say": 10, "keep": 4, "replace": 3, "erase": 5, "copy": 1, "drop": 1, "collect": 1}


@dataclass(slots=True)
class _Eraser:
    """One task, what it has committed, and the copies that it has made."""

    store: TractStore
    tract: AsyncTract
    name: str
    dice: Random
    numbers: count[int] = field(default_factory=count)
    said: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)

    async def go_on_for_ever(self) -> None:
        calls: dict[str, Callable[[], Awaitable[None]]] = {
            "say": self.say,
            "keep": self.keep,
            "replace": self.replace,
            "erase": self.erase,
            "copy": self.copy,
            "drop": self.drop,
            "collect": self.collect,
        }
        while True:
            [kind] = self.dice.choices([*_CALLS], [*_CALLS.values()])
            await calls[kind]()

    def tell(self, *line: object) -> None:
        # Shorter than PIPE_BUF, so the write is whole or not there at all: pipe(7)
        os.write(1, json.dumps(line).encode() + b"\n")

    def text(self) -> str:
        if self.dice.random() < 0.3:
            return f"common {self.dice.randrange(5)}"
        return f"mark-{self.name}-{next(self.numbers)}-mark"

    async def say(self) -> None:
        text = self.text()
        made = await self.tract.user(text, message=text, metadata={"of": text})
        self.said.append(made.commit_hash)
        self.tell("said", self.tract.tract_id, made.commit_hash, text)

    async def keep(self) -> None:
        key = f"{KEPT}{self.dice.randrange(5)}"
        text = self.text()
        made = await self.tract.user(text, message=text, key=key, on_key="keep")
        self.said.append(made.commit_hash)
        if made.message is not None:  # what the commit that is there said
            self.tell("said", self.tract.tract_id, made.commit_hash, made.message)

    async def replace(self) -> None:
        text, key = self.text(), f"replaced/{self.dice.randrange(5)}"
        try:
            made = await self.tract.user(text, message=text, key=key)
        except KeyExistsError:
            made = await self.tract.user(text, message=text, key=key, on_key="replace")
        self.said.append(made.commit_hash)
        self.tell("said", self.tract.tract_id, made.commit_hash, text)

    async def erase(self) -> None:
        if not self.said:
            return
        number = min(len(self.said), self.dice.randint(1, 3))
        named = self.dice.sample(self.said, number)
        self.tell("erasing", self.tract.tract_id, named)
        receipt = await self.tract.erase(named, reason="asked")
        for each in receipt.along:
            self.tell("along", self.tract.tract_id, [each])
        self.tell("erased", self.tract.tract_id, named)

    async def copy(self) -> None:
        if not self.said:
            return  # the tract may not exist yet
        target = f"copy-{self.name}-{next(self.numbers)}"
        self.tell("copying", self.tract.tract_id, target)
        await self.store.copy_tract(self.tract.tract_id, target)
        self.copies.append(target)
        self.tell("copied", self.tract.tract_id, target)

    async def drop(self) -> None:
        if self.copies:
            target = self.copies.pop()
            self.tell("dropping", target)
            await self.store.erase_tract(target, reason="asked")
            self.tell("dropped", target)

    async def collect(self) -> None:
        await self.store.collect()


async def _main(place: str, run: str, seed: str) -> None:
    async with (
        TractStore.open(place, tokenizer=COUNTER) as store,
        asyncio.TaskGroup() as group,
    ):
        for task in range(_TASKS):
            tract = store.tract(TRACTS[task % len(TRACTS)])
            eraser = _Eraser(store, tract, f"{run}.{task}", Random(f"{seed} {task}"))
            group.create_task(eraser.go_on_for_ever())


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
