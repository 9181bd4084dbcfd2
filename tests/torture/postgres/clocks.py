"""Machines whose clocks differ: the server's is the one that counts."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg

from torture.checks import COUNTER, check_chain, check_commits, check_tract
from torture.children import child
from torture.model import Place, Report
from torture.postgres.places import database
from tract import AsyncTract, TractStore

__all__ = ["Sizes", "apart"]

_SKEWS = (-3600.0, -60.0, 60.0, 3600.0)  # seconds
_PATIENCE = 120.0  # seconds for one answer of a process
_CLOSE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Commits of each process, and how often all that."""

    commits: int
    rounds: int


async def apart(report: Report, sizes: Sizes, rng: Random) -> None:
    """Have processes with wrong clocks commit, and hold streams, at the same time."""
    async with database(report) as url:
        place = report.place("clocks")
        for number in range(sizes.rounds):
            tract_id = str(number)
            before = await _time(url)
            async with _started(place, tract_id, sizes, rng) as processes:
                told = await asyncio.gather(*map(_told, processes))
            after = await _time(url)
            report.faults += len(told)
            await _examine(report, place, tract_id, told, (before - _CLOSE, after + _CLOSE))
            report.tell(f"{number + 1} of {sizes.rounds}")


@asynccontextmanager
async def _started(
    place: Place, tract_id: str, sizes: Sizes, rng: Random
) -> AsyncIterator[Sequence[Process]]:
    """Start the processes, and let them go once all of them are ready."""
    async with AsyncExitStack() as stack:
        starting = (
            stack.enter_async_context(
                child("postgres.skewed", skew, place, tract_id, sizes.commits)
            )
            for skew in rng.sample(_SKEWS, len(_SKEWS))
        )
        processes = await asyncio.gather(*starting)
        for process in processes:
            if await _told(process) != "ready":
                raise RuntimeError("a process is not ready")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        yield processes


async def _told(process: Process) -> Any:
    assert process.stdout is not None
    async with asyncio.timeout(_PATIENCE):
        return json.loads(await process.stdout.readline())


async def _time(url: str) -> datetime:
    connection = await asyncpg.connect(url)
    try:
        found: datetime = await connection.fetchval("SELECT clock_timestamp()")
    finally:
        await connection.close()
    return found.astimezone(UTC)


async def _examine(
    report: Report,
    place: Place,
    tract_id: str,
    told: Sequence[Any],
    between: tuple[datetime, datetime],
) -> None:
    """Check that times are the server's, and that nobody's stream was taken for a left one."""
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        tract = store.tract(tract_id)
        await check_commits(report, tract, [item for hashes, _, _ in told for item in hashes])
        log = await tract.log(None)
        check_chain(report, log)
        report.check(
            len(log) == sum(len(hashes) for hashes, _, _ in told), f"{len(log)} commits are there"
        )
        earliest, latest = between
        wrong = [info.created_at for info in log if not earliest <= info.created_at <= latest]
        report.check(not wrong, f"times that are not the server's: {wrong[:3]}")
        await check_tract(report, tract)
        await _check_streams(report, store, tract_id, told)


async def _check_streams(
    report: Report, store: TractStore, tract_id: str, told: Sequence[Any]
) -> None:
    left = sum(seen for _, _, seen in told) + len(await store.recover_streams())
    report.check(not left, f"{left} live streams were taken for left ones")
    for _, commit_hash, _ in told:
        streams: AsyncTract = store.tract(f"streams {tract_id}")
        info = await streams.get_commit(commit_hash)
        report.check(info is not None, f"the stream {commit_hash} is not there")
