"""Providers that answer with server-sent events, on the loopback interface, for their real clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai

Event = dict[str, Any]

CUT: Event = {"cut": "the connection"}
"""In a script: reset the connection."""
HOLD: Event = {"hold": "until the client goes"}
"""In a script: send nothing any more."""

CALLS = [
    ("call_a", "find_flights", ['{"to": ', '"Oslo", "day"', ": 1}"]),
    ("call_b", "get_weather", ['{"city"', ':"Oslo"}']),
]


class Provider:
    """Answers every POST with the events of its script; a client that disconnects sets `closed`."""

    def __init__(self, script: Sequence[Event], *, named: bool) -> None:
        self._script = script
        self._named = named
        self.closed = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) is not None:
                await reader.readexactly(_content_length(head))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n"
                )
                for event in self._script:
                    if event is CUT:
                        await asyncio.sleep(0.02)  # lets what was sent arrive first
                        writer.transport.abort()
                        return
                    if event is HOLD:
                        await reader.read()
                        return
                    writer.write(_chunk(self._text(event)))
                    await writer.drain()
                if not self._named:
                    writer.write(_chunk("data: [DONE]\n\n"))
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()

    def _text(self, event: Event) -> str:
        name = f"event: {event['type']}\n" if self._named else ""
        return f"{name}data: {json.dumps(event)}\n\n"


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[str]:
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def openai_stream(
    script: Sequence[Event],
) -> AsyncIterator[openai.AsyncStream[openai.types.chat.ChatCompletionChunk]]:
    """Yield the stream of a Chat Completions call that is answered with *script*."""
    async with (
        serving(Provider(script, named=False)) as url,
        openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as client,
    ):
        yield await client.chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": "Hi"}], stream=True
        )


@asynccontextmanager
async def anthropic_client(script: Sequence[Event]) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Yield a client whose every call is answered with *script*."""
    async with (
        serving(Provider(script, named=True)) as url,
        anthropic.AsyncAnthropic(api_key="none", base_url=url, max_retries=0) as client,
    ):
        yield client


@asynccontextmanager
async def anthropic_stream(
    script: Sequence[Event],
) -> AsyncIterator[anthropic.AsyncStream[anthropic.types.RawMessageStreamEvent]]:
    """Yield the stream of a Messages call that is answered with *script*."""
    async with anthropic_client(script) as client:
        yield await client.messages.create(
            model="claude-sonnet-5-5",
            max_tokens=100,
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
        )


def chunk(delta: Event | None = None, finish: str | None = None, **fields: Any) -> Event:
    """Return a chunk of a Chat Completions stream; without arguments it has no choice."""
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish, "logprobs": None}]
    return {
        "id": "chatcmpl-7",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "gpt-5-2026-01-01",
        "choices": choices if delta is not None or finish is not None else [],
        **fields,
    }


def texts(*parts: str) -> list[Event]:
    return [chunk({"role": "assistant", "content": ""}), *[chunk({"content": p}) for p in parts]]


def call_start(index: int) -> Event:
    call_id, name, _ = CALLS[index]
    function = {"name": name, "arguments": ""}
    call = {"index": index, "id": call_id, "type": "function", "function": function}
    return chunk({"tool_calls": [call]})


def call_part(index: int, part: int) -> Event:
    function = {"arguments": CALLS[index][2][part]}
    return chunk({"tool_calls": [{"index": index, "function": function}]})


def interleaved_calls() -> list[Event]:
    """Return two calls whose parts arrive interleaved."""
    starts = [call_start(0), call_start(1)]
    parts = [call_part(0, 0), call_part(1, 0), call_part(0, 1), call_part(1, 1), call_part(0, 2)]
    return [*starts, *parts, chunk({}, "tool_calls")]


def usage_chunk() -> Event:
    return chunk(usage={"prompt_tokens": 40, "completion_tokens": 8, "total_tokens": 48})


def message_start() -> Event:
    message: Event = {
        "id": "msg_7",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5-20260101",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 30, "cache_read_input_tokens": 10, "output_tokens": 1},
    }
    return {"type": "message_start", "message": message}


def block(index: int, content: Event, *deltas: Event) -> list[Event]:
    """Return the events of one content block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


def text_block(index: int, *parts: str) -> list[Event]:
    deltas = [{"type": "text_delta", "text": part} for part in parts]
    return block(index, {"type": "text", "text": ""}, *deltas)


def thinking_block(index: int, *parts: str) -> list[Event]:
    deltas: list[Event] = [{"type": "thinking_delta", "thinking": part} for part in parts]
    signed = {"type": "signature_delta", "signature": "c2lnbmVk"}
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, signed)


def tool_block(index: int, number: int, *, parts: int | None = None) -> list[Event]:
    call_id, name, arguments = CALLS[number]
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in arguments[:parts]]
    content = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    return block(index, content, *deltas)


def message_end(reason: str = "tool_use") -> list[Event]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 12}},
        {"type": "message_stop"},
    ]
