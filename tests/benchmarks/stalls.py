"""The line about the event loop: how late a task gets its turn while agents are busy.

A task in the same loop sleeps for a millisecond at a time; what it sleeps longer is how late
it is. For the limit it does so on a loop with nothing else to do.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from statistics import quantiles
from time import perf_counter
from typing import Any

from benchmarks.backends import Backend, Conversation
from benchmarks.model import SLOW, Measure, Sample, Workspace
from benchmarks.workload import ChatMessage, document, messages
from tract import AsyncTract, DialogueContent, NullTokenCounter, Priority, TractStore

__all__ = ["idle", "lateness", "stall", "stall_of_a_large_heap", "stall_of_a_prune"]

_TICK = 0.001
_MILLISECONDS = 1e3
_IDLE_SECONDS = 1.0


def stall(backend: Backend) -> Measure:
    """Return the measurement of agents that commit and load, one of them a large document."""

    def measure(workspace: Workspace) -> Sample:
        return _summary(asyncio.run(_stall(backend, workspace)))

    return measure


def stall_of_a_large_heap(backend: Backend) -> Measure:
    """Return the same measurement with everything that is imported left to the collector."""
    measure = stall(backend)

    def with_all(workspace: Workspace) -> Sample:
        gc.unfreeze()  # what `settle` has set apart
        return {f"{key}.heap": value for key, value in measure(workspace).items()}

    return with_all


def stall_of_a_prune(workspace: Workspace) -> Sample:
    """A prune of a long history; and how long commits to the same file wait meanwhile."""
    return asyncio.run(_stall_of_a_prune(workspace))


def idle(workspace: Workspace) -> Sample:
    """Nothing but the ticking."""
    return _summary(asyncio.run(_idle()))


async def _stall(backend: Backend, workspace: Workspace) -> list[float]:
    sizes = workspace.sizes
    names = [f"agent-{number}" for number in range(sizes.tasks)]
    rounds = sizes.slow_stall_rounds if backend.name in SLOW else sizes.stall_rounds
    shares = {name: messages(rounds, name) for name in names}
    large = document(sizes.document)
    async with backend.open(workspace.folder / "store.db") as opened:
        writer = opened.conversation("writer")
        conversations = {name: opened.conversation(name) for name in names}
        for conversation in (writer, *conversations.values()):
            await conversation.load()
        agents = [_agent(conversations[name], said) for name, said in shares.items()]
        return await lateness(asyncio.gather(*agents, _write(writer, large)))


async def _agent(conversation: Conversation, said: Sequence[ChatMessage]) -> None:
    for message in said:
        await conversation.append(message)
        await conversation.load()


async def _write(conversation: Conversation, large: ChatMessage) -> None:
    await asyncio.sleep(10 * _TICK)  # the agents are at it by then
    await conversation.append(large)
    await conversation.load()


async def _stall_of_a_prune(workspace: Workspace) -> Sample:
    async with TractStore.open(
        workspace.folder / "store.db", tokenizer=NullTokenCounter()
    ) as store:
        tract, other = store.tract("pruned"), store.tract("other")
        await _fill(tract, workspace.sizes.pruned)
        gc.collect()
        gc.freeze()
        waits: list[float] = []
        pruning = asyncio.create_task(tract.prune(keep=0, reason="old"))

        async def commit() -> None:
            while not pruning.done():
                start = perf_counter()
                await other.user("meanwhile")
                waits.append(perf_counter() - start)
                await asyncio.sleep(_TICK)

        late = await lateness(asyncio.gather(pruning, commit()))
    return {
        "stall.prune": max(late) * _MILLISECONDS,
        "wait.prune": max(waits) * _MILLISECONDS,
    }


async def _fill(tract: AsyncTract, commits: int) -> None:
    """Make commits that no context shows: half are skipped with a reason, half on a lost branch."""
    lost = await tract.fork("lost")
    for at in range(0, commits, 500):
        async with (tract if at % 1_000 else lost).batch() as batch:
            for number in range(at, at + 500, 2):
                text = f"text {number}"
                entry = batch.commit(DialogueContent(role="user", text=text))
                batch.annotate(entry, Priority.SKIP, reason=text)
    await tract.delete_branch("lost", force=True)


async def _idle() -> list[float]:
    return await lateness(asyncio.ensure_future(asyncio.sleep(_IDLE_SECONDS)))


async def lateness(work: asyncio.Future[Any]) -> list[float]:
    """Return how many seconds late each turn of a ticking task was while *work* went on."""
    late: list[float] = []
    while not work.done():
        start = perf_counter()
        await asyncio.sleep(_TICK)
        late.append(perf_counter() - start - _TICK)
    await work
    return late


def _summary(late: list[float]) -> Sample:
    return {
        "stall.longest": max(late) * _MILLISECONDS,
        "stall.p99": quantiles(late, n=100, method="inclusive")[-1] * _MILLISECONDS,
    }
