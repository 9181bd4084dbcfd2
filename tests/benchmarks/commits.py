"""Lines about writing: commits a second, and bytes on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from benchmarks.backends import Backend, Conversation
from benchmarks.limit import PlainRow, PlainStore, plain_rows
from benchmarks.model import LIMIT, SLOW, Measure, Sample, Workspace
from benchmarks.timing import rate, rate_of
from benchmarks.workload import ChatMessage, Sizes, messages

__all__ = [
    "bytes_per_commit",
    "many_branches",
    "one_branch",
    "one_task",
    "plain_batches",
    "plain_bytes",
    "plain_singly",
]


def one_task(backend: Backend) -> Measure:
    """Return the measurement of one task that commits one message after the other."""

    def measure(workspace: Workspace) -> Sample:
        sizes = workspace.sizes
        said = messages(sizes.slow_commits if backend.name in SLOW else sizes.commits)
        return {"commits.one_task": asyncio.run(_together(backend, workspace, {"main": [said]}))}

    return measure


def many_branches(backend: Backend) -> Measure:
    """Return the measurement of many tasks, each with a conversation of its own."""

    def measure(workspace: Workspace) -> Sample:
        shares = {name: [said] for name, said in _shares(workspace.sizes, backend.name).items()}
        return {"commits.many_tracts": asyncio.run(_together(backend, workspace, shares))}

    return measure


def one_branch(backend: Backend) -> Measure:
    """Return the measurement of many tasks on one conversation."""

    def measure(workspace: Workspace) -> Sample:
        shares = {"main": list(_shares(workspace.sizes, backend.name).values())}
        return {"commits.one_branch": asyncio.run(_together(backend, workspace, shares))}

    return measure


def plain_singly(workspace: Workspace) -> Sample:
    """One transaction at a time."""
    rows = plain_rows(messages(workspace.sizes.commits))
    return {"commits.one_task": _plain_rate(workspace.folder, [[row] for row in rows])}


def plain_batches(key: str, *, one_tract: bool) -> Measure:
    """Return the measurement of transactions with a commit of each task."""

    def measure(workspace: Workspace) -> Sample:
        shares = _shares(workspace.sizes)
        columns = [plain_rows(said, "main" if one_tract else name) for name, said in shares.items()]
        batches = [list(batch) for batch in zip(*columns, strict=True)]
        return {key: _plain_rate(workspace.folder, batches)}

    return measure


def bytes_per_commit(backend: Backend) -> Measure:
    """Return the measurement of the database's size after a checkpoint."""

    def measure(workspace: Workspace) -> Sample:
        count = workspace.sizes.stored
        path = workspace.stock.copied(backend, {"main": count}, workspace.folder)
        return {"disk": _size(path) / count}

    return measure


def plain_bytes(workspace: Workspace) -> Sample:
    """The size of the plain tables."""
    count = workspace.sizes.stored
    path = workspace.folder / "plain.db"
    store = PlainStore(path)
    store.commit(plain_rows(messages(count)))
    store.close()
    return {"disk": _size(path) / count}


def _shares(sizes: Sizes, subject: str = LIMIT) -> dict[str, list[ChatMessage]]:
    each = sizes.slow_commits_each if subject in SLOW else sizes.commits_each
    return {f"task-{task}": messages(each, f"task-{task}") for task in range(sizes.tasks)}


async def _together(
    backend: Backend, workspace: Workspace, shares: dict[str, list[list[ChatMessage]]]
) -> float:
    """Return the commits a second of one task for each share, all at once."""
    count = sum(len(share) for several in shares.values() for share in several)
    async with backend.open(workspace.folder / "store.db") as opened:
        # A task alone takes no message of the shares: files and threads are there before the clock
        for name in shares:
            await opened.conversation(name).load()
        tasks = [
            _append(opened.conversation(name), share)
            for name, several in shares.items()
            for share in several
        ]
        return await rate(count, asyncio.gather(*tasks))


async def _append(conversation: Conversation, said: Sequence[ChatMessage]) -> None:
    for message in said:
        await conversation.append(message)


def _plain_rate(folder: Path, batches: Sequence[Sequence[PlainRow]]) -> float:
    store = PlainStore(folder / "plain.db")

    def work() -> None:
        for batch in batches:
            store.commit(batch)

    result = rate_of(sum(map(len, batches)), work)
    store.close()
    return result


def _size(path: Path) -> int:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size
