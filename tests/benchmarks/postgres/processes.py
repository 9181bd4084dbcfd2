"""Lines that take several processes, or a fresh one; `child.py` is what they run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import quantiles
from time import monotonic
from typing import Any

from benchmarks.model import Measure, Sample, Workspace
from benchmarks.ours import Tract
from benchmarks.postgres.backends import OursOnServer
from benchmarks.postgres.servers import schema_of, with_schema
from benchmarks.stock import MAIN
from benchmarks.workload import messages
from tract import TractStore

__all__ = ["crowd", "first", "plain_crowd", "plain_first", "two_by_one", "watch"]

_CROWD = 8  # processes
_MILLISECONDS = 1e3


def crowd(ours: OursOnServer) -> Measure:
    """Return the measurement of processes that all commit to one branch."""
    return _crowd(ours.url, "commit")


def plain_crowd(ours: OursOnServer) -> Measure:
    """Return the measurement of processes that lock one row, read it, and write on top."""
    return _crowd(ours.url, "lock")


def _crowd(url: str, task: str) -> Measure:
    def measure(workspace: Workspace) -> Sample:
        count, schema = workspace.sizes.commits // 12, schema_of(workspace.folder / "crowd.db")
        works = [(task, url, schema, MAIN, count, 1, number) for number in range(_CROWD)]
        return {"commits.crowd": asyncio.run(_rate(works, count * _CROWD))}

    return measure


def two_by_one(ours: OursOnServer) -> Measure:
    """Return the measurement of two processes with tracts of their own, by one of them alone."""

    async def taken(workspace: Workspace) -> float:
        rates = []
        for processes in (1, 2):
            schema = schema_of(workspace.folder / f"{processes}.db")
            count = workspace.sizes.commits // 2
            works = [
                ("commit", ours.url, schema, f"own-{number}", count, 8, number)
                for number in range(processes)
            ]
            rates.append(await _rate(works, count * processes))
        return float(rates[1] / rates[0])

    def measure(workspace: Workspace) -> Sample:
        return {"commits.two_by_one": asyncio.run(taken(workspace))}

    return measure


def first(ours: OursOnServer, *, merged: bool = False) -> Measure:
    """Return the measurement of opening a store and compiling a long history, imports aside."""

    def measure(workspace: Workspace) -> Sample:
        count = workspace.sizes.head
        path = workspace.stock.filled(ours, {MAIN: count})
        linear = asyncio.run(_taken("open", ours.url, schema_of(path)))
        if not merged:
            return {"compile.first": linear * _MILLISECONDS}
        path = path.with_name("merged.db")
        if not path.exists():
            asyncio.run(_merged(with_schema(ours.url, schema_of(path)), count))
        return {"compile.merged": asyncio.run(_taken("open", ours.url, schema_of(path))) / linear}

    return measure


def plain_first(ours: OursOnServer) -> Measure:
    """Return the measurement of connecting, fetching the same rows and parsing their JSON."""

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.filled(ours, {MAIN: workspace.sizes.head})
        seconds = asyncio.run(_taken("read", ours.url, schema_of(path)))
        return {"compile.first": seconds * _MILLISECONDS}

    return measure


def watch(ours: OursOnServer) -> Measure:
    """Return the measurement of the time from a commit's end in one process to its news in another."""

    async def taken(workspace: Workspace) -> float:
        schema = schema_of(workspace.folder / "watched.db")
        count = workspace.sizes.probes * 5
        async with TractStore.open(with_schema(ours.url, schema)) as store:
            tract = store.tract(MAIN)
            await tract.user("first")
            commits = tract.watch(after="head")
            arrived: dict[str, float] = {}

            async def look() -> None:
                async for info in commits:
                    arrived[info.commit_hash] = monotonic()
                    if len(arrived) == count:
                        return

            looking = asyncio.create_task(look())
            async with _started([("write", ours.url, schema, MAIN, count, 1, 0)]) as [process]:
                _go([process])
                told = await _told(process)
                await asyncio.wait_for(looking, 10)
        late = [max(0.0, arrived[commit_hash] - ended) for commit_hash, ended in told]
        return float(quantiles(late, n=100, method="inclusive")[-1] * _MILLISECONDS)

    def measure(workspace: Workspace) -> Sample:
        return {"watch.p99": asyncio.run(taken(workspace))}

    return measure


async def _merged(url: str, count: int) -> None:
    """Fill a store with one merge of a fifth of a history into the rest."""
    async with TractStore.open(url) as store:
        fifth = count // 5
        main = store.tract(MAIN)
        await Tract(main).extend(messages(3 * fifth))
        side = await main.fork("side")
        await Tract(side).extend(messages(fifth, "side"))
        await Tract(main).extend(messages(fifth, start=3 * fifth))
        await main.merge("side")


async def _rate(works: Sequence[tuple[object, ...]], count: int) -> float:
    """Return how many a second processes do that are let go at once, and do *count*."""
    async with _started(works) as processes:
        _go(processes)
        start = monotonic()
        await asyncio.gather(*map(_told, processes))
        return count / (monotonic() - start)


async def _taken(*work: object) -> float:
    """Return how many seconds a fresh process takes."""
    async with _started([(*work, MAIN, 0, 1, 0)]) as [process]:
        _go([process])
        seconds: float = await _told(process)
        return seconds


@asynccontextmanager
async def _started(works: Sequence[tuple[object, ...]]) -> AsyncIterator[list[Process]]:
    """Start a process for each work, and wait until all are ready."""
    program = (sys.executable, "-m", "benchmarks.postgres.child")
    async with AsyncExitStack() as stack:
        processes = []
        for work in works:
            process = await asyncio.create_subprocess_exec(
                *program,
                *map(str, work),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=1 << 20,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            stack.push_async_callback(_end, process)
            processes.append(process)
        for process in processes:
            assert await _told(process) == "ready"
        yield processes


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def _go(processes: Sequence[Process]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")


async def _told(process: Process) -> Any:
    assert process.stdout is not None
    return json.loads(await process.stdout.readline())
