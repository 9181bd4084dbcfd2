"""A line about a small branch beside many commits of another."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from statistics import median

from benchmarks.model import Sample, Workspace
from benchmarks.ours import Ours, Tract
from benchmarks.stock import MAIN
from benchmarks.timing import timed
from benchmarks.workload import messages
from tract import AsyncTract, CommitInfo, CommitOperation

__all__ = ["small"]

_BEFORE, _AFTER = 20, 2
_ROUNDS = 3

Verb = Callable[[AsyncTract, list[CommitInfo]], Awaitable[object]]


async def _edit(small: AsyncTract, log: list[CommitInfo]) -> None:
    await small.on("side").commit(
        {"content_type": "dialogue", "role": "user", "text": "changed"},
        operation=CommitOperation.EDIT,
        edit_target=log[-1].commit_hash,
    )


_VERBS: Mapping[str, Verb] = {
    "compile": lambda small, _: small.compile(),
    "log": lambda small, _: small.log(5),
    "at_time": lambda small, log: small.compile(at_time=log[4].created_at),
    "diff": lambda small, _: small.diff("small", "side"),
    "edit": _edit,
    "merge": lambda small, _: small.merge("side"),
    "reset": lambda small, log: small.on("side").reset(log[-1].commit_hash),
}


def small(workspace: Workspace) -> Sample:
    """What verbs take on 22 commits, the last two after many of another branch, by those alone."""
    among = asyncio.run(_grown(workspace.folder / "among.db", workspace.sizes.queried))
    alone = asyncio.run(_grown(workspace.folder / "alone.db", 0))
    taken: dict[Path, list[dict[str, float]]] = {among: [], alone: []}
    for _ in range(_ROUNDS):
        for path, times in taken.items():
            times.append(asyncio.run(_verbs(Path(shutil.copy(path, f"{path}-copy")))))
    ratios = {
        verb: median(times[verb] for times in taken[among])
        / median(times[verb] for times in taken[alone])
        for verb in _VERBS
    }
    first, log, *rest = ratios.values()
    return {"small.compile": first, "small.log": log, "small.rest": max(rest)}


async def _grown(path: Path, beside: int) -> Path:
    async with Ours().open(path) as opened:
        tract = opened.store.tract(MAIN, branch="small")
        said = messages(_BEFORE + _AFTER)
        await Tract(tract).extend(said[:_BEFORE])
        await Tract(await tract.fork("side")).extend(messages(1, "side"))
        other = opened.store.tract(MAIN, branch="other")
        await Tract(other).extend(messages(beside, "other"))
        await Tract(tract).extend(said[_BEFORE:])
    return path


async def _verbs(path: Path) -> dict[str, float]:
    """Return the seconds of each verb in a store that was just opened."""
    async with Ours().open(path) as opened:
        await _warmed(opened.store.tract("warm", branch="small"))
        tract = opened.store.tract(MAIN, branch="small")
        taken = {"compile": await timed(tract.compile()), "log": await timed(tract.log(5))}
        log = await tract.log(None)
        for verb, call in _VERBS.items():
            if verb not in taken:
                taken[verb] = await timed(call(tract, log))
    return taken


async def _warmed(tract: AsyncTract) -> None:
    """Do everything once elsewhere, for what a first time takes whatever the branch."""
    await Tract(tract).extend(messages(_BEFORE))
    await Tract(await tract.fork("side")).extend(messages(1, "side"))
    await Tract(tract).extend(messages(1, "after"))
    log = await tract.log(None)
    for call in _VERBS.values():
        await call(tract, log)
