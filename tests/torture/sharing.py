"""What the processes do that share one branch of one store: `python -m torture.sharing ROLE PLACE`.

All say when they are ready. A writer commits when told to go, writes the hashes, and compiles
when told to. A reader compiles from then on until told to stop, and writes what it saw. A racer commits on the
head that it is told, and writes how that ended, round by round.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain
from random import Random
from typing import Any

from torture.checks import COUNTER
from tract import AsyncTract, CompiledContext, HeadMovedError, TractStore

__all__ = ["RACERS", "TRACT", "digests"]

TRACT = "shared"
RACERS = 4  # commits of each process in each round, over two stores and in two ways


def digests(context: CompiledContext) -> list[str]:
    """Return a digest of each prefix of a context of appends that was compiled unjoined."""
    digest, found = hashlib.sha256(), list[str]()
    for commit_hash, message in zip(context.commit_hashes, context.messages, strict=True):
        digest.update(f"{commit_hash} {message.role} {message.content}\n".encode())
        found.append(digest.hexdigest())
    return found


def _tell(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def _told() -> str:
    """Return the next line; none where the process that tells has gone."""
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


async def _compile(tract: AsyncTract) -> tuple[int, str]:
    """Return how many commits the tract has, and the digest of them all."""
    context = await tract.compile(aggregate_same_role=False)
    return context.commit_count, digests(context)[-1] if context.commit_count else ""


async def _write(place: str, name: str, commits: str, tasks: str) -> None:
    _tell("ready")
    if not await _told():
        return
    async with AsyncTract.open(place, tract_id=TRACT, tokenizer=COUNTER) as tract:

        async def commit(task: int) -> list[str]:
            texts = (f"{name} {task} {n}" for n in range(int(commits) // int(tasks)))
            return [(await tract.user(text)).commit_hash for text in texts]

        made = await asyncio.gather(*map(commit, range(int(tasks))))
        _tell(list(chain(*made)))
        await _told()
        _tell(await _compile(tract))


async def _read(place: str) -> None:
    _tell("ready")
    if not await _told():
        return
    async with AsyncTract.open(place, tract_id=TRACT, tokenizer=COUNTER) as tract:
        stop = asyncio.create_task(_told())
        seen: list[tuple[int, str]] = []
        stopped = False
        while not stopped:
            stopped = stop.done()  # then once more, to see the end
            seen.append(await _compile(tract))
            if seen[-1:] == seen[-2:-1]:
                seen.pop()
            await asyncio.sleep(0.001)
        _tell(seen)


async def _race(place: str, name: str) -> None:
    async with (
        TractStore.open(place, tokenizer=COUNTER) as first,
        TractStore.open(place, tokenizer=COUNTER) as second,
    ):
        tracts = [store.tract(TRACT) for store in (first, second)] * (RACERS // 2)
        dice = Random(name)
        _tell("ready")
        while line := await _told():
            head = json.loads(line)
            attempts = [
                _attempt(tract, head, f"{name} {number}", staged=number >= RACERS // 2)
                for number, tract in enumerate(tracts)
            ]
            dice.shuffle(attempts)
            _tell(await asyncio.gather(*attempts))


async def _attempt(tract: AsyncTract, head: str | None, text: str, *, staged: bool) -> list[Any]:
    """Return the hashes that were committed on *head*, or the heads that the refusal named."""
    try:
        if not staged:
            return ["won", [(await tract.user(text, expected_head=head)).commit_hash]]
        async with tract.batch(expected_head=head) as batch:
            for part in ("first", "second"):
                batch.commit({"content_type": "freeform", "payload": f"{text} {part}"})
        return ["won", [info.commit_hash for info in batch.commits]]
    except HeadMovedError as error:
        return ["moved", [error.expected, error.actual]]


_ROLES: dict[str, Callable[..., Awaitable[None]]] = {"write": _write, "read": _read, "race": _race}


async def _main(role: str, rest: Iterable[str]) -> None:
    await _ROLES[role](*rest)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2:]))
