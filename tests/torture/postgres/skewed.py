"""A process whose clock is wrong: `python -m torture.postgres.skewed SECONDS PLACE TRACT COUNT`.

It says when it is ready. Told to go, it commits to the tract with a stream of its own open, looks for
streams that others have left, and writes the hashes of its commits and how many such streams it saw.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable

from torture.checks import COUNTER
from tract import TractStore


def _go_wrong(seconds: float) -> None:
    """Have everything in this process that asks the machine for the time be told another."""
    right: Callable[[], int] = time.time_ns

    def time_ns() -> int:
        return right() + int(seconds * 1e9)

    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9


def _tell(value: object) -> None:
    print(json.dumps(value), flush=True)


async def _commit(place: str, tract_id: str, count: int, name: str) -> None:
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        tract, hashes, left = store.tract(tract_id), list[str](), 0
        _tell("ready")
        await asyncio.to_thread(sys.stdin.readline)
        async with store.tract(f"streams {tract_id}", branch=name).stream() as stream:
            for number in range(count):
                await stream.write(f"{number} ")
                hashes.append((await tract.user(f"{name} {number}")).commit_hash)
                left += len(await store.recover_streams())
        assert stream.commit_info is not None
        _tell([hashes, stream.commit_info.commit_hash, left])


if __name__ == "__main__":
    _go_wrong(float(sys.argv[1]))
    asyncio.run(_commit(sys.argv[2], sys.argv[3], int(sys.argv[4]), f"by{sys.argv[1]}"))
