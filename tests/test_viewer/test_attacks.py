"""The server under clients that mean it no good: it answers everybody else, and nothing is left of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from support.viewing import TOKEN
from tract import TractStore
from tract.viewer import serve

HEADERS = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
NONSENSE = {
    "no host": ("/api/tracts", f"Authorization: Bearer {TOKEN}\r\n", 400),
    "two hosts": ("/api/tracts", f"Host: evil.example\r\n{HEADERS}", 400),
    "another site's address": ("http://evil.example/api/tracts", HEADERS, 404),
    "a huge parameter": (f"/api/search?tract=t&text={'a' * 60_000}", HEADERS, 200),
    "a huge header": ("/api/tracts", f"{HEADERS}X: {'a' * 200_000}\r\n", 400),
    "a huge number": (f"/api/commits?tract=t&limit={'9' * 5_000}", HEADERS, 400),
    "a NUL": ("/api/commits?tract=%00", HEADERS, 400),
    "bytes that are no text": ("/api/search?tract=t&text=%ff%ed%a0%80", HEADERS, 200),
    "a long name": (f"/api/refs?tract={'x' * 5_000}", HEADERS, 400),
    "a long hash": (f"/api/commit?tract=t&hash={'f' * 5_000}", HEADERS, 404),
    "a way out": ("/../../etc/passwd", HEADERS, 404),
    "a way out, escaped": ("/%2e%2e/..%2fetc/passwd", HEADERS, 404),
}


@pytest_asyncio.fixture
async def port(store: TractStore) -> AsyncIterator[int]:
    """The port of a server with one tract, t."""
    await store.tract("t").user("Hello")
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(store, token=TOKEN, on_start=started.set_result))
    yield int((await started).split(":")[2].partition("/")[0])
    serving.cancel()
    await asyncio.wait([serving])


def request(path: str, headers: str = HEADERS) -> bytes:
    return f"GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode()


async def status(port: int, sent: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    line = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_is_answered_as_such(port: int, what: str) -> None:
    path, headers, expected = NONSENSE[what]

    assert await status(port, request(path, headers)) == expected
    assert await status(port, request("/api/tracts")) == 200


async def test_what_is_not_http_is_answered_as_such(port: int) -> None:
    assert await status(port, b"\x16\x03\x01\x00\xff" * 10 + b"\r\n\r\n") == 400
    assert await status(port, request("/api/tracts")) == 200


async def test_slow_and_gone_clients_hold_up_nobody_and_leave_nothing(
    port: int, store: TractStore
) -> None:
    before = asyncio.all_tasks()
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    for _, writer in slow:
        writer.write(b"GET / HTTP/1.1\r\nHost: 127")
    watching = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    for reader, writer in watching:
        writer.write(request("/api/events?tract=t"))
        await asyncio.wait_for(reader.readuntil(b"data: "), 30)

    assert await status(port, request("/api/tracts")) == 200
    await store.tract("t").user("News")
    for reader, _ in watching:
        await asyncio.wait_for(reader.readuntil(b"data: "), 30)
    for _, writer in (*slow, *watching):
        writer.transport.abort()
    _, left = await asyncio.wait(asyncio.all_tasks() - before, timeout=30)
    assert left == set()
    assert await status(port, request("/api/tracts")) == 200


async def closed(reader: asyncio.StreamReader) -> bool:
    """Read until the server closes the connection."""
    with suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 30)
    return True


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: 127", request("/api/tracts")[:-2]],
    ids=["nothing", "half a header", "all but the end"],
)
async def test_who_never_ends_a_request_is_cut_off(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)

    assert await closed(reader)
    writer.close()


async def test_who_sends_a_request_byte_by_byte_is_cut_off(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ended = asyncio.create_task(closed(reader))
    for byte in request("/api/tracts", f"{HEADERS}X: {'a' * 200}\r\n"):
        writer.write(bytes([byte]))
        if (await asyncio.wait([ended], timeout=0.2))[0]:
            break

    assert ended.done()
    writer.close()


async def test_hundreds_who_never_end_a_request_do_not_keep_the_owner_out(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("/api/events?tract=t"))
    await asyncio.wait_for(reader.readuntil(b"data: "), 30)
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
    for _, each in idle:
        each.write(b"GET / HTTP/1.1\r\nHost: 127")

    assert await status(port, request("/api/tracts")) == 200
    assert all(await asyncio.gather(*(closed(each) for each, _ in idle)))
    assert not reader.at_eof()  # a page that is watched stays
    for each in (writer, *(each for _, each in idle)):
        each.transport.abort()
