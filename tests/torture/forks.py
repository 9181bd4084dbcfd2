"""Processes that fork while they commit, and logs that are deleted or replaced under open stores.

A parent commits from several tasks, and so does a third process that is never forked. At random
moments the parent is forked; the child uses its own store on the same file, which must be refused or
lose nothing, and one on another file, which must work.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from support.disks import move, put, remove
from torture.checks import COUNTER, check_usable
from torture.children import child
from torture.model import Fault, Report
from tract import AsyncTract, StorageError, TractStore

__all__ = ["FAULTS"]

_NAMES = ("parent", "third", "child")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many processes are made, and how often each of them is forked."""

    rounds: int
    forks: int


async def fork(report: Report, sizes: Sizes, rng: Random) -> None:
    """Fork a committing process at random moments beside a third one, and look at the file."""
    for number in range(sizes.rounds):
        path = report.folder / f"{number}.db"
        arguments = (path, sizes.forks, rng.random())
        async with child("forker", *arguments) as parent, child("forker", path, 0, 0) as third:
            assert parent.stdout is not None
            told = await parent.stdout.read()
            assert third.stdout is not None
            assert third.stdin is not None
            third.stdin.close()
            told += await third.stdout.read()
        acknowledged: dict[str, list[str]] = {name: [] for name in _NAMES}
        for line in told.splitlines():
            name, *rest = json.loads(line)
            if name in acknowledged:
                acknowledged[name] += rest
            else:
                report.faults += name == "forked"
                report.check(name == "forked", f"a child: {rest}")
        _check_integrity(report, path)
        await check_usable(report, path, acknowledged)
        report.tell(f"{number + 1} of {sizes.rounds}, {report.acknowledged} commits")


def _check_integrity(report: Report, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        told = connection.execute("PRAGMA integrity_check").fetchall()
    report.check_usable(told == [("ok",)], f"{path.name}: {told}")


Strike = Callable[[Path, str], None]
"""What is done to a file beside a database."""


def _delete(path: Path, suffix: str) -> None:
    remove(path.with_name(path.name + suffix))


def _replace(path: Path, suffix: str) -> None:
    beside = path.with_name(path.name + suffix)
    move(beside, beside.with_name(beside.name + "-aside"))
    put(beside, b"")


async def strike(report: Report, sizes: Sizes, rng: Random, *, strike: Strike) -> None:
    """Delete or replace the log of a store at work; then no commit is acknowledged any more."""
    for number in range(sizes.rounds):
        path = report.folder / f"{number}.db"
        suffixes = rng.choice([["-wal"], ["-shm"], ["-wal", "-shm"]])
        acknowledged: list[str] = []
        async with TractStore.open(path, tokenizer=COUNTER) as store:
            tract = store.tract("t")
            committing = [asyncio.create_task(_commit(tract, acknowledged)) for _ in range(4)]
            await asyncio.sleep(rng.uniform(0.01, 0.3))
            for suffix in suffixes:
                strike(path, suffix)
            report.faults += 1
            done, hanging = await asyncio.wait(committing, timeout=30)
            report.check(not hanging, f"{len(hanging)} tasks were never refused")
            for task in done:
                error = task.exception()
                report.check(isinstance(error, StorageError), f"refused with {error!r}")
            for task in hanging:
                task.cancel()
        if strike is _delete:
            _check_integrity(report, path)
            await check_usable(report, path, {"t": acknowledged})
        report.tell(f"{number + 1} of {sizes.rounds}, {report.acknowledged} commits")


async def _commit(tract: AsyncTract, acknowledged: list[str]) -> None:
    for number in range(1_000_000):
        info = await tract.user(f"{number} " * 50)
        acknowledged.append(info.commit_hash)


FAULTS = (
    Fault(
        "forks",
        "processes forked while they commit, beside a third",
        fork,
        Sizes(40, 25),
        Sizes(2, 6),
    ),
    Fault(
        "logs.deleted",
        "a log, its index or both deleted while open",
        partial(strike, strike=_delete),
        Sizes(60, 1),
        Sizes(4, 1),
    ),
    Fault(
        "logs.replaced",
        "a log, its index or both replaced while open",
        partial(strike, strike=_replace),
        Sizes(60, 1),
        Sizes(4, 1),
    ),
)
