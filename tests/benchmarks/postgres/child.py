"""What the processes do: `python -m benchmarks.postgres.child TASK URL SCHEMA TRACT COUNT TASKS N`.

Each is ready once what it needs is loaded, waits for a line, works, and prints JSON before it closes
what it has open.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable, Coroutine
from time import monotonic, perf_counter
from typing import Any, NamedTuple

from benchmarks.limit import plain_rows
from benchmarks.ours import Tract
from benchmarks.postgres.limit import plain_server, read_steps
from benchmarks.postgres.servers import connected, with_schema
from benchmarks.workload import messages
from tract import TractStore


class _Work(NamedTuple):
    url: str
    schema: str
    tract: str
    commits: int
    tasks: int
    number: int


def _tell(value: object) -> None:
    print(json.dumps(value), flush=True)


async def _go() -> None:
    _tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    gc.collect()


async def _commit(work: _Work) -> None:
    """Commit from some tasks; the store is open before, and the tokenizer loaded."""
    async with TractStore.open(with_schema(work.url, work.schema)) as store:
        await store.tract(f"warm-{work.number}").user("warm")
        conversation = Tract(store.tract(work.tract))
        await conversation.load()
        await _go()

        async def commit(task: int) -> None:
            for message in messages(work.commits // work.tasks, f"{work.number}-{task}"):
                await conversation.append(message)

        await asyncio.gather(*map(commit, range(work.tasks)))
        _tell(None)


async def _lock(work: _Work) -> None:
    """Lock, read, write, one commit after the other."""
    async with plain_server(work.url, work.schema) as server:
        rows = plain_rows(messages(work.commits, str(work.number)))
        marked = [
            row._replace(commit_hash=bytes([work.number]) + row.commit_hash, tract=work.tract)
            for row in rows
        ]
        await _go()
        for row in marked:
            await server.commit_locked(row)
        _tell(None)


async def _open(work: _Work) -> None:
    await _go()
    start = perf_counter()
    async with TractStore.open(with_schema(work.url, work.schema)) as store:
        await store.tract(work.tract).compile()
        _tell(perf_counter() - start)


async def _read(work: _Work) -> None:
    await _go()
    start = perf_counter()
    connection = await connected(work.url, work.schema)
    await read_steps(connection, work.tract)
    _tell(perf_counter() - start)
    await connection.close()


async def _write(work: _Work) -> None:
    """Commit now and then, and tell when each commit had been acknowledged."""
    async with TractStore.open(with_schema(work.url, work.schema)) as store:
        await _go()
        ended = []
        for message in messages(work.commits):
            info = await store.tract(work.tract).user(message["content"])
            ended.append((info.commit_hash, monotonic()))
            await asyncio.sleep(0.01)
        _tell(ended)


_TASKS: dict[str, Callable[[_Work], Coroutine[Any, Any, None]]] = {
    "commit": _commit,
    "lock": _lock,
    "open": _open,
    "read": _read,
    "write": _write,
}


def main() -> None:
    task, url, schema, tract, *numbers = sys.argv[1:]
    work = _Work(url, schema, tract, *map(int, numbers))
    asyncio.run(_TASKS[task](work))


if __name__ == "__main__":
    main()
