"""Forked processes, and logs that are taken away: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from torture.checks import COUNTER, check_usable
from torture.children import child
from torture.model import Fault, Report
from tract import TractStore

__all__ = ["FAULTS"]

_INNOCENT = "innocent"
_PATIENCE = 20.0  # seconds until a commit is refused


@dataclass(frozen=True, slots=True)
class Sizes:
    """Processes, and how often each is forked or loses its log."""

    processes: int
    each: int = 1


async def fork(report: Report, sizes: Sizes, rng: Random) -> None:
    """Fork a committing process at random moments, while another has the store open, too."""
    for number in range(sizes.processes):
        path = report.folder / f"forked-{number}.db"
        told: list[list[str]] = []
        async with TractStore.open(path, tokenizer=COUNTER) as store:
            innocent = asyncio.create_task(_commit_beside(store, told))
            async with child("forker", "fork", path, sizes.each, rng.random()) as process:
                assert process.stdout is not None
                lines = await process.stdout.read()
            innocent.cancel()
            await asyncio.wait([innocent])
        told += map(json.loads, lines.splitlines())
        refused = sum(kind == "refused" for kind, *_ in told)
        report.check(refused == sizes.each, f"{refused} of {sizes.each} children were refused")
        report.faults += sizes.each
        await _examine(report, path, told)
        report.tell(f"{number + 1} of {sizes.processes}, {report.acknowledged} commits")


async def _commit_beside(store: TractStore, told: list[list[str]]) -> None:
    number = 0
    while True:
        number += 1
        info = await store.tract(_INNOCENT).user(f"{number}")
        told.append([_INNOCENT, info.commit_hash])
        await asyncio.sleep(0.002)


async def lose_log(report: Report, sizes: Sizes, rng: Random) -> None:
    """Delete or replace the log under a committing process, and kill that once it refuses.

    Or the log's index, or both; where both are replaced, somebody else may have gone on with them, so
    that what was in the log cannot be saved.
    """
    for number in range(sizes.processes):
        path = report.folder / f"lost-{number}.db"
        async with child("forker", "log", path) as process:
            assert process.stdout is not None
            told = [json.loads(await process.stdout.readline())]
            await asyncio.sleep(rng.uniform(0, 0.2))
            replacing = rng.random() < 0.5
            for suffix in rng.choice([["-wal"], ["-shm"], *([["-wal", "-shm"]] * (not replacing))]):
                await asyncio.to_thread(_take_away, Path(f"{path}{suffix}"), replacing=replacing)
            try:
                async with asyncio.timeout(_PATIENCE):
                    while told[-1][0] not in ("refused", "failed"):
                        line = await process.stdout.readline()
                        told.append(json.loads(line or '["failed", "ended"]'))
            except TimeoutError:
                told.append(["failed", "commits were not refused"])
            process.kill()
        report.faults += 1
        await _examine(report, path, told)
        report.tell(f"{number + 1} of {sizes.processes}, {report.acknowledged} commits")


def _take_away(log: Path, *, replacing: bool) -> None:
    if replacing:
        other = log.with_suffix(".other")
        other.touch()
        os.replace(other, log)
    else:
        log.unlink()


async def _examine(report: Report, path: Path, told: list[list[Any]]) -> None:
    """Look for all that was acknowledged, and at the file itself."""
    acknowledged: dict[str, list[str]] = defaultdict(list)
    for kind, *facts in told:
        report.check(kind != "failed", f"{path.name}: {facts}")
        if kind not in ("failed", "refused"):
            acknowledged[kind] += facts
    await check_usable(report, path, acknowledged)
    found = await asyncio.to_thread(_integrity, path)
    report.check_usable(found == "ok", f"{path.name}: {found}")


def _integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        [[found]] = connection.execute("PRAGMA integrity_check(1)").fetchall()
    return str(found)


FAULTS = (
    Fault(
        "forks.children",
        "forks of a committing process, whose children try stores of their own",
        fork,
        Sizes(20, 25),
        Sizes(2, 8),
    ),
    Fault(
        "forks.log",
        "logs and indexes deleted or replaced under a committing process, which is then killed",
        lose_log,
        Sizes(60),
        Sizes(4),
    ),
)
