"""Many processes on one branch of one store: one line of commits, seen alike by all."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Any

from torture.checks import COUNTER, check_chain, check_commits, check_tract
from torture.children import child
from torture.model import Fault, Place, Report
from torture.sharing import RACERS, TRACT, digests
from tract import AsyncTract

__all__ = ["FAULTS", "RaceSizes", "Sizes", "commit_at_once", "race"]

_PATIENCE = 120.0  # seconds for one answer of a process


@dataclass(frozen=True, slots=True)
class Sizes:
    """Processes that commit so many times each, others that read, and how often all that."""

    writers: int
    commits: int
    readers: int
    rounds: int


@dataclass(frozen=True, slots=True)
class RaceSizes:
    """Processes that race, and how many rounds."""

    racers: int
    rounds: int


async def _started(stack: AsyncExitStack, role: str, place: Place, *rest: object) -> Process:
    """Start a process of a role and wait until it is ready."""
    process = await stack.enter_async_context(child("sharing", role, place, *rest))
    if await _told(process) != "ready":
        raise RuntimeError("the process is not ready")
    return process


async def _told(process: Process) -> Any:
    """Return what a process tells next."""
    assert process.stdout is not None
    async with asyncio.timeout(_PATIENCE):
        return json.loads(await process.stdout.readline())


def _tell(processes: Iterable[Process], value: object) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps(value).encode() + b"\n")


async def _all_told(processes: Iterable[Process]) -> list[Any]:
    return await asyncio.gather(*map(_told, processes))


async def commit_at_once(report: Report, sizes: Sizes, rng: Random) -> None:
    """Have processes open a new store and commit to one branch of it, all at the same time."""
    for number in range(sizes.rounds):
        place = report.place(f"shared_{number}")
        tasks = rng.choice([size for size in (1, 2, 5) if sizes.commits % size == 0])
        async with AsyncExitStack() as stack:
            writing = (
                _started(stack, "write", place, name, sizes.commits, tasks)
                for name in range(sizes.writers)
            )
            reading = (_started(stack, "read", place) for _ in range(sizes.readers))
            writers, readers = await asyncio.gather(
                asyncio.gather(*writing), asyncio.gather(*reading)
            )
            await _commit_at_once(report, place, writers, readers, sizes)
        report.faults += sizes.writers
        report.tell(f"{number + 1} of {sizes.rounds}")


async def _commit_at_once(
    report: Report,
    place: Place,
    writers: Sequence[Process],
    readers: Sequence[Process],
    sizes: Sizes,
) -> None:
    _tell([*writers, *readers], "go")
    acknowledged = [item for told in await _all_told(writers) for item in told]
    _tell(writers, "compile")
    compiled = await _all_told(writers)
    _tell(readers, "stop")
    seen = await _all_told(readers)
    report.check(
        len(set(acknowledged)) == sizes.writers * sizes.commits,
        f"{len(set(acknowledged))} commits acknowledged",
    )
    await _examine(report, place, acknowledged, compiled, seen)


async def _examine(
    report: Report, place: Place, acknowledged: list[str], compiled: list[Any], seen: list[Any]
) -> None:
    """Check the store, what each writer compiled at the end, and what readers saw before."""
    async with AsyncTract.open(place, tract_id=TRACT, tokenizer=COUNTER) as tract:
        log = await tract.log(None)
        context = await tract.compile(aggregate_same_role=False)
        await check_commits(report, tract, acknowledged)
        await check_tract(report, tract)
    check_chain(report, log)
    hashes = [info.commit_hash for info in reversed(log)]
    report.check(sorted(hashes) == sorted(acknowledged), f"{len(hashes)} commits are there")
    report.check(context.commit_hashes == hashes, "the context is not the history")
    prefixes = ["", *digests(context)]
    report.check(
        compiled == [[len(hashes), prefixes[-1]]] * len(compiled), f"writers compiled {compiled}"
    )
    for told in seen:
        unknown = [item for item in told if tuple(item) not in set(enumerate(prefixes))]
        report.check(not unknown, f"a reader saw what is no prefix of the history: {unknown[:3]}")
        counts = [count for count, _ in told]
        report.check(counts == sorted({*counts, len(hashes)}), f"a reader went back: {counts}")


async def race(report: Report, sizes: RaceSizes, rng: Random) -> None:
    """Have writers in several processes all commit on one expected head; one may win."""
    place = report.place("race")
    made: list[str] = []
    async with AsyncExitStack() as stack:
        starting = (_started(stack, "race", place, name) for name in range(sizes.racers))
        racers = await asyncio.gather(*starting)
        for number in range(sizes.rounds):
            head = made[-1] if made else None
            _tell(rng.sample(racers, len(racers)), head)
            told = [item for answer in await _all_told(racers) for item in answer]
            made += _winner(report, told, head)
            report.faults += 1
            report.tell(f"{number + 1} of {sizes.rounds}")
    async with AsyncTract.open(place, tract_id=TRACT, tokenizer=COUNTER) as tract:
        log = await tract.log(None)
        await check_commits(report, tract, made)
        await check_tract(report, tract)
    report.check([info.commit_hash for info in reversed(log)] == made, "others than winners wrote")
    check_chain(report, log)


def _winner(report: Report, told: Sequence[Any], head: str | None) -> list[str]:
    """Check that one has won and the others were told by whom; return its commits."""
    won: list[list[str]] = [found for outcome, found in told if outcome == "won"]
    moved = [found for outcome, found in told if outcome == "moved"]
    if not report.check(len(won) == 1, f"{len(won)} of {len(told)} won on {head}"):
        return [item for hashes in won for item in hashes]
    [winner] = won
    report.check(
        moved == [[head, winner[-1]]] * (len(told) - 1), f"the others were told {moved[:3]}"
    )
    return winner


FAULTS = (
    Fault(
        "processes.commits",
        "processes that commit to one branch at once, read meanwhile",
        commit_at_once,
        Sizes(8, 250, 2, 5),
        Sizes(8, 40, 1, 1),
    ),
    Fault(
        "processes.expected_head",
        f"rounds of {4 * RACERS} writers in 4 processes on one expected head",
        race,
        RaceSizes(4, 1000),
        RaceSizes(4, 40),
    ),
)
