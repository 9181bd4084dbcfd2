"""Lines about long histories: compiling again, and what depth and edits cost."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from statistics import median

import aiosqlite

from benchmarks.backends import Backend, Conversation
from benchmarks.limit import PlainRow, PlainStore, plain_rows
from benchmarks.model import LIMIT, OURS, Measure, Sample, Workspace
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
        return {"compile.again": asyncio.run(_again(backend, path, count))}

    return measure


async def _again(backend: Backend, path: Path, count: int) -> float:
    async with backend.open(path) as opened:
        conversation = opened.conversation(MAIN)
        await conversation.load()
        times = [await timed(conversation.load()) for _ in range(count)]
    return median(times) * MICROSECONDS


def awaited_select(workspace: Workspace) -> Sample:
    """One aiosqlite call that reads one row by its key."""
    return {"compile.again": asyncio.run(_select(workspace))}


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
        shallow, deep = asyncio.run(_growing(backend, path, _probes(backend, workspace)))
        return {"depth.growth": deep / shallow, "depth.cost": deep * MICROSECONDS}

    return measure


async def _growing(backend: Backend, path: Path, count: int) -> tuple[float, float]:
    async with backend.open(path) as opened:
        shallow, deep = opened.conversation("shallow"), opened.conversation("deep")
        times: dict[Conversation, list[float]] = {shallow: [], deep: []}
        for conversation in times:
            await conversation.load()
            await _append_and_load(conversation, messages(1, start=_FIRST - 1)[0])
        for message in messages(count, start=_FIRST):
            for conversation, taken in times.items():
                taken.append(await timed(_append_and_load(conversation, message)))
    return median(times[shallow]), median(times[deep])


async def _append_and_load(conversation: Conversation, message: ChatMessage) -> None:
    await conversation.append(message)
    await conversation.load()


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
    return {"depth.growth": costs[1] / costs[0], "depth.cost": costs[1] * MICROSECONDS}


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
    return sizes.probes if backend.name in (OURS, LIMIT) else sizes.peer_probes
