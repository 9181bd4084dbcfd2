"""One process that commits and compiles for as long as an agent server runs.

Nothing may grow with the number of calls but the database itself: memory beyond the cache's
bound, the write-ahead log, open files, threads.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from support.disks import size_of
from torture.checks import COUNTER, check_chain, check_tract
from torture.model import Fault, Report
from tract import AsyncTract, CommitOperation, Priority, TractConfig, TractStore

__all__ = ["FAULTS"]

_CACHE = 16 * 1024 * 1024  # bytes
_BEYOND = 64 * 1024 * 1024
"""Bytes that memory may have grown by beyond the cache: SQLite's page caches, an arena's gaps."""
_LOG = 32 * 1024 * 1024  # bytes that the write-ahead log may have, ever
_TASKS = 16
_ALIVE = 4
"""Tracts that are worked on at a time, as an agent server has sessions."""
_SESSION = 1_000  # commits of a tract, about
_DIGEST = 32  # bytes
_PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many commits, and as many compiles."""

    commits: int


@dataclass(frozen=True, slots=True)
class _Footprint:
    """What the process holds at one moment; None where this system does not tell."""

    memory: int | None
    files: int | None
    threads: int

    @classmethod
    def now(cls) -> _Footprint:
        gc.collect()
        _give_back_memory()
        there = _PROC.is_dir()
        return cls(
            _resident() if there else None,
            len(os.listdir(_PROC / "fd")) if there else None,
            threading.active_count(),
        )


def _resident() -> int:
    pages = (_PROC / "statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _give_back_memory() -> None:
    """Have the C library return what it has freed, so that only what is held is counted."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@dataclass(slots=True)
class _Life:
    """What has been done so far."""

    store: TractStore
    path: Path
    goal: int
    commits: int = 0
    compiles: int = 0
    longest_log: int = 0
    hashes: dict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    """By tract, as bytes: strings would be memory of our own."""

    async def work(self, task: int, rng: Random) -> None:
        """Commit to tracts and compile them, on to others in time, until the goal is reached."""
        while self.commits < self.goal:
            self.commits += 1
            session = self.commits // (_ALIVE * _SESSION) * _ALIVE + rng.randrange(_ALIVE)
            tract = self.store.tract(str(session))
            await self._commit(tract, rng)
            context = await tract.compile()
            assert len(context.commit_hashes) == context.commit_count
            self.compiles += 1

    async def _commit(self, tract: AsyncTract, rng: Random) -> None:
        known = self.hashes[tract.tract_id]
        kind = rng.random()
        text = f"{self.commits} " * rng.randint(1, 60)
        if kind < 0.1 and known:
            first = known[:_DIGEST].hex()
            made = (await tract.annotate(first, rng.choice([*Priority]))).commit_hash
        elif kind < 0.2 and known:
            first = known[:_DIGEST].hex()
            info = await tract.user(text, operation=CommitOperation.EDIT, edit_target=first)
            made = info.commit_hash
        else:
            config = {"model": "m", "temperature": rng.random(), "number": self.commits}
            made = (await tract.assistant(text, generation_config=config)).commit_hash
        known += bytes.fromhex(made)

    async def watch(self, report: Report) -> None:
        """Look at the log, again and again, and tell how far this is."""
        log = Path(f"{self.path}-wal")
        while True:
            self.longest_log = max(self.longest_log, size_of(log))
            report.tell(f"{self.commits} commits, {self.compiles} compiles")
            await asyncio.sleep(0.05)


async def run(report: Report, sizes: Sizes, rng: Random) -> None:
    """Commit and compile, and compare what the process holds before and afterwards."""
    path = report.folder / "life.db"
    config = TractConfig(cache_max_bytes=_CACHE)
    async with TractStore.open(path, tokenizer=COUNTER, config=config) as store:
        life = _Life(store, path, goal=sizes.commits // 20)
        await _live(life, report, rng)  # caches and threads are there from now on
        before = _Footprint.now()
        life.goal = sizes.commits
        await _live(life, report, rng)
        after = _Footprint.now()
        report.faults += 1
        _compare(report, life, before, after)
        for tract_id, known in sorted(life.hashes.items()):
            await _check_kept(report, store.tract(tract_id), known)


async def _live(life: _Life, report: Report, rng: Random) -> None:
    watching = asyncio.create_task(life.watch(report))
    try:
        async with asyncio.TaskGroup() as group:
            for task in range(_TASKS):
                group.create_task(life.work(task, Random(rng.random())))
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def _compare(report: Report, life: _Life, before: _Footprint, after: _Footprint) -> None:
    cached = life.store.cache_info().bytes
    report.check(cached <= _CACHE, f"the cache holds {cached} bytes, over its bound of {_CACHE}")
    report.check(life.compiles == life.commits, f"only {life.compiles} compiles")
    report.check(life.longest_log <= _LOG, f"the log has been {life.longest_log} bytes long")
    report.check(after.files == before.files, f"open files: {before.files}, then {after.files}")
    report.check(after.threads == before.threads, f"threads: {before.threads}, {after.threads}")
    if before.memory is not None and after.memory is not None:
        grown = after.memory - before.memory
        ours = sum(map(len, life.hashes.values()))
        report.check(
            grown <= _CACHE + ours + _BEYOND,
            f"memory has grown by {grown} bytes, to {after.memory}",
        )
        report.tell(f"memory has grown by {grown} bytes, the log was {life.longest_log} at most")


async def _check_kept(report: Report, tract: AsyncTract, known: bytearray) -> None:
    log = await tract.log(None)
    acknowledged = {known[at : at + _DIGEST].hex() for at in range(0, len(known), _DIGEST)}
    report.acknowledged += len(acknowledged)
    report.check_kept(len(acknowledged - {info.commit_hash for info in log}), f"of {tract!r}")
    report.check(len(log) == len(acknowledged), f"{tract!r} has commits of nobody's")
    check_chain(report, log)
    await check_tract(report, tract)


FAULTS = (
    Fault(
        "long_life",
        "commits and compiles in one process, 200,000 each",
        run,
        Sizes(200_000),
        Sizes(3_000),
    ),
)
