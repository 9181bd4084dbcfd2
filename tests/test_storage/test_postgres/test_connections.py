"""The connections of a store: when it listens, waits for a server, and on which thread it runs."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from support.opening import COUNTER
from tract import AsyncTract, StoreBusyError, TractConfig

_ASKS_FOR_TLS = struct.pack("!ii", 8, 80877103)
_FIELDS = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
_STARTING = b"E" + struct.pack("!i", len(_FIELDS) + 4) + _FIELDS
_LAST = "SELECT array_agg(query) FROM pg_stat_activity WHERE datname = current_database()"


async def last_statements(url: str) -> list[str]:
    """Return the last statement of each connection."""
    raw = await asyncpg.connect(url)
    try:
        return [*await raw.fetchval(_LAST)]
    finally:
        await raw.close()


async def until_some_begins_with(url: str, words: str) -> None:
    async with asyncio.timeout(20):
        while not any(last.startswith(words) for last in await last_statements(url)):
            pass


async def test_a_store_listens_to_others_only_while_somebody_watches(postgres_store: str) -> None:
    """Each commit of any process would wake it."""
    async with (
        AsyncTract.open(postgres_store, tract_id="t", tokenizer=COUNTER) as other,
        AsyncTract.open(postgres_store, tract_id="t", tokenizer=COUNTER) as tract,
    ):
        await tract.user("one")
        await other.user("two")
        await tract.compile()
        await asyncio.sleep(0.05)  # until others have been told
        unwatched = await last_statements(postgres_store)
        watch = tract.watch()
        await anext(watch)
        await until_some_begins_with(postgres_store, "LISTEN")
        await watch.aclose()

    assert not [last for last in unwatched if "LISTEN" in last]


@asynccontextmanager
async def starting(url: str, refusals: int) -> AsyncIterator[str]:
    """Yield the URL of a server that says of its first *refusals* connections that it is starting."""
    target, left = urlsplit(url), [refusals]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left[0] -= 1
        if left[0] < 0:
            server = await asyncio.open_connection(target.hostname, target.port)
            await asyncio.gather(passed_on(reader, server[1]), passed_on(server[0], writer))
            return
        if await reader.readexactly(8) == _ASKS_FOR_TLS:
            writer.write(b"N")
        await reader.read(1000)
        writer.write(_STARTING)
        writer.close()

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        yield target._replace(netloc=f"{target.username}@127.0.0.1:{port}").geturl()


async def test_opening_waits_for_a_server_that_is_starting(postgres_store: str) -> None:
    async with starting(postgres_store, 2) as url:
        async with AsyncTract.open(url, tract_id="t", tokenizer=COUNTER) as tract:
            await tract.user("one")


async def test_a_server_that_goes_on_starting_is_named_after_the_busy_timeout(
    postgres_store: str,
) -> None:
    async with starting(postgres_store, 1000) as url:
        with pytest.raises(StoreBusyError, match="starting up"):
            await AsyncTract.open(url, config=TractConfig(busy_timeout=0.2))


@pytest.mark.long
async def test_a_store_stops_listening_some_seconds_after_the_last_watcher_has_gone(
    postgres_store: str,
) -> None:
    async with (
        AsyncTract.open(postgres_store, tract_id="t", tokenizer=COUNTER) as other,
        AsyncTract.open(postgres_store, tract_id="t", tokenizer=COUNTER) as tract,
    ):
        for _ in range(2):  # it begins again
            await other.user("more")
            watch = tract.watch()
            await anext(watch)
            await until_some_begins_with(postgres_store, "LISTEN")
            await watch.aclose()
            await until_some_begins_with(postgres_store, "UNLISTEN")


def test_the_loop_of_a_store_may_run_on_one_thread_after_another(postgres_store: str) -> None:
    loop = asyncio.new_event_loop()
    found: list[Any] = []

    def run(work: Coroutine[Any, Any, Any]) -> None:
        thread = threading.Thread(target=lambda: found.append(loop.run_until_complete(work)))
        thread.start()
        thread.join()

    async def opened() -> AsyncTract:
        return await AsyncTract.open(postgres_store, tract_id="t", tokenizer=COUNTER)

    run(opened())
    tract = found.pop()
    for text in ("one", "two"):
        run(tract.user(text))
        run(tract.compile())
    run(tract.aclose())
    loop.close()

    assert [len(context.messages) for context in found[1:-1:2]] == [1, 1]
