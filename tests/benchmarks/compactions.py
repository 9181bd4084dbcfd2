"""Lines about shortened contexts: planning, and what a compaction costs those who come after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from benchmarks.model import OURS, Bar, Line, Row, Sample, Workspace
from benchmarks.ours import Ours, Tract
from benchmarks.stalls import lateness
from benchmarks.stock import MAIN
from benchmarks.timing import timed
from benchmarks.workload import ChatMessage, messages
from tract import (
    AsyncTract,
    CompactionPolicy,
    CompactionRequest,
    MaintenanceConfig,
    TractConfig,
    TractStore,
)

__all__ = ["lines"]

_MILLISECONDS = 1e3
_FIRST = 1_000_000
"""Numbers of the messages that are added to a stock database."""
_BEHIND = 50
_KEPT = 6
_ROUNDS = 5
_TASKS = 16
_MAINTAINS = MaintenanceConfig()

_Turn = Callable[[AsyncTract, ChatMessage], Awaitable[None]]


def lines() -> tuple[Line, ...]:
    """Return the lines about shortening contexts."""
    return (
        Line(
            "compaction.plan",
            (
                Row("compaction.plan", "plan over 10,000 entries", "ms", (Bar(10),)),
                Row("compaction.stall", "event loop meanwhile, longest stall", "ms", (Bar(5),)),
            ),
            {OURS: plan},
            "A plan of half the tokens, after a commit and a compile each time. The peers have "
            "nothing like it.",
        ),
        Line(
            "compaction.after",
            (
                Row(
                    "compaction.compile",
                    "compile, as provider messages, with 10,000 entries hidden, by that of a branch "
                    "that only has what is visible",
                    "x",
                    (Bar(2),),
                ),
                Row("compaction.expand", "expand of 10,000 entries, by a commit", "x", (Bar(2),)),
                Row("compaction.expanded", "compile after it", "ms"),
            ),
            {OURS: after},
            "The compile after a commit is not in the second row; the last shows it.",
        ),
        Line(
            "compaction.behind",
            (
                Row(
                    "compaction.behind",
                    "commit + compile with 50 compactions behind, by that without",
                    "x",
                    (Bar(1.2),),
                ),
            ),
            {OURS: behind},
            "Both branches show as much; one has no history before that.",
        ),
        Line(
            "compaction.maintained",
            (
                Row(
                    "compaction.maintained.commits",
                    "commits of 16 tasks in a store that maintains itself, nothing to shorten, by "
                    "those in another",
                    "x",
                ),
                Row("compaction.maintained.turns", "commit + compile of 16 tasks, likewise", "x"),
            ),
            {OURS: maintained},
            "Times of a round, by turns. What a look folds, the next compile need not fold.",
        ),
    )


def plan(workspace: Workspace) -> Sample:
    """What planning takes, and what the event loop has to wait meanwhile."""
    path = workspace.stock.copied(Ours(), {MAIN: workspace.sizes.head}, workspace.folder)
    return asyncio.run(_plan(path, workspace.sizes.probes))


async def _plan(path: Path, count: int) -> Sample:
    taken, longest = list[float](), list[float]()
    async with Ours().open(path) as opened:
        tract = opened.store.tract(MAIN)
        target = (await tract.compile()).token_count // 2
        await tract.plan_compaction(target_tokens=target)
        for message in messages(count, start=_FIRST):
            await _append_and_compile(tract, message)
            work = asyncio.ensure_future(timed(tract.plan_compaction(target_tokens=target)))
            longest.append(max(await lateness(work)))
            taken.append(await work)
    return {
        "compaction.plan": median(taken) * _MILLISECONDS,
        "compaction.stall": median(longest) * _MILLISECONDS,
    }


def after(workspace: Workspace) -> Sample:
    """What a hidden history adds to a compile, and what showing it again takes."""
    path = workspace.stock.copied(Ours(), {MAIN: workspace.sizes.head}, workspace.folder)
    return asyncio.run(_after(path, workspace.sizes.probes))


async def _after(path: Path, count: int) -> Sample:
    commits, expands, expanded = list[float](), list[float](), list[float]()
    async with Ours().open(path) as opened:
        tract, bare = opened.store.tract(MAIN), opened.store.tract("bare")
        await tract.compile()
        for message in messages(_ROUNDS, start=_FIRST):
            done = await tract.compact(_summary, keep_recent=_KEPT)
            assert done is not None
            commits.append(await timed(Tract(tract).append(message)))
            await tract.compile()
            expands.append(await timed(tract.expand(done.commit_hash)))
            expanded.append(await timed(tract.compile()))
        await tract.compact(_summary, keep_recent=_KEPT)
        await _say_what_is_shown(tract, bare)
        hidden, visible = await _by_turns(_read, (tract, bare), [{}] * count)
    return {
        "compaction.compile": hidden / visible,
        "compaction.expand": median(expands) / median(commits),
        "compaction.expanded": median(expanded) * _MILLISECONDS,
    }


def behind(workspace: Workspace) -> Sample:
    """What a turn costs after many compactions."""
    path = workspace.folder / "store.db"
    return asyncio.run(_behind(path, workspace.sizes.shallow, workspace.sizes.probes))


async def _behind(path: Path, between: int, count: int) -> Sample:
    async with Ours().open(path) as opened:
        tract, bare = opened.store.tract(MAIN), opened.store.tract("bare")
        for number in range(_BEHIND):
            await Tract(tract).extend(messages(between, start=number * between))
            await tract.compact(_summary, keep_recent=_KEPT)
        await _say_what_is_shown(tract, bare)
        said = messages(count, start=_FIRST)
        shortened, usual = await _by_turns(_append_and_compile, (tract, bare), said)
    return {"compaction.behind": shortened / usual}


def maintained(workspace: Workspace) -> Sample:
    """What a store that looks after its branches by itself adds to commits and turns."""
    return asyncio.run(_maintained(workspace.folder, workspace.sizes.probes))


async def _maintained(folder: Path, count: int) -> Sample:
    policy = CompactionPolicy(trigger_tokens=10_000_000, target_tokens=5_000_000)
    configs = TractConfig(maintenance=_MAINTAINS, compaction=policy), TractConfig()
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(TractStore.open(folder / f"{at}.db", config=config))
            for at, config in enumerate(configs)
        ]
        commits = await _rounds(stores, "commits", count, _append)
        turns = await _rounds(stores, "turns", count, _append_and_compile)
    return {"compaction.maintained.commits": commits, "compaction.maintained.turns": turns}


async def _rounds(stores: Sequence[TractStore], name: str, count: int, turn: _Turn) -> float:
    """Return the median ratio of the first store's times to the second's, for the same rounds."""
    ratios = list[float]()
    for number in range(_ROUNDS):
        said = messages(count, start=number * count)
        times = [await timed(_at_once(store, name, said, turn)) for store in stores]
        ratios.append(times[0] / times[1])
    return median(ratios)


async def _at_once(store: TractStore, name: str, said: Sequence[ChatMessage], turn: _Turn) -> None:
    async def task(tract: AsyncTract) -> None:
        for message in said:
            await turn(tract, message)

    await asyncio.gather(*(task(store.tract(f"{name} {number}")) for number in range(_TASKS)))


async def _append(tract: AsyncTract, message: ChatMessage) -> None:
    await Tract(tract).append(message)


async def _say_what_is_shown(tract: AsyncTract, bare: AsyncTract) -> None:
    """Commit to *bare* what *tract* shows."""
    context = await tract.compile(aggregate_same_role=False)
    await Tract(bare).extend(
        [{"role": message.role, "content": message.content} for message in context.messages]
    )


async def _by_turns(
    turn: _Turn, both: tuple[AsyncTract, AsyncTract], said: Sequence[ChatMessage]
) -> tuple[float, float]:
    """Return the median of what *turn* takes with each of *both*."""
    times: tuple[list[float], list[float]] = ([], [])
    for tract in both:
        await tract.compile()
    for message in said:
        for tract, taken in zip(both, times, strict=True):
            taken.append(await timed(turn(tract, message)))
    return median(times[0]), median(times[1])


async def _append_and_compile(tract: AsyncTract, message: ChatMessage) -> None:
    await Tract(tract).append(message)
    await tract.compile()


async def _read(tract: AsyncTract, message: ChatMessage) -> None:
    (await tract.compile()).to_openai()


async def _summary(request: CompactionRequest) -> str:
    return "What was said before, in short."
