"""Lines about what should cost the same whatever else there is: other tasks, other tracts, depth."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import process_time

from benchmarks.model import OURS, Bar, Line, Row, Sample, Workspace
from benchmarks.ours import Ours
from benchmarks.stock import MAIN
from benchmarks.timing import timed, timed_call
from tract import AsyncTract, TractStore

__all__ = ["SCALE"]

_AT_ONCE = 1_000  # tracts
_COMPILES = 200
_ROUNDS = 5
_SAME = 1.2  # of two medians of one thing, on a machine that others use
_HELLO = {"content_type": "dialogue", "role": "user", "text": "Hello."}


def _copies(workspace: Workspace) -> Sample:
    path = workspace.stock.filled(Ours(), {MAIN: workspace.sizes.deep})
    return {"scale.copies": asyncio.run(_by_copies(path, workspace.sizes.probes))}


async def _by_copies(path: Path, probes: int) -> float:
    """Return what the messages of a request take, by copies of the same dicts."""
    async with TractStore.open(path) as store:
        context = await store.tract(MAIN).compile()
        plain = context.to_openai()
        ours: list[float] = []
        copies: list[float] = []
        for _ in range(probes):
            ours.append(timed_call(context.to_openai))
            copies.append(timed_call(lambda: [dict(each) for each in plain]))
    return median(ours) / median(copies)


def _crowd(workspace: Workspace) -> Sample:
    path = workspace.stock.filled(Ours(), {MAIN: workspace.sizes.head})
    return {"scale.again": asyncio.run(_by_one_task(path, workspace.sizes.tasks))}


async def _by_one_task(path: Path, tasks: int) -> float:
    """Return what a compiled head takes from many tasks at once, by what it takes from one."""
    async with TractStore.open(path) as store:
        tract = store.tract(MAIN)
        await tract.compile()
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(_ROUNDS):
            for count, taken in zip((1, tasks), times, strict=True):
                taken.append(await _each(tract, count))
    return median(times[1]) / median(times[0])


async def _each(tract: AsyncTract, tasks: int) -> float:
    """Return the processor time of a compile, where so many tasks compile at once."""

    async def compiled() -> None:
        for _ in range(_COMPILES):
            await tract.compile()

    start = process_time()
    await asyncio.gather(*(compiled() for _ in range(tasks)))
    return (process_time() - start) / tasks


def _many(workspace: Workspace) -> Sample:
    sizes = workspace.sizes
    paths = [workspace.folder / f"{count}.db" for count in (1, sizes.numerous)]
    return asyncio.run(_by_one_tract(paths, (1, sizes.numerous), sizes.probes))


async def _by_one_tract(paths: Sequence[Path], counts: Sequence[int], probes: int) -> Sample:
    """Return what opening, and committing to one tract, take beside many, by what they take alone."""
    for path, count in zip(paths, counts, strict=True):
        await _fill(path, count)
    opened: tuple[list[float], list[float]] = ([], [])
    committed: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for path, opening, committing in zip(paths, opened, committed, strict=True):
            start = process_time()
            async with TractStore.open(path) as store:
                opening.append(process_time() - start)
                tract = store.tract("0")
                committing += [await timed(tract.user("Again.")) for _ in range(probes)]
    return {
        "scale.open": median(opened[1]) / median(opened[0]),
        "scale.commit": median(committed[1]) / median(committed[0]),
    }


async def _fill(path: Path, count: int) -> None:
    """Make a store of tracts with a commit each."""
    async with TractStore.open(path) as store:
        for start in range(0, count, _AT_ONCE):
            async with store.transaction() as tx:
                for number in range(start, min(start + _AT_ONCE, count)):
                    tx.on(store.tract(str(number))).commit(_HELLO)


SCALE: tuple[Line, ...] = (
    Line(
        "scale.copies",
        (
            Row(
                "scale.copies",
                "provider messages at depth 20,000, by copies of their dicts",
                "x",
                (Bar(1.5),),
            ),
        ),
        {OURS: _copies},
        "By `[dict(each) for each in messages]`.",
    ),
    Line(
        "scale.again",
        (Row("scale.again", "compile again, 64 tasks at once, by one", "x", (Bar(_SAME),)),),
        {OURS: _crowd},
        "Processor time of each compile.",
    ),
    Line(
        "scale.tracts",
        (
            Row("scale.open", "open a store of 100,000 tracts, by one of one", "x", (Bar(_SAME),)),
            Row("scale.commit", "a commit there, by one of one", "x", (Bar(_SAME),)),
        ),
        {OURS: _many},
        "Opening in processor time.",
    ),
)
