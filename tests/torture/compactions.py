"""Killed processes that shorten contexts: each shortening is whole, undone by one commit, or not there.

Two processes at a time talk on the same branches, compact, clear, expand and maintain them; both are
killed. The store is open here, too, all the time, and must show what a new opening shows.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

from providers.validators import APIS, problems
from support.compacted import MODELS, orphans
from support.counters import WordCounter
from torture.checks import check_chain, check_commits, check_tract
from torture.children import child
from torture.compactor import PINNED, TRACTS
from torture.model import Fault, Place, Report
from tract import AsyncTract, Priority, TractError, TractStore

__all__ = ["FAULTS", "Sizes", "run"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many pairs of processes are killed, so many of them on each store."""

    kills: int
    each: int


@dataclass(slots=True)
class _Told:
    """What the processes on one store have told, by tract."""

    commits: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    compacted: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    expanded: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    asked: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """When `maintain()` asked a summariser, and when that returned."""

    def hear(self, kind: str, tract_id: str, what: Any, *rest: Any) -> None:
        if kind == "asked":
            self.asked[tract_id].append((what, rest[0]))
        elif kind != "asking":
            self.commits[tract_id] += what
        if kind == "compacted":
            self.compacted[tract_id].update(what)
        elif kind == "expanded":
            self.expanded[tract_id].add(rest[0])


async def run(report: Report, sizes: Sizes, rng: Random) -> None:
    """Kill shortening processes, two at a time, and look after each pair at what is left."""
    for store in range(-(-sizes.kills // sizes.each)):
        place = report.place(f"compacted_{store}")
        told, before = _Told(), report.acknowledged
        async with TractStore.open(place, tokenizer=WordCounter()) as beside:
            for number in range(min(sizes.each, sizes.kills - store * sizes.each)):
                await _live(report, place, told, beside, f"{store}.{number}", rng)
                report.faults += 2
                report.acknowledged = before  # they are looked for each time, and counted once
                await _examine(report, place, told, beside)
                report.tell(f"{report.faults} of {2 * sizes.kills} killed")
        made = sum(map(len, told.compacted.values()))
        report.check(made > 0, "nothing was shortened")


async def _live(
    report: Report, place: Place, told: _Told, beside: TractStore, name: str, rng: Random
) -> None:
    """Start two processes, and kill one after the other; meanwhile compile here."""
    delays = [rng.uniform(0.3, 1.2), rng.uniform(0, 0.5)]
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(
                child("compactor", place, f"{name}.{each}", rng.random())
            )
            for each in "ab"
        ]
        outputs = [each.stdout for each in processes if each.stdout is not None]
        firsts = [await _until_shortened(output) for output in outputs]
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
        told.hear(*json.loads(line))


async def _until_shortened(output: asyncio.StreamReader) -> bytes:
    """Return what a process tells up to its first shortening, however slow the machine is."""
    told = b""
    while line := await output.readline():
        told += line
        if line.startswith(b'["compacted"'):
            break
    return told


async def _examine(report: Report, place: Place, told: _Told, beside: TractStore) -> None:
    """Open the store that was left, and look at every branch in it, from here and from beside."""
    try:
        async with TractStore.open(place, tokenizer=WordCounter()) as store:
            for tract_id in TRACTS:
                tract = store.tract(tract_id)
                if await tract.head() is None:
                    report.check(not told.commits[tract_id], f"{tract!r} is empty")
                    continue
                await _check_context(report, tract, beside.tract(tract_id))
                await _check_compactions(report, tract, told)
                await _check_undone(report, tract)
                await check_commits(report, tract, told.commits[tract_id])
                check_chain(report, await tract.log(None))
                await check_tract(report, tract)
                _check_alone(report, tract_id, told.asked[tract_id])
    except TractError as error:
        report.check_usable(False, f"{place}: {error!r}")


async def _check_context(report: Report, tract: AsyncTract, beside: AsyncTract) -> None:
    """Check that every API takes what is shown, with all pins, here as in a store left open."""
    context = await tract.compile(aggregate_same_role=False)
    alone = orphans(context.messages)
    report.check(not alone, f"{tract!r} shows one without the other: {[*alone][:3]}")
    for api in APIS:
        request = context.request(api, model=MODELS[api])
        found = problems(api, {"model": MODELS[api], **request}, model=MODELS[api])
        report.check(not found, f"{api} refuses {context.head_hash}: {found[:3]}")
    seen = await beside.compile(aggregate_same_role=False)
    same = (seen.messages, seen.token_count) == (context.messages, context.token_count)
    report.check(same, f"{tract!r} shows something else in a store that was open")
    counted = WordCounter().count_messages(context.to_dicts())
    report.check(counted == context.token_count, f"{context.token_count} tokens, not {counted}")
    entries = await tract.entries(include_skipped=True)
    pins = {each.commit_hash for each in entries if each.priority is Priority.PINNED}
    said = {each.commit_hash for each in entries if PINNED in (each.message.content or "")}
    report.check(pins <= said, f"{tract!r} has pins of nobody's: {pins - said}")
    gone = pins - {*context.commit_hashes}
    report.check(not gone, f"{tract!r} hides pins: {[*gone][:3]}")


async def _check_compactions(report: Report, tract: AsyncTract, told: _Told) -> None:
    """Check that what was told as compacted or undone is."""
    listed = {each.commit_hash: each.undone for each in await tract.compactions()}
    gone = told.compacted[tract.tract_id] - listed.keys()
    report.check(not gone, f"{tract!r} lost compactions: {[*gone][:3]}")
    back = {each for each in told.expanded[tract.tract_id] if not listed.get(each)}
    report.check(not back, f"{tract!r} has undone ones in force: {[*back][:3]}")


async def _check_undone(report: Report, tract: AsyncTract) -> None:
    """Check that undoing all on a branch aside shows every turn again, whole and in order."""
    log = [info for info in reversed(await tract.log(None)) if info.message == "turn"]
    aside = await tract.fork(f"undone-{len(await tract.branches())}")
    for made in reversed(await aside.compactions()):
        if not made.undone:
            await aside.expand(made.commit_hash)
    context = await aside.compile(aggregate_same_role=False)
    wanted = [info.commit_hash for info in log]
    shown = [each for each in context.commit_hashes if each in {*wanted}]
    report.check(shown == wanted, f"{tract!r} does not show every turn again")
    texts = [message.content for message in context.messages]
    cleared = any("was cleared" in (text or "") for text in texts)
    report.check(not cleared, f"{tract!r} has results that stay cleared")


def _check_alone(report: Report, tract_id: str, asked: Sequence[tuple[float, float]]) -> None:
    """Check that no two processes had a summariser at work for `maintain()` at the same time."""
    ordered = sorted(asked)
    for (_, end), (begun, _) in pairwise(ordered):
        report.check(begun >= end, f"{tract_id} was summarised twice at once")


FAULTS = (
    Fault(
        "compactions",
        "pairs of processes that shorten the same branches, killed",
        run,
        Sizes(200, 8),
        Sizes(4, 2),
    ),
)
