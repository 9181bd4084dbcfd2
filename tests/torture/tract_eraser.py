"""Fills tracts, builds on what is there and erases them whole until it is killed; tells of each.

`python -m torture.tract_eraser PLACE RUN SEED`: 4 tasks that commit and one that erases, on tracts
that other processes fill and erase, too. A line says when a call began and ended, on the clock that
all processes share.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from time import monotonic_ns
from typing import Any

from torture.checks import COUNTER
from tract import (
    AsyncTract,
    BranchNotFoundError,
    CommitNotFoundError,
    ContentValidationError,
    DialogueContent,
    EditTargetError,
    HeadMovedError,
    MediaPart,
    MessageContent,
    Priority,
    TokenUsage,
    TractNotFoundError,
    TractStore,
)

__all__ = ["COPIES", "TRACTS"]

TRACTS = ("first", "second")
COPIES = "copy-"
"""What the names of copies begin with."""
_TASKS = 4
_LEAST = 300
"""Commits that a tract has before it is erased, more than one portion takes."""
_CALLS = {"say": 6, "fork": 3, "tag": 1, "edit": 2, "annotate": 1, "merge": 2, "usage": 2}
_RARE = {"copy": 1, "attach": 1, "describe": 1, "stream": 2}
_REFUSALS = (
    BranchNotFoundError,
    CommitNotFoundError,
    EditTargetError,
    HeadMovedError,
    TractNotFoundError,
)
"""What a call raises whose commit or branch an erasure has taken."""
_PICTURE = b"\x89PNG picture"


def _tell(*line: object) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


@dataclass(slots=True)
class _Builder:
    """One task, and what it has committed."""

    store: TractStore
    name: str
    dice: Random
    made: dict[str, list[str]]
    """By tract, the commits that any task of the process has made; most may be gone."""
    numbers: count[int] = field(default_factory=count)

    async def go_on_for_ever(self) -> None:
        calls: dict[str, Callable[[AsyncTract], Awaitable[Any]]] = {
            "say": self.say,
            "fork": self.fork,
            "tag": self.tag,
            "edit": self.edit,
            "annotate": self.annotate,
            "merge": self.merge,
            "usage": self.usage,
            "copy": self.copy,
            "attach": self.attach,
            "describe": self.describe,
            "stream": self.stream,
        }
        chances = {**_CALLS, **_RARE}
        while True:
            [kind] = self.dice.choices([*chances], [*chances.values()])
            with suppress(*_REFUSALS):
                await calls[kind](self.store.tract(self.dice.choice(TRACTS)))

    def text(self) -> str:
        return f"mark-{self.name}-{next(self.numbers)}-mark"

    def one_of(self, tract: AsyncTract) -> str:
        made = self.made[tract.tract_id]
        return self.dice.choice(made) if made else "nothing yet"

    def told(self, tract: AsyncTract, begun: int, said: dict[str, str]) -> None:
        self.made[tract.tract_id] += said
        _tell("said", tract.tract_id, begun, monotonic_ns(), said)

    async def say(self, tract: AsyncTract, most: int = 120) -> None:
        begun, texts = monotonic_ns(), [self.text() for _ in range(self.dice.randint(1, most))]
        async with tract.batch() as batch:
            for text in texts:
                batch.user(text)
        hashes = [info.commit_hash for info in batch.commits]
        self.told(tract, begun, dict(zip(hashes, texts, strict=True)))

    async def fork(self, tract: AsyncTract) -> None:
        name = f"fork-{self.name}-{next(self.numbers)}"
        await self.say(await tract.fork(name, at_commit=self.one_of(tract)), most=3)

    async def tag(self, tract: AsyncTract) -> None:
        await tract.tag(f"tag-{self.name}-{next(self.numbers)}", self.one_of(tract))

    async def edit(self, tract: AsyncTract) -> None:
        begun, text = monotonic_ns(), self.text()
        content = DialogueContent(role="user", text=text)
        info = await tract.commit(content, operation="edit", edit_target=self.one_of(tract))
        self.told(tract, begun, {info.commit_hash: text})

    async def annotate(self, tract: AsyncTract) -> None:
        await tract.annotate(self.one_of(tract), Priority.SKIP)

    async def merge(self, tract: AsyncTract) -> None:
        names = [each.name for each in await tract.branches() if each.name != "main"]
        if names:
            await tract.merge(self.dice.choice(names))

    async def usage(self, tract: AsyncTract) -> None:
        await tract.record_usage(TokenUsage(1, 1), head_hash=self.one_of(tract))

    async def copy(self, tract: AsyncTract) -> None:
        target = f"{COPIES}{self.name}-{next(self.numbers)}"
        await self.store.copy_tract(tract.tract_id, target)
        _tell("copied", target)

    async def attach(self, tract: AsyncTract) -> None:
        """Give bytes with a content, and say of others that they were given before."""
        part = MediaPart(kind="image", data=_PICTURE, media_type="image/png")
        info = await tract.commit(MessageContent(role="user", parts=(part,)))
        content = await tract.get_content(info.commit_hash)
        with suppress(ContentValidationError):
            await tract.commit(content)

    async def describe(self, tract: AsyncTract) -> None:
        await tract.set_info(title=self.text(), metadata={"of": self.name})

    async def stream(self, tract: AsyncTract) -> None:
        begun, text = monotonic_ns(), self.text()
        async with tract.stream() as stream:
            await stream.write(text[:3])
            await asyncio.sleep(self.dice.uniform(0, 0.05))
            await stream.write(text[3:])
        if stream.commit_info is not None:
            self.told(tract, begun, {stream.commit_info.commit_hash: text})


async def _erase(store: TractStore, name: str, dice: Random) -> None:
    """Erase one tract after another, as soon as it holds more than one portion takes."""
    for number in count():
        tract_id = dice.choice(TRACTS)
        while len(await store.tract(tract_id).log(_LEAST)) < _LEAST:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # other processes fill it, too
        _tell("erasing", tract_id, f"{name}.{number}", monotonic_ns())
        await store.erase_tract(tract_id, reason="asked")
        _tell("erased", tract_id, f"{name}.{number}", monotonic_ns())


async def _main(place: str, run: str, seed: str) -> None:
    made: dict[str, list[str]] = defaultdict(list)
    async with (
        TractStore.open(place, tokenizer=COUNTER) as store,
        asyncio.TaskGroup() as group,
    ):
        for task in range(_TASKS):
            builder = _Builder(store, f"{run}.{task}", Random(f"{seed} {task}"), made)
            group.create_task(builder.go_on_for_ever())
        group.create_task(_erase(store, run, Random(f"{seed} eraser")))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
