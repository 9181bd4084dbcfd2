"""What is measured on a server beyond what the lines about files measure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.backends import Backend
from benchmarks.limit import PlainRow, plain_rows
from benchmarks.model import Measure, Sample, Workspace
from benchmarks.postgres.backends import OursOnServer
from benchmarks.postgres.limit import plain_server, scan
from benchmarks.postgres.servers import connected, schema_of
from benchmarks.queries import query_of
from benchmarks.stock import MAIN
from benchmarks.timing import MICROSECONDS, rate, timed
from benchmarks.workload import RARE_CONFIG, messages

__all__ = [
    "indexed_query",
    "plain_batches",
    "plain_scan",
    "plain_singly",
    "query",
    "select",
    "turns_of_a_long_history",
]

_MODEL = RARE_CONFIG["model"]
_MILLISECONDS = 1e3


def plain_singly(url: str) -> Measure:
    """Return the measurement of one statement for each commit, one after the other."""

    def measure(workspace: Workspace) -> Sample:
        rows = plain_rows(messages(workspace.sizes.commits))
        return {"commits.one_task": asyncio.run(_rate(url, workspace, [[row] for row in rows]))}

    return measure


def plain_batches(url: str, key: str, *, one_tract: bool) -> Measure:
    """Return the measurement of statements with a commit of each task."""

    def measure(workspace: Workspace) -> Sample:
        sizes = workspace.sizes
        names = [f"task-{task}" for task in range(sizes.tasks)]
        columns = [
            plain_rows(messages(sizes.commits_each, name), MAIN if one_tract else name)
            for name in names
        ]
        batches = [list(batch) for batch in zip(*columns, strict=True)]
        return {key: asyncio.run(_rate(url, workspace, batches))}

    return measure


async def _rate(url: str, workspace: Workspace, batches: Sequence[Sequence[PlainRow]]) -> float:
    async with plain_server(url, schema_of(workspace.folder / "plain.db")) as server:

        async def work() -> None:
            for batch in batches:
                await server.commit(batch)

        return await rate(sum(map(len, batches)), work())


def select(url: str) -> Measure:
    """Return the measurement of one awaited SELECT of one row."""

    async def taken(workspace: Workspace) -> float:
        async with plain_server(url, schema_of(workspace.folder / "plain.db")) as server:
            await server.commit(plain_rows(messages(1)))
            await server.head(MAIN)
            times = [await timed(server.head(MAIN)) for _ in range(workspace.sizes.probes * 5)]
        return median(times) * MICROSECONDS

    def measure(workspace: Workspace) -> Sample:
        microseconds = asyncio.run(taken(workspace))
        return {"compile.again": microseconds, "read.again": microseconds}

    return measure


def turns_of_a_long_history(backend: Backend) -> Measure:
    """Return the measurement of turns of a conversation that has half of a history already."""

    async def taken(workspace: Workspace) -> float:
        length = workspace.sizes.history // 2
        async with backend.open(workspace.folder / "store.db") as opened:
            conversation = opened.conversation(MAIN)
            await conversation.load()
            await conversation.extend(messages(length))
            await conversation.load()
            said = messages(length // 5, start=length)

            async def work() -> None:
                for message in said:
                    await conversation.append(message)
                    await conversation.read()

            return await rate(len(said), work())

    def measure(workspace: Workspace) -> Sample:
        return {"turns.long": asyncio.run(taken(workspace))}

    return measure


def query(ours: OursOnServer) -> Measure:
    """Return the measurement of asking for the few commits of another model, without an index."""

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.queried(ours)
        return {"query.scan": asyncio.run(query_of(ours, path, workspace.sizes))}

    return measure


def indexed_query(ours: OursOnServer) -> Measure:
    """Return the same with an index on the model, in a store of its own."""

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.queried(ours, "indexed")
        return {"query.indexed": asyncio.run(query_of(ours, path, workspace.sizes, index=True))}

    return measure


def plain_scan(ours: OursOnServer, key: str) -> Measure:
    """Return the measurement of a scan with `->>` over the same rows."""

    async def taken(
        path: Path, ask: Callable[..., Awaitable[Sequence[object]]], count: int
    ) -> float:
        connection = await connected(ours.url, schema_of(path))
        await ask(connection, MAIN, _MODEL)
        times = [await timed(ask(connection, MAIN, _MODEL)) for _ in range(count)]
        await connection.close()
        return median(times) * _MILLISECONDS

    def measure(workspace: Workspace) -> Sample:
        path = workspace.stock.queried(ours)
        return {key: asyncio.run(taken(path, scan, workspace.sizes.queries))}

    return measure
