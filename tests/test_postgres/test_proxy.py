"""The proxy between tests and a server: it delays, cuts at the chosen moment, swallows and holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from support.postgres.proxy import Proxy, running

_CUT = (ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
_INSERT = "INSERT INTO t VALUES ($1)"


@pytest_asyncio.fixture
async def direct(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that does not pass the proxy, to a database with a table."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE t (a text)")
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_url) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def passing(proxy: Proxy, direct: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A connection through the proxy."""
    connection = await asyncpg.connect(proxy.url)
    yield connection
    connection.terminate()


async def texts(connection: asyncpg.Connection) -> list[str]:
    return [row["a"] for row in await connection.fetch("SELECT a FROM t ORDER BY a")]


async def test_a_round_trip_is_counted_whatever_its_size(
    proxy: Proxy, passing: asyncpg.Connection
) -> None:
    statement = await passing.prepare("SELECT repeat($1, 2)")
    before = proxy.trips
    await statement.fetchval("x" * 1_000_000)

    assert proxy.trips == before + 1


async def test_a_delay_is_that_of_a_round_trip(proxy: Proxy, passing: asyncpg.Connection) -> None:
    """Not less in any of some, and not more in the quickest: a busy machine adds to others."""
    proxy.delay = 0.1
    took: list[float] = []
    while len(took) < 20 and not (took and took[-1] < 0.2):
        began = time.perf_counter()
        await passing.execute("SELECT 1")
        took.append(time.perf_counter() - began)

    assert 0.1 <= min(took) < 0.2


async def test_delayed_bytes_keep_their_order(
    proxy: Proxy, passing: asyncpg.Connection, direct: asyncpg.Connection
) -> None:
    proxy.delay = 0.01
    await passing.copy_records_to_table("t", records=[(f"{i:06}",) for i in range(20_000)])

    assert await texts(direct) == [f"{i:06}" for i in range(20_000)]


async def test_a_lost_answer_is_of_something_that_was_done(
    proxy: Proxy, passing: asyncpg.Connection, direct: asyncpg.Connection
) -> None:
    cut = proxy.cut_answer(holding=b"COMMIT")
    with pytest.raises(_CUT):
        async with passing.transaction():
            await passing.execute(_INSERT, "done")

    assert cut.done.is_set()
    assert await texts(direct) == ["done"]


async def test_a_lost_request_is_of_something_that_was_not_done(
    proxy: Proxy, passing: asyncpg.Connection, direct: asyncpg.Connection
) -> None:
    cut = proxy.cut_request(holding=b"COMMIT")
    with pytest.raises(_CUT):
        async with passing.transaction():
            await passing.execute(_INSERT, "not done")

    assert cut.done.is_set()
    assert await texts(direct) == []


@pytest.mark.parametrize("after", [0, 1, 7])
async def test_a_cut_lets_as_many_bytes_through_as_told(after: int) -> None:
    got: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            got.append(piece)
            writer.write(b"an answer")
        writer.close()

    async def ask(proxy: Proxy) -> bytes:
        address = urlsplit(proxy.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"a request")
        answered = await reader.read()
        writer.close()
        return answered

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Proxy(f"postgresql://user@127.0.0.1:{port}/database") as proxy:
        proxy.cut_request(holding=b"request", after=after)
        assert await ask(proxy) == b""
        assert b"".join(got) == b"a request"[:after]
        proxy.cut_answer(holding=b"request", after=after)
        assert await ask(proxy) == b"an answer"[:after]
    server.close()


@pytest.mark.parametrize("after", [1, 5, 20])
async def test_a_part_of_a_request_does_nothing_and_what_was_done_stays(
    proxy: Proxy, passing: asyncpg.Connection, direct: asyncpg.Connection, after: int
) -> None:
    await passing.execute(_INSERT, "prepared")
    proxy.cut_request(holding=b"half a request", after=after)
    with pytest.raises(_CUT):
        await passing.execute(_INSERT, "half a request")
    other = await asyncpg.connect(proxy.url)
    await other.execute(_INSERT, "prepared too")
    proxy.cut_answer(holding=b"half an answer", after=after)
    with pytest.raises(_CUT):
        await other.execute(_INSERT, "half an answer")

    assert await texts(direct) == ["half an answer", "prepared", "prepared too"]


async def test_bytes_are_found_across_the_pieces_in_which_they_come(
    proxy: Proxy, passing: asyncpg.Connection
) -> None:
    """These are longer than the largest piece."""
    statement = await passing.prepare("SELECT $1::text")
    proxy.cut_answer(holding=b"needle" * 20_000)
    with pytest.raises(_CUT):
        await statement.fetchval("needle" * 20_000)


async def test_a_cut_is_of_one_connection_once(proxy: Proxy, passing: asyncpg.Connection) -> None:
    other = await asyncpg.connect(proxy.url)
    cut = proxy.cut_answer(holding=b"SELECT 42")
    await passing.execute("SELECT 41")
    with pytest.raises(_CUT):
        await passing.execute("SELECT 42")

    assert cut.done.is_set()
    assert await other.execute("SELECT 42") == "SELECT 1"
    assert (proxy.accepted, proxy.connections) == (2, 1)
    await other.close()


async def test_all_connections_are_cut_at_once(proxy: Proxy, passing: asyncpg.Connection) -> None:
    proxy.cut()
    with pytest.raises(_CUT):
        await passing.execute("SELECT 1")

    again = await asyncpg.connect(proxy.url)
    assert await again.execute("SELECT 1") == "SELECT 1"
    await again.close()


async def test_what_is_swallowed_is_never_answered(
    proxy: Proxy, passing: asyncpg.Connection, direct: asyncpg.Connection
) -> None:
    await passing.execute(_INSERT, "before")
    proxy.swallow()
    with pytest.raises(TimeoutError):
        await passing.execute(_INSERT, "swallowed", timeout=0.1)

    again = await asyncpg.connect(proxy.url)
    assert await texts(again) == ["before"]
    await again.close()


async def test_what_was_held_arrives_later(proxy: Proxy, passing: asyncpg.Connection) -> None:
    proxy.pause()
    asking = asyncio.create_task(passing.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    proxy.resume()

    assert not done
    assert await asking == 1


async def test_a_server_that_is_away_refuses_through_the_proxy(proxy: Proxy) -> None:
    async with Proxy("postgresql://postgres@127.0.0.1:1/postgres") as nowhere:
        with pytest.raises(_CUT):
            await asyncpg.connect(nowhere.url, timeout=5)


async def quickest(url: str) -> float:
    """Return the seconds of the quickest of many round trips."""
    connection = await asyncpg.connect(url)
    statement = await connection.prepare("SELECT 1")
    took: list[float] = []
    while len(took) < 50 or (len(took) < 5000 and min(took) >= 0.0015):  # on a busy machine
        began = time.perf_counter()
        await statement.fetch()
        took.append(time.perf_counter() - began)
    await connection.close()
    return min(took)


def test_as_a_program_its_delays_are_exact(postgres_url: str) -> None:
    with running(postgres_url, delay=0.0005) as url:
        assert 0.0005 <= asyncio.run(quickest(url)) < 0.0015
