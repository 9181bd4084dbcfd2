"""Lines about what frameworks stand on: keys, lists of tracts, copies, erasures, an own loop."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from random import Random
from statistics import median

from benchmarks.model import Sample, Workspace
from benchmarks.ours import Ours, Tract
from benchmarks.stalls import lateness
from benchmarks.stock import MAIN, key_of
from benchmarks.timing import MICROSECONDS, timed
from benchmarks.workload import Sizes, messages
from tract import AsyncTract, TractStore

__all__ = ["copy", "entries", "erase", "keys", "listing", "own_loop", "reached_by"]

_MILLISECONDS = 1e3
_PAGE, _NEWEST, _HITS = 50, 10, 50
_BRANCHES = 50
_LISTED = 500
_COPIED = 400  # commits of 200 turns


def keys(workspace: Workspace) -> Sample:
    """A commit by its key, by that by its hash; and the newest of all keys with a prefix."""
    return asyncio.run(_keys(workspace.stock.keyed(), workspace.sizes))


async def _keys(path: Path, sizes: Sizes) -> Sample:
    chance = Random(1)
    by_key, by_hash, newest = list[float](), list[float](), list[float]()
    async with Ours().open(path) as opened:
        tract = opened.store.tract(MAIN)
        for _ in range(5 * sizes.probes):
            name = key_of(chance.randrange(sizes.opened))
            found = await tract.get_by_keys([name])
            by_hash.append(await timed(tract.get_commit(found[name].commit_hash)))
            by_key.append(await timed(tract.get_by_keys([name])))
        for _ in range(sizes.probes):
            listed = tract.keys(prefix="thread/", newest=True, limit=_NEWEST)
            newest.append(await timed(listed))
    return {
        "keys.lookup": median(by_key) / median(by_hash),
        "keys.cost": median(by_key) * MICROSECONDS,
        "keys.newest": median(newest) * _MILLISECONDS,
    }


def listing(workspace: Workspace) -> Sample:
    """The newest page of very many tracts, and the numbers of the whole store."""
    return asyncio.run(_listing(workspace.stock.listed(), workspace.sizes.probes))


async def _listing(path: Path, count: int) -> Sample:
    pages, infos = list[float](), list[float]()
    async with Ours().open(path) as opened:
        for _ in range(count):
            pages.append(await timed(opened.store.tracts(limit=_PAGE)))
            infos.append(await timed(opened.store.info()))
    return {
        "listing": median(pages) * _MILLISECONDS,
        "listing.info": median(infos) * _MILLISECONDS,
    }


def reached_by(workspace: Workspace) -> Sample:
    """The branches of some commits of a long history."""
    path = Path(shutil.copy(workspace.stock.keyed(), workspace.folder))
    return {"reached_by": asyncio.run(_reached_by(path, workspace.sizes)) * _MILLISECONDS}


async def _reached_by(path: Path, sizes: Sizes) -> float:
    chance = Random(2)
    async with Ours().open(path) as opened:
        tract = opened.store.tract(MAIN)
        for number in range(_BRANCHES):
            at = await tract.get_by_keys([key_of(chance.randrange(sizes.opened))])
            [info] = at.values()
            side = await tract.fork(f"branch-{number}", at_commit=info.commit_hash)
            await side.user("Beside.")
        names = [key_of(chance.randrange(sizes.opened)) for _ in range(_HITS)]
        hashes = [info.commit_hash for info in (await tract.get_by_keys(names)).values()]
        return median([await timed(tract.reached_by(hashes)) for _ in range(sizes.probes)])


def entries(workspace: Workspace) -> Sample:
    """The entries of a compiled context, once and again after another turn each time."""
    path = workspace.stock.copied(Ours(), {MAIN: _LISTED}, workspace.folder)
    return asyncio.run(_entries(path, workspace.sizes.probes))


async def _entries(path: Path, count: int) -> Sample:
    every, newest = list[float](), list[float]()
    async with Ours().open(path) as opened:
        tract = opened.store.tract(MAIN)
        await tract.compile()
        first = await timed(tract.entries())
        for number in range(count):
            await tract.assistant(f"Turn {number}.")
            await tract.compile()
            every.append(await timed(tract.entries(limit=_LISTED, newest=True)))
            newest.append(await timed(tract.entries(limit=10, newest=True)))
    return {
        "entries": median(every) * _MILLISECONDS,
        "entries.newest": median(newest) * _MILLISECONDS,
        "entries.first": first * _MILLISECONDS,
    }


def copy(workspace: Workspace) -> Sample:
    """A copy of a conversation within its store."""
    path = workspace.stock.copied(Ours(), {MAIN: _COPIED}, workspace.folder)
    return {"copy": asyncio.run(_copy(path, workspace.sizes.probes)) * _MILLISECONDS}


async def _copy(path: Path, count: int) -> float:
    async with Ours().open(path) as opened:
        copies = [
            await timed(opened.store.copy_tract(MAIN, f"copy-{number}"))
            for number in range(max(3, count // 4))
        ]
    return median(copies)


def erase(workspace: Workspace) -> Sample:
    """An erasure in a large store, and what the event loop has to wait meanwhile."""
    path = Path(shutil.copy(workspace.stock.keyed(), workspace.folder))
    return asyncio.run(_erase(path, workspace.sizes))


async def _erase(path: Path, sizes: Sizes) -> Sample:
    chance = Random(3)
    taken, longest = list[float](), list[float]()
    async with Ours().open(path) as opened:
        tract = opened.store.tract(MAIN)
        await tract.compile()
        for _ in range(3):
            names = [key_of(chance.randrange(sizes.opened)) for _ in range(sizes.erased)]
            found = await tract.get_by_keys(names)
            hashes = [info.commit_hash for info in found.values()]
            work = asyncio.ensure_future(timed(tract.erase(hashes, reason="measured")))
            longest.append(max(await lateness(work)))
            taken.append(await work)
    return {
        "erase": median(taken) * _MILLISECONDS,
        "erase.stall": median(longest) * _MILLISECONDS,
    }


def own_loop(workspace: Workspace) -> Sample:
    """Commits of one task to a store with a loop of its own, by those to a plain one."""
    return {"own_loop": asyncio.run(_own_loop(workspace))}


async def _own_loop(workspace: Workspace) -> float:
    plain, own = workspace.folder / "plain.db", workspace.folder / "own.db"
    count = max(20, workspace.sizes.commits // 5)
    async with TractStore.open(plain) as one, TractStore.open(own, own_loop=True) as two:
        taken: dict[AsyncTract, list[float]] = {store.tract(MAIN): [] for store in (one, two)}
        for message in messages(count):
            for tract, times in taken.items():
                times.append(await timed(Tract(tract).append(message)))
    alone, across = taken.values()
    return median(alone) / median(across)
