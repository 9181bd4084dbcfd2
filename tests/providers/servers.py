"""Stand-ins for the providers' APIs on the loopback interface, as strict as the providers.

A request is judged by its API's validator, and by what the server gave out before: thinking and
signatures of a tool loop that goes on have to come back to the byte, and none may come from
elsewhere. A request that fails gets status 400 with what is wrong.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from providers.answers import Answer, Body, Seal, Speaker
from providers.exchanges import Event
from providers.rules import problem
from providers.speaking import chat, gemini, messages, responses
from providers.validators import problems

SPEAKERS: dict[str, Speaker] = {
    each.api: each for each in (chat.SPEAKER, responses.SPEAKER, messages.SPEAKER, gemini.SPEAKER)
}

_GEMINI = re.compile(r"/v1(?:beta)?/models/([^/:]+):(streamG|g)enerateContent")
_PATHS = {
    "/v1/chat/completions": chat.SPEAKER,
    "/v1/responses": responses.SPEAKER,
    "/v1/responses/compact": responses.COMPACTION,
    "/v1/messages": messages.SPEAKER,
}

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)


class Asked(NamedTuple):
    """A request as it arrived."""

    speaker: Speaker
    model: str
    streamed: bool
    body: Body


class ProviderServer:
    """Answers the requests of any of the four APIs from its script, in order.

    Attributes:
        requests: The bodies of the requests that were answered.
        refused: What was wrong with each of the others.
        holding: Set when an answer is held.
        left: Set when a client goes before its answer's end.
    """

    def __init__(self, script: tuple[Answer, ...], *, provider: str) -> None:
        self.requests: list[Body] = []
        self.refused: list[list[str]] = []
        self.holding = asyncio.Event()
        self.left = asyncio.Event()
        self.url = ""
        self._script = list(script)
        self._provider = provider
        self._seals: list[Seal] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def base_url(self, api: str) -> str:
        """Return the `base_url` that the API's client takes."""
        return self.url + SPEAKERS[api].base

    def judge(self, asked: Asked) -> list[str]:
        """Return what the provider would refuse a request for."""
        api, body = asked.speaker.api, asked.body
        found = problems(api, body, provider=self._provider, model=asked.model)
        if found:
            return found
        calls, signed = asked.speaker.sent(body)
        foreign = signed - {seal.value for seal in self._seals} if asked.speaker.verifies else set()
        return [
            *(
                problem("request", "dropped-signature", f"{seal.value} must be passed back")
                for seal in self._seals
                if seal.calls & calls and seal.value not in signed
            ),
            *(problem("request", "foreign-signature", each) for each in sorted(foreign)),
        ]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's request."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(await _read(reader), reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if found := self.judge(asked):
            self.refused.append(found)
            await _send(writer, 400, asked.speaker.error("; ".join(found)))
            return
        if not self._script:
            await _send(writer, 500, asked.speaker.error("the script has no more answers"))
            return
        self.requests.append(asked.body)
        answer = self._script.pop(0)
        whole = asked.speaker.whole(answer, len(self.requests), asked.body)
        self._seals += asked.speaker.seals(whole)
        if not asked.streamed and answer.hold_after is not None:
            self.holding.set()
            await reader.read()
            self.left.set()
        elif not asked.streamed:
            await _send(writer, 200, whole)
        else:
            events = list(asked.speaker.events(whole))
            await self._stream(asked.speaker, events, answer, reader, writer)

    async def _stream(
        self,
        speaker: Speaker,
        events: list[Event],
        answer: Answer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        writer.write(_STREAM_HEAD)
        gone = asyncio.create_task(reader.read())
        try:
            for number, event in enumerate(events):
                if number == answer.hold_after:
                    self.holding.set()
                    await gone
                if number == answer.cut_after:
                    await asyncio.sleep(0.02)  # what was sent arrives first
                    writer.transport.abort()
                if gone.done() or writer.transport.is_closing():
                    self.left.set()
                    return
                await _write_event(writer, event)
            await _end(writer, speaker)
        finally:
            gone.cancel()

    async def close(self) -> None:
        """End the connections that are still open."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def serving(*script: Answer, provider: str = "openai") -> AsyncIterator[ProviderServer]:
    """Serve the four APIs; *provider* names whose dialect of OpenAI's is spoken."""
    provided = ProviderServer(script, provider=provider)
    listening = await asyncio.start_server(provided.handle, "127.0.0.1", 0)
    provided.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield provided
    finally:
        listening.close()
        await provided.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"(?im)^content-length: *(\d+)", head)
    assert length is not None, head
    body: Body = json.loads(await reader.readexactly(int(length[1])))
    target = head.split(" ", 2)[1].partition("?")[0]
    if found := _GEMINI.fullmatch(target):
        return Asked(gemini.SPEAKER, found[1], found[2] == "streamG", body)
    return Asked(_PATHS[target], str(body.get("model")), bool(body.get("stream")), body)


async def _send(writer: asyncio.StreamWriter, status: int, body: Body) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    await writer.drain()


async def _write_event(writer: asyncio.StreamWriter, event: Event) -> None:
    named = f"event: {event.name}\n" if event.name else ""
    await _chunk(writer, f"{named}data: {json.dumps(event.data)}\n\n")


async def _end(writer: asyncio.StreamWriter, speaker: Speaker) -> None:
    if speaker.ends_with_done:
        await _chunk(writer, "data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _chunk(writer: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()
