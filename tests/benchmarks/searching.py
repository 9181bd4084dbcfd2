"""Lines about text search: what a search takes, and what it adds to writes; for either engine."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from benchmarks.model import OURS, Bar, Line, Measure, Row, Sample, Workspace
from benchmarks.ours import OursBackend, Tract
from benchmarks.stock import searched_tract
from benchmarks.timing import timed
from benchmarks.workload import Sizes, messages, zipf_word

__all__ = ["lines"]

_MILLISECONDS = 1e3
_RARE = 20_000
_COMMON, _NEXT = zipf_word(0), zipf_word(1)
_QUERIES = {
    "common": _COMMON,
    "rare": zipf_word(_RARE),
    "nobody's": "nosuchword",
    "two words": f"{_COMMON} {zipf_word(_RARE // 10)}",
    "phrase": f'"{_COMMON} {_NEXT}"',
    "beginning": f"{_COMMON[:2]}*",
    "beginning and nobody's word": f"{_COMMON[0]}* nosuchword",
    "long beginning": f"{_COMMON[:-1]}*",
    "long beginning and nobody's word": f"{_COMMON[:-1]}* nosuchword",
    "long beginning of rare words": f"{zipf_word(_RARE)[:-1]}*",
}
_BLOCKS = 15


def lines(ours: OursBackend) -> tuple[Line, ...]:
    """Return the lines about text search."""
    return (
        Line(
            "search",
            (
                Row("search.store", "top 20 of 200,000 commits, dearest search", "ms", (Bar(50),)),
                Row("search.tract", "the same in one of 20 tracts", "ms", (Bar(50),)),
            ),
            {OURS: _top_of(ours)},
            "Medians of searches for a common, a rare and an unused word, two words, a phrase, and "
            "short and long beginnings; the highest counts. The tracts were written in turn.",
        ),
        Line(
            "search.writes",
            (
                Row("search.one_task", "commits, one task, search on by off", "x", (Bar(1.1),)),
                Row("search.many_tasks", "commits, 64 tasks, search on by off", "x", (Bar(1.1),)),
            ),
            {OURS: _writes_of(ours)},
            "Times of a commit, or of one of each task, made to the two stores in turn. Nobody "
            "searches meanwhile.",
        ),
    )


def _top_of(ours: OursBackend) -> Measure:
    """Return the measurement of the dearest kind of search, in the store and in a tract of it."""

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.searched(ours)
        return asyncio.run(_top(ours, path, workspace.sizes))

    return measure


async def _top(ours: OursBackend, path: Path, sizes: Sizes) -> Sample:
    async with ours.open(path) as opened:
        await opened.store.enable_search()
        tract = opened.store.tract(searched_tract(0))
        taken: dict[str, list[float]] = {"search.store": [], "search.tract": []}
        for query in _QUERIES.values():
            for key, place in (("search.store", opened.store), ("search.tract", tract)):
                times = [await timed(place.search(query)) for _ in range(sizes.probes)]
                taken[key].append(median(times) * _MILLISECONDS)
    return {key: max(times) for key, times in taken.items()}


def _writes_of(ours: OursBackend) -> Measure:
    """Return the measurement of commits to a store with search, by those to one without."""

    def measure(workspace: Workspace) -> Sample:
        return asyncio.run(_writes(ours, workspace))

    return measure


async def _writes(ours: OursBackend, workspace: Workspace) -> Sample:
    sizes = workspace.sizes
    async with AsyncExitStack() as stack:
        names = ("off.db", "on.db")
        stores = [
            (await stack.enter_async_context(ours.open(workspace.folder / name))).store
            for name in names
        ]
        await stores[1].enable_search()
        alone: list[list[float]] = [[], []]
        crowds: list[list[float]] = [[], []]
        for message in messages(max(20, sizes.commits // 5)):
            for store, times in zip(stores, alone, strict=True):
                times.append(await timed(Tract(store.tract("alone")).append(message)))
        for block in range(_BLOCKS):
            for store, times in zip(stores, crowds, strict=True):
                tasks = [
                    Tract(store.tract(f"task-{task}")).append(message)
                    for task, message in enumerate(messages(sizes.tasks, f"block-{block}"))
                ]
                times.append(await timed(asyncio.gather(*tasks)))
    return {
        "search.one_task": median(alone[1]) / median(alone[0]),
        "search.many_tasks": median(crowds[1]) / median(crowds[0]),
    }
