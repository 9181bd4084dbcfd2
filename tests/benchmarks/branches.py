"""Lines about branches, streams and watching; none of the peers has any of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.model import Sample, Workspace
from benchmarks.ours import Ours, Tract
from benchmarks.stock import MAIN
from benchmarks.timing import MICROSECONDS, timed
from benchmarks.workload import CONFIG, ChatMessage, messages
from tract import AsyncTract

__all__ = ["fork", "merge", "stream", "watch"]

_FIRST = 1_000_000
"""Numbers of the messages that are added to a stock database."""
_DELTAS = 1_000
_DELTA = "a few w "
_PER_DELTA = 2e-6  # seconds that each may take beside the commits
_OWN = 10
"""Commits that each side of a merge has."""
_WATCHERS = 200


def fork(workspace: Workspace) -> Sample:
    """A fork of a long history, by a commit on it."""
    path = workspace.stock.copied(Ours(), {MAIN: workspace.sizes.head}, workspace.folder)
    return asyncio.run(_fork(path, workspace.sizes.probes))


async def _fork(path: Path, count: int) -> Sample:
    commits: list[float] = []
    forks: list[float] = []
    async with Ours().open(path) as opened:
        conversation = opened.conversation(MAIN)
        await conversation.load()
        for number, message in enumerate(messages(count, start=_FIRST)):
            commits.append(await timed(conversation.append(message)))
            forks.append(await timed(conversation.tract.fork(f"fork-{number}")))
    return {
        "fork.growth": median(forks) / median(commits),
        "fork.cost": median(forks) * MICROSECONDS,
    }


def merge(workspace: Workspace) -> Sample:
    """A merge of two sides that have grown a little, at the end of a long history."""
    path = workspace.stock.copied(Ours(), {MAIN: workspace.sizes.head}, workspace.folder)
    return {"merge": asyncio.run(_merge(path, max(1, workspace.sizes.probes // 4))) * 1000}


async def _merge(path: Path, count: int) -> float:
    taken: list[float] = []
    async with Ours().open(path) as opened:
        conversation = opened.conversation(MAIN)
        await conversation.load()
        for number in range(count):
            said = messages(2 * _OWN, start=_FIRST + number * 2 * _OWN)
            other = Tract(await conversation.tract.fork(f"side-{number}"))
            await other.extend(said[:_OWN])
            await conversation.extend(said[_OWN:])
            taken.append(await timed(conversation.tract.merge(f"side-{number}")))
            await conversation.load()
    return median(taken)


def stream(workspace: Workspace) -> Sample:
    """A stream of many deltas, less what each may take, by a commit of the same text."""
    return asyncio.run(_stream(workspace))


async def _stream(workspace: Workspace) -> Sample:
    commits: list[float] = []
    streams: list[float] = []
    async with Ours().open(workspace.folder / "store.db") as opened:
        tract = opened.conversation(MAIN).tract
        await _said(tract)
        for _ in range(max(3, workspace.sizes.probes // 4)):
            commits.append(await timed(tract.assistant(_DELTA * _DELTAS, generation_config=CONFIG)))
            streams.append(await timed(_said(tract)))
    beside = median(streams) - _DELTAS * _PER_DELTA
    return {
        "stream.growth": beside / median(commits),
        "stream.cost": median(streams) * MICROSECONDS,
    }


async def _said(tract: AsyncTract) -> None:
    async with tract.stream(generation_config=CONFIG) as stream:
        for _ in range(_DELTAS):
            await stream.write(_DELTA)


def watch(workspace: Workspace) -> Sample:
    """What a writer keeps of its speed while others watch."""
    return asyncio.run(_watch(workspace))


async def _watch(workspace: Workspace) -> Sample:
    said = messages(workspace.sizes.commits // 4)
    alone = await _speed(workspace.folder / "alone.db", said, [])
    others = [f"other-{number}" for number in range(_WATCHERS)]
    beside = await _speed(workspace.folder / "beside.db", said, others)
    upon = await _speed(workspace.folder / "upon.db", said, [MAIN] * _WATCHERS)
    return {"watch.beside": beside / alone, "watch.upon": upon / alone}


async def _speed(path: Path, said: Sequence[ChatMessage], watched: Sequence[str]) -> float:
    """Return the commits per second of one task while the tracts named are watched."""
    async with Ours().open(path) as opened:
        conversation = opened.conversation(MAIN)
        await conversation.append(said[0])
        async with _watching([opened.conversation(name).tract for name in watched]):
            start = perf_counter()
            for message in said[1:]:
                await conversation.append(message)
            return (len(said) - 1) / (perf_counter() - start)


@asynccontextmanager
async def _watching(tracts: Sequence[AsyncTract]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_follow(tract)) for tract in tracts]
    await asyncio.sleep(0.1)  # they are waiting by then
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(tract: AsyncTract) -> None:
    async for _ in tract.watch(after="head"):
        pass
