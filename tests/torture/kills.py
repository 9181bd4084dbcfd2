"""Killed processes: what they acknowledged is there, what they were doing is there whole or not.

A store lives through several processes; each is killed, and the next one opens what it left.
Every other time the store is also open here, so that nobody finds it unattended.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from torture.checks import COUNTER, check_chain, check_commits, check_tract
from torture.children import child
from torture.committer import TASKS, TRACTS, Acknowledgement, said
from torture.model import Fault, Place, Report
from tract import AsyncTract, CommitInfo, DialogueContent, TractError, TractStore

__all__ = ["FAULTS", "Sizes", "run"]

_BYSTANDER = "bystander"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many processes are killed, so many of them on each store."""

    kills: int
    each: int


@dataclass(slots=True)
class _Life:
    """One process from its start to its end."""

    place: Place
    durability: str
    run: int
    acknowledged: list[Acknowledgement] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    """What was committed here meanwhile."""

    def hashes(self, tract_id: str) -> list[str]:
        """Return the commits of a tract that were acknowledged."""
        return [
            item
            for told in self.acknowledged
            if told.tract_id == tract_id and told.kind != "usage"
            for item in told.hashes
        ]


async def run(report: Report, sizes: Sizes, rng: Random, *, durability: str) -> None:
    """Kill committing processes, and look after each for what it acknowledged."""
    lives: list[_Life] = []
    for number in range(sizes.kills):
        place = report.place(f"store_{number // sizes.each}")
        life = _Life(place, durability, number)
        lives = [*lives, life] if number % sizes.each else [life]
        await _live(report, life, rng)
        report.faults += 1
        newest = number % sizes.each == sizes.each - 1 or number == sizes.kills - 1
        await _examine(report, life, earlier=lives[:-1] if newest else ())
        report.tell(f"{number + 1} of {sizes.kills}, {report.acknowledged} commits")


async def _live(report: Report, life: _Life, rng: Random) -> None:
    """Start a process, and kill it somewhere between its first step and its last word."""
    while_opening = rng.random() < 0.2
    delay = rng.uniform(0.1, 0.8) if while_opening else rng.uniform(0, 0.25)
    arguments = (life.place, life.durability, life.run, rng.random())
    async with (
        child("committer", *arguments) as process,
        _bystander(life, there=life.run % 2 == 1),
    ):
        assert process.stdout is not None
        first = b"" if while_opening else await process.stdout.readline()
        reading = asyncio.create_task(process.stdout.read())
        await asyncio.sleep(delay)
        report.check(process.returncode is None, "the process ended before it was killed")
        if process.returncode is None:
            process.kill()
        told = first + await reading
    life.acknowledged += [Acknowledgement(*json.loads(line)) for line in told.splitlines()]


@asynccontextmanager
async def _bystander(life: _Life, *, there: bool) -> AsyncIterator[None]:
    """Have the store open here too, and commit now and then, if *there*."""
    if not there:
        yield
        return
    async with TractStore.open(life.place, tokenizer=COUNTER) as store:

        async def commit() -> None:
            for number in range(100_000):
                info = await store.tract(_BYSTANDER).user(f"{life.run} {number}")
                life.beside.append(info.commit_hash)
                await asyncio.sleep(0.005)

        committing = asyncio.create_task(commit())
        try:
            yield
            await asyncio.wait([committing], timeout=0.02)  # a little longer than the other
        finally:
            committing.cancel()
            await asyncio.wait([committing])
    if not committing.cancelled():
        committing.result()


async def _examine(report: Report, life: _Life, earlier: Sequence[_Life]) -> None:
    """Open the store that *life* has left, and look at everything in it."""
    try:
        async with TractStore.open(life.place, tokenizer=COUNTER) as store:
            bystander = store.tract(_BYSTANDER)
            await check_commits(report, bystander, life.beside)
            for tract_id in TRACTS:
                await _examine_tract(report, store.tract(tract_id), life)
            for before in earlier:
                await _find_again(report, store, before)
            for tract_id in (*TRACTS, _BYSTANDER):
                await check_tract(report, store.tract(tract_id))
    except TractError as error:
        report.check_usable(False, f"{life.place} after kill {life.run}: {error!r}")


async def _examine_tract(report: Report, tract: AsyncTract, life: _Life) -> None:
    told = [item for item in life.acknowledged if item.tract_id == tract.tract_id]
    log = await tract.log(None)
    await check_commits(report, tract, life.hashes(tract.tract_id))
    check_chain(report, log)
    _check_batches(report, log)
    _check_marks(report, log, told, life.run)
    await _check_contents(report, tract, told)
    await _check_usage(report, tract, told)


async def _find_again(report: Report, store: TractStore, life: _Life) -> None:
    """Look in the logs for what an earlier life acknowledged, without reading it again."""
    for tract_id in TRACTS:
        there = {info.commit_hash for info in await store.tract(tract_id).log(None)}
        missing = set(life.hashes(tract_id)) - there
        report.check_kept(len(missing), f"of {tract_id!r} after later kills")


def _mark(info: CommitInfo) -> dict[str, Any] | None:
    return info.metadata if info.metadata is not None and "mark" in info.metadata else None


def _check_batches(report: Report, newest_first: Sequence[CommitInfo]) -> None:
    """Check that every call's commits are all there, in order and without another between."""
    position = 0
    oldest_first = newest_first[::-1]
    while position < len(oldest_first):
        mark = _mark(oldest_first[position])
        size = 1 if mark is None else mark["size"]
        found = [_mark(info) for info in oldest_first[position : position + size]]
        whole = [None] if mark is None else [{**mark, "index": index} for index in range(size)]
        report.check(found == whole, f"half a batch: {found}, not {whole}")
        position += size if found == whole else 1


def _check_marks(
    report: Report, log: Sequence[CommitInfo], told: Sequence[Acknowledgement], run: int
) -> None:
    """Check that a task has made what it acknowledged, and at most its next call."""
    acknowledged = {(item.task, item.number) for item in told}
    last = defaultdict(int, {item.task: item.number for item in told})
    for info in log:
        mark = _mark(info)
        if mark is not None and mark["mark"][0] == run:
            _, task, number = mark["mark"]
            expected = (task, number) in acknowledged or number == last[task] + 1
            report.check(expected, f"a commit of nobody's: {mark}, acknowledged {last[task]}")


async def _check_contents(
    report: Report, tract: AsyncTract, told: Sequence[Acknowledgement]
) -> None:
    for item in told:
        for index, commit_hash in enumerate(item.hashes if item.kind != "usage" else []):
            text = said(item.run, item.task, item.number, index)
            try:
                content: Any = await tract.get_content(commit_hash)
            except TractError:
                continue  # counted as lost
            found = content.text if isinstance(content, DialogueContent) else content.reason
            report.check(found == text, f"{commit_hash} says {found[:50]!r}, not {text[:50]!r}")


async def _check_usage(report: Report, tract: AsyncTract, told: Sequence[Acknowledgement]) -> None:
    """Check that a head has a usage that was reported for it, by the last to do so.

    Who that was cannot be told from the order of the acknowledgements: any of those for this
    head may be it, or a call that was not acknowledged.
    """
    last = dict.fromkeys(range(TASKS), 0) | {item.task: item.number for item in told}
    heads: dict[str, set[str]] = defaultdict(set)
    for item in told:
        if item.kind == "usage":
            heads[item.hashes[0]].add(f"api:{1 + item.task}+{item.number}")
    possible = {f"api:{1 + task}+{number + 1}" for task, number in last.items()}
    for head, reported in heads.items():
        source = (await tract.compile(at_commit=head)).token_source
        report.check(source in reported | possible, f"usage of {head}: {source}, not {reported}")


FAULTS = tuple(
    Fault(
        f"kills.{durability}",
        f"processes killed while they commit, durability='{durability}'",
        partial(run, durability=durability),
        Sizes(200, 10),
        Sizes(10, 5),
    )
    for durability in ("normal", "full")
)
