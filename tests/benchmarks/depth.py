"""Lines about long histories: compiling again, and what depth and edits cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import aiosqlite

from benchmarks.backends import Backend, Conversation
from benchmarks.limit import PlainRow, PlainStore, plain_rows
from benchmarks.model import OURS, Measure, Sample, Workspace
from benchmarks.ours import Ours, Tract
from benchmarks.stock import MAIN
from benchmarks.timing import MICROSECONDS, timed, timed_call
from benchmarks.workload import ChatMessage, messages
from tract import CommitOperation

__all__ = ["after_an_edit", "again", "awaited_select", "growing", "plain_growing"]

_FIRST = 1_000_000
"""Numbers of the messages that are added to a stock database."""


def again(backend: Backend) -> Measure:
    """Return the measurement of loading a head that was loaded before."""

    def measure(workspace: Workspace) -> Sample:
        sizes = workspace.sizes
        path = workspace.stock.filled(backend, {MAIN: sizes.head})
        count = _probes(backend, workspace)
        load, read = asyncio.run(_again(backend, path, count))
        return {"compile.again": load * MICROSECONDS, "read.again": read * MICROSECONDS}

    return measure


async def _again(backend: Backend, path: Path, count: int) -> tuple[float, float]:
    async with backend.open(path) as opened:
        conversation = opened.conversation(MAIN)
        await conversation.load()
        loads = [await timed(conversation.load()) for _ in range(count)]
        reads = [await timed(conversation.read()) for _ in range(count)]
    return median(loads), median(reads)


def awaited_select(workspace: Workspace) -> Sample:
    """One aiosqlite call that reads one row by its key."""
    microseconds = asyncio.run(_select(workspace))
    return {"compile.again": microseconds, "read.again": microseconds}


async def _select(workspace: Workspace) -> float:
    store = PlainStore(workspace.folder / "plain.db")
    store.commit(plain_rows(messages(1)))
    store.close()
    query = "SELECT hash FROM refs WHERE tract = 'main' AND name = 'main'"
    async with aiosqlite.connect(workspace.folder / "plain.db") as connection:
        await connection.execute_fetchall(query)
        times = [
            await timed(connection.execute_fetchall(query))
            for _ in range(workspace.sizes.probes * 5)
        ]
    return median(times) * MICROSECONDS


def growing(backend: Backend) -> Measure:
    """Return the measurement of a commit and a load, at a small and at a great depth."""

    def measure(workspace: Workspace) -> Sample:
        sizes = workspace.sizes
        depths = {"shallow": sizes.shallow, "deep": sizes.deep}
        path = workspace.stock.copied(backend, depths, workspace.folder)
        probes = _probes(backend, workspace)
        loads, reads = asyncio.run(_growing(backend, path, probes))
        return {**_growth("depth", *loads), **_growth("depth.read", *reads)}

    return measure


async def _growing(
    backend: Backend, path: Path, count: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what a commit and a load take at both depths, and what a commit and a read do."""
    async with backend.open(path) as opened:
        both = opened.conversation("shallow"), opened.conversation("deep")
        for conversation in both:
            await conversation.load()
            await _append_and_load(conversation, messages(1, start=_FIRST - 1)[0])
        said = messages(2 * count, start=_FIRST)
        loads = await _both(_append_and_load, both, said[:count])
        reads = await _both(_append_and_read, both, said[count:])
    return loads, reads


async def _both(
    turn: Callable[[Conversation, ChatMessage], Awaitable[None]],
    both: tuple[Conversation, Conversation],
    said: Sequence[ChatMessage],
) -> tuple[float, float]:
    """Return what *turn* takes with each of *both*, by turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for message in said:
        for conversation, taken in zip(both, times, strict=True):
            taken.append(await timed(turn(conversation, message)))
    return median(times[0]), median(times[1])


def _growth(key: str, shallow: float, deep: float) -> Sample:
    return {f"{key}.growth": deep / shallow, f"{key}.cost": deep * MICROSECONDS}


async def _append_and_load(conversation: Conversation, message: ChatMessage) -> None:
    await conversation.append(message)
    await conversation.load()


async def _append_and_read(conversation: Conversation, message: ChatMessage) -> None:
    await conversation.append(message)
    await conversation.read()


def plain_growing(workspace: Workspace) -> Sample:
    """A commit, and reading the one row that is new."""
    sizes = workspace.sizes
    store = PlainStore(workspace.folder / "plain.db")
    costs: list[float] = []
    for name, depth in (("shallow", sizes.shallow), ("deep", sizes.deep)):
        rows = plain_rows(messages(depth + sizes.probes, name), name)
        store.commit(rows[:depth])
        steps = [partial(_commit_and_read, store, row) for row in rows[depth:]]
        costs.append(median(timed_call(step) for step in steps))
    store.close()
    return {**_growth("depth", *costs), **_growth("depth.read", *costs)}


def _commit_and_read(store: PlainStore, row: PlainRow) -> None:
    store.commit([row])
    store.newest(row.tract)


def after_an_edit(workspace: Workspace) -> Sample:
    """A commit and a compile right after an edit of an early entry, by the same without."""
    sizes = workspace.sizes
    path = workspace.stock.copied(Ours(), {MAIN: sizes.head}, workspace.folder)
    usual, edited = asyncio.run(_after_edits(path, sizes.probes))
    return {"edit.growth": edited / usual, "edit.cost": edited * MICROSECONDS}


async def _after_edits(path: Path, count: int) -> tuple[float, float]:
    usual: list[float] = []
    edited: list[float] = []
    async with Ours().open(path) as opened:
        conversation = opened.conversation(MAIN)
        targets = (await conversation.load()).commit_hashes[:count]
        said = iter(messages(2 * count, start=_FIRST))
        for target in targets:
            usual.append(await timed(_append_and_load(conversation, next(said))))
            await _edit(conversation, target)
            edited.append(await timed(_append_and_load(conversation, next(said))))
    return median(usual), median(edited)


async def _edit(conversation: Tract, target: str) -> None:
    await conversation.tract.user(
        f"Edited: {target}", operation=CommitOperation.EDIT, edit_target=target
    )


def _probes(backend: Backend, workspace: Workspace) -> int:
    sizes = workspace.sizes
    return sizes.probes if backend.name == OURS else sizes.peer_probes
