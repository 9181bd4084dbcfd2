"""Cancelled calls: each has done all or nothing, and nobody else notices.

Stores of every kind are used by several tasks at a time. One of their calls is cancelled, in
one of several ways and at a random moment; often it is the one that came first, whose write
the others' writes then share. What interrupts a call counts as a fault, what comes too late
does not.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from support.opening import threads_left
from torture.cancellers import CANCELLERS, PATIENCE, Moment, Outcome
from torture.checks import COUNTER, check_commits, check_tract, check_usable
from torture.engines import blobs_of_nobody, connected_engine
from torture.model import Fault, Place, Report
from torture.moves import CALLS
from torture.victims import ENGINE, MEMORY, NAMED, WORK, Prepare, Scene, Victim
from tract import (
    AsyncTract,
    BudgetAction,
    CommitInfo,
    CompiledContext,
    TokenBudgetConfig,
    TractConfig,
    TractError,
    TractStore,
)

__all__ = ["FAULTS", "Sizes", "run"]

T = TypeVar("T")

_CHOICES = [(name, prepare) for name, ways in CALLS.items() for prepare in ways]
_BUDGET = TokenBudgetConfig(max_tokens=10**9, action=BudgetAction.REJECT)
_OTHERS = [0, 2, 5, 16]  # at a time


@dataclass(frozen=True, slots=True)
class Sizes:
    """Cancellations in all, and on the same stores."""

    cancellations: int
    each: int


async def run(report: Report, sizes: Sizes, rng: Random) -> None:
    """Cancel calls until enough of them were interrupted, each of them at least once."""
    interrupted: Counter[str] = Counter()
    for number in itertools.count():
        if interrupted.total() >= sizes.cancellations and not set(CALLS) - set(+interrupted):
            break
        before = set(threading.enumerate())
        await _period(report, number, sizes.each, rng, interrupted)
        await _check_threads(report, before)
        report.faults = interrupted.total()
        report.tell(f"{report.faults} of {sizes.cancellations} calls were interrupted")


async def _check_threads(report: Report, before: set[threading.Thread]) -> None:
    await threads_left(before)
    left = [item for item in set(threading.enumerate()) - before if "AnyIO" not in item.name]
    report.check(not left, f"after closing, threads are left: {left}")  # anyio's stay, idle


async def _period(
    report: Report, number: int, count: int, rng: Random, interrupted: Counter[str]
) -> None:
    """Cancel *count* calls on stores that are then closed and examined."""
    contexts: dict[str, CompiledContext] = {}
    async with _scenes(report, number, rng) as scenes:
        for index, (name, prepare) in enumerate(_shuffled(_CHOICES, count, rng)):
            scene = rng.choice(scenes)
            injection = _Injection(report, scene, f"{name} #{index}", str(index))
            interrupted[name] += await injection.run(prepare)
        for scene in scenes:
            contexts[scene.kind] = await scene.work.compile()
            if scene.kind == MEMORY:
                await _check_memory(report, scene)
    report.check(scenes[0].checked_out == 0, "after closing, connections are checked out")
    for kind, place in scenes[0].places.items():
        await _check_place(report, place, contexts[kind], scenes[0].acknowledged[kind])


def _shuffled(choices: Sequence[T], count: int, rng: Random) -> Iterator[T]:
    """Return *count* of *choices* in random order, each about as often."""
    while count > 0:
        yield from rng.sample(choices, min(count, len(choices)))
        count -= len(choices)


@asynccontextmanager
async def _scenes(report: Report, number: int, rng: Random) -> AsyncIterator[list[Scene]]:
    """Open a store of every kind: by its place, with a budget, of an engine, in memory."""
    places = {kind: report.place(f"{kind}_{number}") for kind in (NAMED, "budgeted", ENGINE)}
    acknowledged: dict[str, dict[str, list[str]]] = {}
    async with AsyncExitStack() as stack:
        if report.url is not None:
            async with TractStore.open(places[ENGINE]):
                pass  # an engine finds its schema there
        engine = await connected_engine(places[ENGINE])
        stack.push_async_callback(engine.dispose)
        budgeted = TractConfig(token_budget=_BUDGET)
        openings = {
            NAMED: TractStore.open(places[NAMED], tokenizer=COUNTER),
            "budgeted": TractStore.open(places["budgeted"], tokenizer=COUNTER, config=budgeted),
            ENGINE: TractStore.from_engine(engine, tokenizer=COUNTER),
        }
        if report.url is None:
            openings[MEMORY] = TractStore.open(tokenizer=COUNTER)
        scenes = [
            Scene(kind, await stack.enter_async_context(opening), places, engine, acknowledged, rng)
            for kind, opening in openings.items()
        ]
        for scene in scenes:
            infos = [await scene.work.user(f"entry {number}") for number in range(5)]
            scene.entries += [info.commit_hash for info in infos]
            scene.told(WORK, scene.entries)
        yield scenes


@dataclass(frozen=True, slots=True)
class _Injection:
    """One call that is cancelled while others use the store."""

    report: Report
    scene: Scene
    name: str
    mark: str

    async def run(self, prepare: Prepare) -> bool:
        """Cancel a call and look at what it left; tell whether it was interrupted."""
        scene, tasks, lent = self.scene, asyncio.all_tasks(), self.scene.checked_out
        victim = await prepare(scene, self.mark)
        way = scene.rng.choice(list(CANCELLERS))
        moment = Moment.chosen(scene.rng)
        after = scene.rng.random()
        turns = [int(scene.rng.random() < after) for _ in range(scene.rng.choice(_OTHERS))]
        others = [self._other(number, late) for number, late in enumerate(turns)]
        outcome = await CANCELLERS[way](victim.call, moment)
        wrong = [outcome.problem] if outcome.problem else []
        wrong += await self._ended(others)
        wrong += await self._settled(victim, outcome)
        wrong += await self._left_running(tasks)
        if not lent <= scene.checked_out <= max(lent, scene.borrows):
            wrong.append(f"{scene.checked_out} connections are checked out, not {lent}")
        told = f"{self.name} of {scene.kind} by {way} at {moment}, {turns}: {wrong}"
        self.report.check(not wrong, told)
        return not outcome.finished and not outcome.problem

    def _other(self, number: int, late: int) -> asyncio.Task[list[CommitInfo]]:
        """Start another's call, *late* by a turn of the loop, so after the victim's, or before."""
        call = self.scene.rng.choices(
            [self._commit, self._batch, self._aside, self._read], [7, 1, 1, 2]
        )
        return asyncio.create_task(self._called(call[0], f"{self.mark} beside {number}", late))

    async def _called(
        self, call: Callable[[str], Awaitable[list[CommitInfo]]], text: str, late: int
    ) -> list[CommitInfo]:
        for _ in range(late):
            await asyncio.sleep(0)
        return await call(text)

    async def _commit(self, text: str) -> list[CommitInfo]:
        return [await self.scene.work.user(text)]

    async def _aside(self, text: str) -> list[CommitInfo]:
        return [await self.scene.store.tract("aside").user(text)]

    async def _batch(self, text: str) -> list[CommitInfo]:
        async with self.scene.work.batch() as batch:
            for part in range(2):
                batch.commit({"content_type": "freeform", "payload": [text, part]})
        return batch.commits

    async def _read(self, _: str) -> list[CommitInfo]:
        context = await self.scene.work.compile()
        assert context.head_hash is not None
        return [info for info in [await self.scene.work.get_commit(context.head_hash)] if info]

    async def _ended(self, others: Sequence[asyncio.Task[list[CommitInfo]]]) -> list[str]:
        """Wait for the others' results, and take down what they were told."""
        if others:
            await asyncio.wait(others, timeout=PATIENCE)
        wrong = []
        for task in others:
            if not task.done():
                wrong.append(f"another's call hangs: {task!r}")
            elif task.cancelled() or task.exception() is not None:
                wrong.append(f"another's call failed: {task!r}")
            else:
                for info in task.result():
                    self.scene.told(info.tract_id, [info.commit_hash])
        return wrong

    async def _settled(self, victim: Victim, outcome: Outcome) -> list[str]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await victim.settle(outcome)
        except (TimeoutError, TractError) as error:
            return [f"afterwards: {error!r}"]

    async def _left_running(self, before: set[asyncio.Task[Any]]) -> list[str]:
        left = asyncio.all_tasks() - before
        if left:  # a compile that nobody waits for any more may end in its own time
            _, left = await asyncio.wait(left, timeout=2)
        return [f"tasks are left: {left}"] if left else []


async def _check_memory(report: Report, scene: Scene) -> None:
    for tract_id, hashes in scene.acknowledged[MEMORY].items():
        if tract_id in await scene.store.tract_ids():  # not of another store in memory
            await check_commits(report, scene.store.tract(tract_id), set(hashes))
            await check_tract(report, scene.store.tract(tract_id))


async def _check_place(
    report: Report, place: Place, context: CompiledContext, acknowledged: dict[str, list[str]]
) -> None:
    """Open a store anew: its commits are there, its cache told the truth, no blob is nobody's."""
    async with AsyncTract.open(place, tract_id=WORK, tokenizer=COUNTER) as tract:
        again = await tract.compile(at_commit=context.head_hash)
    report.check(again == context, f"{place} compiles to something else than before")
    unique = {tract_id: sorted(set(hashes)) for tract_id, hashes in acknowledged.items()}
    await check_usable(report, place, unique)
    orphans = await blobs_of_nobody(place)
    report.check(orphans == 0, f"{place} has {orphans} blobs of nobody's")


FAULTS = (
    Fault(
        "cancellation",
        "calls cancelled while others use the store",
        run,
        Sizes(10_000, 500),
        Sizes(300, 160),
    ),
)
