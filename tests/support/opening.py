"""Opening stores in tests, and checking that they leave nothing behind.

Tests' child processes import this, so it does not import pytest, which takes long.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

from tract import (
    NullTokenCounter,
    StorageError,
    TokenCounter,
    TractConfig,
    TractStore,
)
from tract.runtime import Options, Runtime

COUNTER = NullTokenCounter()


def engine_of(target: str | os.PathLike[str]) -> str:
    """Return `postgres` for a URL of a server's and `sqlite` for a file."""
    return "postgres" if str(target).startswith("postgresql") else "sqlite"


async def with_clock(
    target: str | os.PathLike[str],
    clock: Callable[[], int],
    *,
    config: TractConfig | None = None,
    tokenizer: TokenCounter | None = COUNTER,
) -> TractStore:
    """Open a store that takes the time from *clock*, in microseconds."""
    options = Options(config or TractConfig(), tokenizer, clock=clock)
    return TractStore(await Runtime.open(target, options))


async def remembering(
    target: str | os.PathLike[str],
    remembers: bool,
    *,
    config: TractConfig | None = None,
    tokenizer: TokenCounter | None = COUNTER,
) -> TractStore:
    """Open a store that answers from what it knows, or one that asks the database everything."""
    options = Options(config or TractConfig(), tokenizer, remembers=remembers)
    return TractStore(await Runtime.open(target, options))


async def later(
    target: str | os.PathLike[str],
    seconds: float,
    *,
    config: TractConfig | None = None,
    tokenizer: TokenCounter | None = COUNTER,
) -> TractStore:
    """Open a store whose clock is ahead, as on another machine or some time from now."""
    ahead = int(seconds * 1_000_000)

    def clock() -> int:
        return time.time_ns() // 1000 + ahead

    return await with_clock(target, clock, config=config, tokenizer=tokenizer)


async def used(target: str | os.PathLike[str]) -> list[str]:
    """Open *target*, commit to it, and return the ids of its tracts."""
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        await store.tract("agent").user("hello")
        return await store.tract_ids()


async def refused(target: str | os.PathLike[str]) -> StorageError:
    """Return the error that opening and using *target* raises."""
    try:
        await used(target)
    except StorageError as error:
        return error
    raise AssertionError(f"{target} was opened")


def threads_of_connections() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "worker_thread" in thread.name}


async def threads_left(before: set[threading.Thread]) -> set[threading.Thread]:
    """Return the connections' threads that are not in *before*, after giving them time to end."""
    deadline = time.monotonic() + 20
    left = threads_of_connections() - before
    while left and time.monotonic() < deadline:
        await asyncio.sleep(0.001)
        left = threads_of_connections() - before
    return left
