"""A proxy before a server that delays, cuts, swallows or holds what passes.

In a test it runs on the test's event loop, where a delay is a multiple of a millisecond. As a
program it is exact: `running`, or `python tests/support/postgres/proxy.py URL SECONDS`.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Cut", "Proxy", "running"]

_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)


class Way(Enum):
    REQUEST = "to the server"
    ANSWER = "to the client"


@dataclass
class Cut:
    """A cut of one connection at a chosen byte, which `done` tells of."""

    way: Way
    after: int
    holding: bytes
    done: asyncio.Event = field(default_factory=asyncio.Event)
    link: _Link | None = None  # once a request has held the bytes


class Proxy:
    """A proxy on the loopback interface, open within `async with`.

    Attributes:
        delay: Seconds that a round trip takes longer.
        accepted: Connections made so far.
        trips: Round trips so far: requests that follow an answer, or nothing.
    """

    def __init__(self, url: str, *, delay: float = 0.0) -> None:
        """Stand before the server of *url*."""
        self.delay = delay
        self.accepted = 0
        self.trips = 0
        self._target = urlsplit(url)
        self._links: dict[_Link, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut: Cut | None = None

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The URL of the same database through this proxy."""
        port = self._listener.sockets[0].getsockname()[1]
        user, at, _ = self._target.netloc.rpartition("@")
        return self._target._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    def cut(self) -> None:
        """Reset all connections at once; new ones are let through."""
        for link in self._links:
            link.reset()

    def cut_request(self, *, holding: bytes = b"", after: int = 0) -> Cut:
        """Cut the connection of the next request that holds some bytes.

        Args:
            holding: What the request holds.
            after: How many bytes of it the server still gets.
        """
        self._cut = Cut(Way.REQUEST, after, holding)
        return self._cut

    def cut_answer(self, *, holding: bytes = b"", after: int = 0) -> Cut:
        """Cut the connection when the answer to the next request that holds some bytes comes.

        The server has done then what it was asked to.

        Args:
            holding: What the request holds; of a prepared statement, bytes of an argument, since its
                text is a request of its own.
            after: How many bytes of the answer the client still gets.
        """
        self._cut = Cut(Way.ANSWER, after, holding)
        return self._cut

    def swallow(self, number: int | None = None) -> None:
        """Drop all that passes on the present connections, as a firewall does that forgot them.

        Args:
            number: Of the only one that is meant, in the order in which they were made.
        """
        links = [*self._links]
        for link in links if number is None else [links[number]]:
            link.swallows = True

    def pause(self) -> None:
        """Hold all that passes, on new connections too, until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let through what was held."""
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(self._target.hostname, self._target.port or 5432)
        except OSError:
            writer.close()
            return
        link = _Link(reader, writer, *server)
        self._links[link] = None
        self.accepted += 1
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(link, Way.REQUEST))
                group.create_task(self._pass_on(link, Way.ANSWER))
        except* (ConnectionError, _Severed):
            pass
        finally:
            self._links.pop(link, None)
            link.close()

    async def _pass_on(self, link: _Link, way: Way) -> None:
        """Read one side of a link, and write to the other when it is time."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def deliver() -> None:
            while True:
                due, data = await held.get()
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                await self._flowing.wait()
                await self._deliver(link, way, data)

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            while True:
                data = await link.read(way)
                held.put_nowait((loop.time() + self.delay / 2, data))
                if not data:
                    return

    async def _deliver(self, link: _Link, way: Way, data: bytes) -> None:
        if link.swallows:
            return
        if not data:
            raise _Severed
        if way is Way.REQUEST and link.last is not way:
            self.trips += 1
        link.last = way
        if (cut := self._cut) is not None and (allowed := self._allowed(cut, link, way, data)) >= 0:
            await link.write(way, data[:allowed])
            self._cut = None
            link.close()
            cut.done.set()
            raise _Severed
        await link.write(way, data)

    def _allowed(self, cut: Cut, link: _Link, way: Way, data: bytes) -> int:
        """Return how many bytes of *data* go through before the cut, -1 for all and no cut."""
        if way is Way.REQUEST and cut.link is None:
            kept = len(link.recent) - len(cut.holding) + 1
            link.recent = link.recent[max(kept, 0) :] + data
            if cut.holding in link.recent:
                cut.link = link
        if cut.link is not link or cut.way is not way:
            return -1
        allowed, cut.after = cut.after, cut.after - len(data)
        return allowed if cut.after < 0 else -1


class _Severed(Exception):
    """A connection has ended."""


class _Link:
    """A client's connection, and the one to the server for it."""

    def __init__(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self.swallows = False
        self.last = Way.ANSWER
        self.recent = b""
        self._readers = {Way.REQUEST: client, Way.ANSWER: server}
        self._writers = {Way.REQUEST: to_server, Way.ANSWER: to_client}

    async def read(self, way: Way) -> bytes:
        return await self._readers[way].read(_CHUNK)

    async def write(self, way: Way, data: bytes) -> None:
        self._writers[way].write(data)
        await self._writers[way].drain()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def reset(self) -> None:
        for writer in self._writers.values():
            of_writer: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):
                of_writer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


@contextmanager
def running(url: str, *, delay: float) -> Iterator[str]:
    """Run a proxy as a program of its own, whose delays are exact; yield the URL through it."""
    program = [sys.executable, __file__, url, str(delay)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _run(url: str, delay: float) -> None:
    async with Proxy(url, delay=delay) as proxy:
        print(proxy.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("delay", type=float, help="seconds a round trip")
    given = parser.parse_args()
    # Others round what they wait for up to a millisecond.
    selector = selectors.SelectSelector()
    with (
        suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner,
    ):
        runner.run(_run(given.url, given.delay))
