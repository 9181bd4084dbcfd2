"""Killed processes that erase whole tracts: what was erased is gone, and all that came later stays.

Two processes at a time fill the same tracts, fork, tag, edit, merge and copy what is in them, and
erase them, often both the same one at once. Both are killed. The next pair, or this process, goes on
with what was cut short. The store is open here all the time, too.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic_ns
from typing import Any

from torture.checks import COUNTER
from torture.children import child
from torture.engines import blobs_of_nobody, blobs_with, rows_left
from torture.model import Fault, Place, Report
from torture.tract_eraser import COPIES, TRACTS
from tract import AsyncTract, CommitInfo, TractError, TractStore

__all__ = ["FAULTS", "Sizes", "run"]

_AGAIN = 4
"""Copies that are looked at again, and erased, after each pair."""
_LATE = 1_000_000_000
"""Nanoseconds that a server may go on with what a killed client has sent."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many pairs of processes are killed, so many of them on each store."""

    kills: int
    each: int


@dataclass(slots=True)
class _Said:
    """A call that committed: its texts by their commits, and when it began and ended."""

    begun: int
    ended: int
    texts: dict[str, str]


@dataclass(slots=True)
class _Erasure:
    """A call that erased a tract; *ended* is None while it is at work or if it was killed."""

    begun: int
    ended: int | None = None
    killed: int | None = None


@dataclass(slots=True)
class _Told:
    """What the processes on one store have told."""

    said: dict[str, list[_Said]] = field(default_factory=lambda: defaultdict(list))
    erasures: dict[str, dict[str, _Erasure]] = field(default_factory=lambda: defaultdict(dict))
    texts: set[str] = field(default_factory=set)
    commits: int = 0
    copies: dict[str, dict[str, str]] = field(default_factory=dict)
    """What copies hold that were found whole."""
    cut: int = 0
    """Erasures that a kill has cut short."""

    def hear(self, kind: str, *rest: Any) -> None:
        if kind == "said":
            tract_id, begun, ended, texts = rest
            self.said[tract_id].append(_Said(begun, ended, texts))
            self.texts.update(texts.values())
            self.commits += len(texts)
        elif kind == "erasing":
            tract_id, name, begun = rest
            self.erasures[tract_id][name] = _Erasure(begun)
        elif kind == "erased":
            tract_id, name, ended = rest
            self.erasures[tract_id][name].ended = ended

    def killed(self) -> None:
        """Note that whoever was erasing is dead."""
        for erasures in self.erasures.values():
            for each in erasures.values():
                if each.ended is None and each.killed is None:
                    each.killed = monotonic_ns()
                    self.cut += 1

    def is_over(self, tract_id: str) -> bool:
        """Return True if no erasure of a tract is half done, as far as was told."""
        erasures = self.erasures[tract_id].values()
        ended = [each.begun for each in erasures if each.ended is not None]
        cut = [each.killed for each in erasures if each.killed is not None]
        return not cut or (bool(ended) and max(ended) > max(cut))

    def must_be_there(self, tract_id: str, said: _Said) -> bool:
        """Return True if no erasure of its tract came at the same time or later."""
        return all(
            (each.ended or (each.killed or monotonic_ns()) + _LATE) < said.begun
            for each in self.erasures[tract_id].values()
        )

    def must_be_gone(self, tract_id: str, said: _Said) -> bool:
        """Return True if an erasure that ended began after it."""
        erasures = self.erasures[tract_id].values()
        return any(each.ended is not None and each.begun > said.ended for each in erasures)


async def run(report: Report, sizes: Sizes, rng: Random) -> None:
    """Kill processes that erase tracts, two at a time, and look after each pair at what is left."""
    for store in range(-(-sizes.kills // sizes.each)):
        place = report.place(f"tracts_{store}")
        told, before = _Told(), report.acknowledged
        async with TractStore.open(place, tokenizer=COUNTER) as beside:
            for number in range(min(sizes.each, sizes.kills - store * sizes.each)):
                await _live(report, place, told, beside, f"{store}.{number}", rng)
                report.faults += 1
                report.acknowledged = before + told.commits
                await _examine(report, place, told, beside)
                if rng.random() < 0.5:
                    await _finish(report, place, told, beside, f"{store}.{number}")
                report.tell(f"{report.faults} of {sizes.kills}, {told.cut} erasures cut short")
        report.check(told.cut > 0, "no erasure was cut short")
        await _sweep(report, place, told)


async def _live(
    report: Report, place: Place, told: _Told, beside: TractStore, name: str, rng: Random
) -> None:
    """Start two processes, and kill one a while after the other; meanwhile compile here."""
    delays = [rng.uniform(0, 0.6), rng.uniform(0, 0.5)]
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(
                child("tract_eraser", place, f"{name}.{each}", rng.random())
            )
            for each in "ab"
        ]
        outputs = [each.stdout for each in processes if each.stdout is not None]
        firsts = [await _until_erasing(output) for output in outputs]
        reading = [asyncio.create_task(output.read()) for output in outputs]
        for process, delay in zip(processes, delays, strict=True):
            await _look(report, beside, delay)
            report.check(process.returncode is None, "the process ended before it was killed")
            if process.returncode is None:
                process.kill()
        spoken = [first + await rest for first, rest in zip(firsts, reading, strict=True)]
    for each in spoken:
        for line in each.splitlines(keepends=True):
            if line.endswith(b"\n"):  # a kill may cut the last one
                told.hear(*json.loads(line))
    told.killed()


async def _until_erasing(output: asyncio.StreamReader) -> bytes:
    """Return what a process tells until its first erasure begins, however slow the machine is."""
    told = b""
    while line := await output.readline():
        told += line
        if line.startswith(b'["erasing"'):
            break
    return told


async def _look(report: Report, store: TractStore, seconds: float) -> None:
    """Compile and list what others fill and erase, for some seconds."""
    async with asyncio.timeout(60):
        end = monotonic_ns() + seconds * 1e9
        while True:
            for tract_id in TRACTS:
                await store.tract(tract_id).compile()
                _check_whole(report, tract_id, await store.tract(tract_id).log(None))
            await store.tracts()
            if monotonic_ns() > end:
                return


def _check_whole(report: Report, name: str, log: Sequence[CommitInfo]) -> None:
    """Check that a history has all that its commits build on."""
    built_on = {each for info in log for each in (info.parent_hash, info.merge_parent)}
    missing = built_on - {None, *(info.commit_hash for info in log)}
    report.check(not missing, f"{name} builds on commits that are gone: {[*missing][:3]}")


async def _examine(report: Report, place: Place, told: _Told, beside: TractStore) -> None:
    """Open the store that was left, and look at all that refs reach, from here and from beside."""
    try:
        async with TractStore.open(place, tokenizer=COUNTER) as store:
            for tract_id in TRACTS:
                found = await _contents(report, store, tract_id)
                report.check(
                    found == await _contents(report, beside, tract_id),
                    f"{tract_id}: the store that was open shows something else",
                )
                await _check_fates(report, store.tract(tract_id), told, found)
            await _check_copies(report, store, told)
    except TractError as error:
        report.check_usable(False, f"{place}: {error!r}")


async def _contents(report: Report, store: TractStore, tract_id: str) -> dict[str, str]:
    """Return what all commits say that branches reach, each of them whole."""
    found: dict[str, str] = {}
    tract = store.tract(tract_id)
    tags = {each.target_hash for each in await tract.tags()}
    for branch in await tract.branches():
        handle = store.tract(tract_id, branch=branch.name)
        log = await handle.log(None, contents=True)
        _check_whole(report, f"{handle!r}", [info for info, _ in log])
        report.check(
            (await handle.compile()).head_hash == branch.head_hash, f"{handle!r} has another head"
        )
        found |= {info.commit_hash: getattr(each, "text", "") for info, each in log}
    lost = [each for each in tags if await tract.get_commit(each) is None]
    report.check(not lost, f"tags of {tract!r} point to nothing: {lost[:3]}")
    return found


async def _check_fates(
    report: Report, tract: AsyncTract, told: _Told, found: dict[str, str]
) -> None:
    tract_id = tract.tract_id
    is_over = told.is_over(tract_id)
    for said in told.said[tract_id]:
        missing = [each for each, text in said.texts.items() if found.get(each) != text]
        if told.must_be_there(tract_id, said):
            report.check_kept(len(missing), f"of {tract!r}: {missing[:3]}")
        elif told.must_be_gone(tract_id, said):
            there = [each for each in said.texts if await tract.get_commit(each) is not None]
            report.check(not there and len(missing) == len(said.texts), f"erased: {there[:3]}")
        report.check(len(missing) in (0, len(said.texts)), "half of a batch is there")
    if is_over:
        faults = (await tract.verify()).faults
        report.check_usable(not faults, f"{tract!r}: {faults[:3]}")
    told.said[tract_id] = [
        each for each in told.said[tract_id] if not told.must_be_gone(tract_id, each)
    ]


async def _check_copies(report: Report, store: TractStore, told: _Told) -> None:
    """Check that new copies are whole, and that those that were looked at are as they were."""
    there = {each for each in await store.tract_ids() if each.startswith(COPIES)}
    for tract_id in there - told.copies.keys():
        told.copies[tract_id] = await _contents(report, store, tract_id)
        faults = (await store.tract(tract_id).verify()).faults
        report.check_usable(not faults, f"{tract_id}: {faults[:3]}")
    report.check(there == told.copies.keys(), f"copies are gone: {told.copies.keys() - there}")
    for tract_id in sorted(there)[:_AGAIN]:
        found = await _contents(report, store, tract_id)
        report.check(found == told.copies.pop(tract_id), f"{tract_id} is another copy")
        await store.erase_tract(tract_id, reason="asked")


async def _finish(report: Report, place: Place, told: _Told, beside: TractStore, name: str) -> None:
    """Go on with what was cut short, from two stores at once; then the tracts are gone."""
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        for tract_id in TRACTS:
            told.hear("erasing", tract_id, f"{name} here", monotonic_ns())
            await asyncio.gather(
                *(each.erase_tract(tract_id, reason="asked") for each in (store, beside))
            )
            told.hear("erased", tract_id, f"{name} here", monotonic_ns())
            for each in (store, beside):
                await _check_fates(report, each.tract(tract_id), told, {})
        for each in (store, beside):
            left = {*await each.tract_ids()} & {*TRACTS}
            report.check(not left, f"erased, and still listed: {left}")
    await _check_texts(report, place, told, await _copied(report, beside))


async def _copied(report: Report, store: TractStore) -> set[str]:
    """Return the texts of all copies."""
    copies = [await _contents(report, store, each) for each in await store.tract_ids()]
    return {text for found in copies for text in found.values()}


async def _check_texts(report: Report, place: Place, told: _Told, copied: Iterable[str]) -> None:
    left = await blobs_with(place, told.texts.difference(copied))
    report.check(not left, f"blobs have what was erased: {left[:3]}")


async def _sweep(report: Report, place: Place, told: _Told) -> None:
    """Erase all that is left: then no table has a row of it, and no file a text."""
    async with TractStore.open(place, tokenizer=COUNTER) as store:
        for tract_id in {*TRACTS, *await store.tract_ids()}:
            await store.erase_tract(tract_id, reason="asked")
        report.check(not await store.tract_ids(), "tracts are left")
        orphans = await blobs_of_nobody(place)
        report.check(orphans == 0, f"blobs are left that nothing refers to: {orphans}")
        rows = await rows_left(place)
        report.check(not rows, f"rows are left of erased tracts: {rows}")
        await store.vacuum()
    await _check_files(report, place, [*told.texts])


async def _check_files(report: Report, place: Place, texts: Sequence[str]) -> None:
    if isinstance(place, Path):
        data = b"".join(each.read_bytes() for each in place.parent.glob(f"{place.name}*"))
        found = [text for text in texts if text.encode() in data]
        report.check(not found, f"files have what was erased: {len(found)} of {len(texts)}")


FAULTS = (
    Fault(
        "tract_erasures",
        "pairs of processes killed while they erase tracts that both fill",
        run,
        Sizes(100, 10),
        Sizes(3, 3),
    ),
)
