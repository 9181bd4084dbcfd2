"""Killed processes that erase: what was erased is nowhere, and nothing else has gone with it.

Two processes at a time commit to one store, erase, copy tracts, delete the copies and collect; both
are killed. The store is open here, too, all the time, and must know what they have erased.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from torture.checks import COUNTER, check_chain, check_tract
from torture.children import child
from torture.engines import blobs_of_nobody, blobs_with
from torture.eraser import KEPT, TRACTS
from torture.model import Fault, Place, Report
from tract import AsyncTract, CommitInfo, ErasedContent, TractError, TractStore

__all__ = ["FAULTS", "Sizes", "run"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many pairs of processes are killed, so many of them on each store."""

    kills: int
    each: int


@dataclass(slots=True)
class _Told:
    """What the processes on one store have told."""

    texts: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """By tract and commit; `erasing` are calls that began, `erased` those that ended."""
    erasing: dict[str, list[list[str]]] = field(default_factory=lambda: defaultdict(list))
    erased: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    along: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    copies: dict[str, str] = field(default_factory=dict)
    """The last that was told of each."""

    def hear(self, line: Sequence[Any]) -> None:
        kind, tract_id, *rest = line
        if kind == "said":
            self.texts[tract_id][rest[0]] = rest[1]
        elif kind == "erasing":
            self.erasing[tract_id].append(rest[0])
        elif kind == "erased":
            self.erased[tract_id].update(rest[0])
        elif kind == "along":
            self.along[tract_id].update(rest[0])
        elif kind in ("copying", "copied"):
            self.copies[rest[0]] = kind
        else:
            self.copies[tract_id] = kind

    @property
    def commits(self) -> int:
        """The number of commits that were told of as made."""
        return sum(map(len, self.texts.values()))

    def may_be_erased(self, tract_id: str) -> tuple[set[str], set[str]]:
        """Return the commits that calls named, and the texts that went with them."""
        named = {each for some in self.erasing[tract_id] for each in some}
        texts = self.texts[tract_id]
        return named, {texts[each] for each in named if each in texts}


async def run(report: Report, sizes: Sizes, rng: Random) -> None:
    """Kill erasing processes, two at a time, and look after each pair for what is left."""
    for store in range(-(-sizes.kills // sizes.each)):
        place = report.place(f"erased_{store}")
        told, before = _Told(), report.acknowledged
        async with TractStore.open(place, tokenizer=COUNTER) as beside:
            for number in range(min(sizes.each, sizes.kills - store * sizes.each)):
                await _live(report, place, told, beside, f"{store}.{number}", rng)
                report.faults += 1
                report.acknowledged = before + told.commits
                await _examine(report, place, told, beside)
                report.tell(f"{report.faults} of {sizes.kills}, {report.acknowledged} commits")
        await _sweep(report, place, told)


async def _live(
    report: Report, place: Place, told: _Told, beside: TractStore, name: str, rng: Random
) -> None:
    """Start two processes, and kill one after the other; meanwhile compile here."""
    delays = [rng.uniform(0.05, 0.4), rng.uniform(0, 0.1)]
    async with AsyncExitStack() as stack:
        names = [f"{name}.{each}" for each in "ab"]
        processes = [
            await stack.enter_async_context(child("eraser", place, each, rng.random()))
            for each in names
        ]
        outputs = [process.stdout for process in processes if process.stdout is not None]
        firsts = [await output.readline() for output in outputs]
        reading = [asyncio.create_task(output.read()) for output in outputs]
        for process, delay in zip(processes, delays, strict=True):
            for tract_id in TRACTS:
                await beside.tract(tract_id).compile()
            await asyncio.sleep(delay)
            report.check(process.returncode is None, "the process ended before it was killed")
            if process.returncode is None:
                process.kill()
        spoken = [first + await rest for first, rest in zip(firsts, reading, strict=True)]
    for line in b"".join(spoken).splitlines():
        told.hear(json.loads(line))


async def _examine(report: Report, place: Place, told: _Told, beside: TractStore) -> None:
    """Open the store that was left, and look at everything in it, from here and from beside."""
    try:
        async with TractStore.open(place, tokenizer=COUNTER) as store:
            for tract_id in TRACTS:
                tract = store.tract(tract_id)
                log = await tract.log(None)
                erased = await _check_contents(report, tract, log, told)
                await _check_contexts(report, [tract, beside.tract(tract_id)], log, erased)
                await _check_keys(report, tract, log)
            await _check_copies(report, store, told)
            for tract_id in TRACTS:
                await check_tract(report, store.tract(tract_id))
    except TractError as error:
        report.check_usable(False, f"{place}: {error!r}")


async def _check_contents(
    report: Report, tract: AsyncTract, log: list[CommitInfo], told: _Told
) -> set[str]:
    """Check what each commit holds by what was told of it; return those that are erased."""
    check_chain(report, log)
    texts = told.texts[tract.tract_id]
    missing = texts.keys() - {info.commit_hash for info in log}
    report.check_kept(len(missing), f"of {tract!r}: {[*missing][:5]}")
    contents: list[Any] = await tract.get_contents([info.commit_hash for info in log])
    held = dict(zip([info.commit_hash for info in log], contents, strict=True))
    erased = {each for each, content in held.items() if isinstance(content, ErasedContent)}
    verified = {each.commit_hash for each in (await tract.verify()).erased}
    report.check(verified == erased, f"verify() names {verified ^ erased}")
    named, gone = told.may_be_erased(tract.tract_id)
    left = (told.erased[tract.tract_id] | told.along[tract.tract_id]) - erased
    report.check(not left, f"an erased commit is back, or was not erased: {[*left][:3]}")
    for info in log:
        said, name = texts.get(info.commit_hash), info.commit_hash
        if said is None:
            continue
        found = "erased" if name in erased else held[name].text
        allowed = found == said or (found == "erased" and (name in named or said in gone))
        report.check(allowed, f"{name} says {found[:50]!r}, not {said[:50]!r}")
        stripped = (info.message, info.metadata, info.key) == (None, None, None)
        report.check(stripped or name not in told.erased[tract.tract_id], f"{name} has more")
    _check_halves(report, told, tract.tract_id, erased)
    return erased


def _check_halves(report: Report, told: _Told, tract_id: str, erased: set[str]) -> None:
    """Check that a call has erased all or nothing, by what no other call can have erased."""
    texts, calls = told.texts[tract_id], told.erasing[tract_id]
    often = Counter(each for some in calls for each in some)
    for some in calls:
        alone = [each for each in some if often[each] == 1 and texts[each].startswith("mark")]
        report.check(len({each in erased for each in alone}) < 2, f"half of an erasure: {some}")


async def _check_contexts(
    report: Report, tracts: Sequence[AsyncTract], log: Sequence[CommitInfo], erased: set[str]
) -> None:
    shown = [info.commit_hash for info in reversed(log) if info.commit_hash not in erased]
    for tract in tracts:
        context = await tract.compile(aggregate_same_role=False)
        there = [entry.commit_hash for entry in await tract.entries()]
        report.check(there == shown, f"{tract!r} lists other entries than are left")
        report.check(len(context.messages) == len(shown), f"{tract!r} shows what was erased")


async def _check_keys(report: Report, tract: AsyncTract, log: Sequence[CommitInfo]) -> None:
    last = {info.key: info.commit_hash for info in reversed(log) if info.key is not None}
    named = {info.key: info.commit_hash for info in await tract.keys(limit=None)}
    report.check(named == last, f"keys name {named}, and were given to {last}")
    given = Counter(info.key for info in log if info.key is not None and info.key.startswith(KEPT))
    report.check(all(each == 1 for each in given.values()), f"keys were given again: {given}")


async def _check_copies(report: Report, store: TractStore, told: _Told) -> None:
    """Check that copies are whole or not there; finish those erasures that were cut short."""
    there = {*await store.tract_ids()} - {*TRACTS}
    for target, last in [*told.copies.items()]:
        if last == "dropping":
            await store.erase_tract(target, reason="asked")
            told.copies[target] = "dropped"
        elif last in ("copied", "copying") and target in there:
            tract = store.tract(target)
            log = await tract.log(None)
            check_chain(report, log)
            faults = (await tract.verify()).faults
            report.check_usable(not faults and bool(log), f"{tract!r}: {faults}")
        else:
            report.check(last != "copied", f"the copy {target} is gone")
            report.check(target not in there, f"the copy {target} is back")


async def _sweep(report: Report, place: Place, told: _Told) -> None:
    """Delete all copies, and check that no byte is left of what was erased, nor any blob unused."""
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        for target in {*await store.tract_ids()} - {*TRACTS}:
            await store.erase_tract(target, reason="asked")
        await store.collect()
        last = await store.tract(TRACTS[0]).user("the last")
        await store.tract(TRACTS[0]).erase([last.commit_hash], reason="asked", vacuum=True)
        marks = {
            text
            for tract_id, erased in told.erased.items()
            for text in (told.texts[tract_id].get(each, "") for each in erased)
            if text.startswith("mark")
        }
    report.check(await blobs_of_nobody(place) == 0, "blobs are left that nothing refers to")
    report.check(
        not (left := await blobs_with(place, marks)), f"blobs have what was erased: {left}"
    )
    if isinstance(place, Path):
        data = b"".join(each.read_bytes() for each in place.parent.glob(f"{place.name}*"))
        found = [mark for mark in marks if mark.encode() in data]
        report.check(not found, f"files have what was erased: {len(found)} of {len(marks)}")


FAULTS = (
    Fault(
        "erasures",
        "pairs of processes killed while they erase, copy and collect",
        run,
        Sizes(100, 10),
        Sizes(4, 2),
    ),
)
