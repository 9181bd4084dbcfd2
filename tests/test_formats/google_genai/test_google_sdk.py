"""What goes to the official client, and what it sends, against a server as strict as the API."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google import genai
from google.genai import types

from providers import exchanges
from providers.answers import Answer, Call
from providers.servers import ProviderServer, serving
from support.google_items import API, FORMAT, exactly, rendered, same, streamed
from tract import AsyncTract, from_google
from tract.formats.format import Reply, as_json
from tract.models.content import ToolIOContent

pytestmark = pytest.mark.long

MODEL = "gemini-3-pro-preview"
LOOP = (
    Answer(
        thinking="Two things are asked; I look up both.",
        text="Let me see.",
        calls=(Call("get_weather", {"city": "Oslo"}), Call("get_time", {})),
    ),
    Answer(text="Snow in Oslo, at 9:40."),
)
TOOLS = [{"functionDeclarations": [{"name": name} for name in ("get_weather", "get_time")]}]
either_way = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])


@asynccontextmanager
async def google_client(server: ProviderServer) -> AsyncIterator[Any]:
    options = types.HttpOptions(base_url=server.base_url(API))
    async with genai.Client(api_key="k", http_options=options).aio as client:
        yield client


async def answered(client: Any, arguments: dict[str, Any], *, is_stream: bool) -> Reply:
    """Return the answer to a request, as the client's objects give it."""
    if not is_stream:
        whole = await client.models.generate_content(model=MODEL, **arguments)
        found = FORMAT.reply(dict(as_json(whole) or {}))
        assert found is not None
        return found
    chunks = await client.models.generate_content_stream(model=MODEL, **arguments)
    return streamed([dict(as_json(each) or {}) async for each in chunks])


@either_way
async def test_a_tool_loop_goes_through_the_client_with_its_signatures(is_stream: bool) -> None:
    """The server refuses signatures that are missing or not its own."""
    async with (
        serving(*LOOP) as server,
        google_client(server) as client,
        AsyncTract.open() as tract,
    ):
        asked = "What are the weather and the time in Oslo?"
        for content in from_google(asked, system_instruction="Be brief.", tools=TOOLS):
            await tract.commit(content)
        first = await answered(client, (await request(tract)), is_stream=is_stream)
        await commit_all(tract, first)
        for call in (await tract.compile()).open_calls:
            result = ToolIOContent(
                tool_name=call.name, direction="result", payload="Snow", call_id=call.id
            )
            await tract.commit(result)
        second = await answered(client, (await request(tract)), is_stream=is_stream)

    assert server.refused == []
    assert [next(iter(part)) for part in first.items[0]["parts"]] == [
        "text",
        "text",
        "functionCall",
        "functionCall",
    ]
    assert second.items == [{"role": "model", "parts": [{"text": LOOP[1].text}]}]
    assert server.requests[1]["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert len(server.requests[1]["tools"][0]["functionDeclarations"]) == 2


async def request(tract: AsyncTract) -> dict[str, Any]:
    return (await tract.compile()).request(API, model=MODEL)


async def commit_all(tract: AsyncTract, reply: Reply) -> None:
    for content in FORMAT.contents(reply.items):
        await tract.commit(content)


async def test_calls_that_another_model_made_are_accepted() -> None:
    call = ToolIOContent(tool_name="f", direction="call", payload={"a": 1}, call_id="toolu_1")
    result = ToolIOContent(tool_name="f", direction="result", payload="2", call_id="toolu_1")
    async with (
        serving(Answer(text="Well.")) as server,
        google_client(server) as client,
        AsyncTract.open() as tract,
    ):
        for content in (*from_google("Go."), call, result):
            await tract.commit(content)
        context = await tract.compile()
        await client.models.generate_content(model=MODEL, **context.request(API, model=MODEL))

    assert server.refused == []
    assert [loss.what for loss in context.losses] == ["signature"]


async def test_bytes_go_over_the_wire_as_they_were() -> None:
    data = bytes(range(256)) * 16
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(data).decode()
        parts = [
            {"inlineData": {"mimeType": "image/png", "data": text}},
            {"text": "Hm.", "thoughtSignature": text},
        ]
        item = {"role": "user", "parts": parts}
        async with (
            serving(Answer(text="Well.")) as server,
            google_client(server) as client,
            AsyncTract.open() as tract,
        ):
            for content in from_google([item]):
                await tract.commit(content)
            given = (await tract.compile()).request(API)
            await client.models.generate_content(model=MODEL, **given)

        assert given == {"contents": [item]}
        assert wire(server.requests[0]["contents"]) == wire([item])


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Serve one answer to all requests, whatever they are, and list their bodies."""
    bodies: list[dict[str, Any]] = []
    answer = b'{"candidates": [{"content": {"role": "model", "parts": [{"text": "Well."}]}}]}'
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}"

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(asked.partition("content-length:")[2].split()[0])
        bodies.append(json.loads(await reader.readexactly(length)))
        writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", bodies


async def test_recorded_requests_go_over_the_wire_as_they_were() -> None:
    """The client writes bytes in the URL-safe alphabet, and some keys in snake case."""
    path = exchanges.path()
    if not path.is_file():
        pytest.skip(f"no exchanges at {path}; ASYNCTRACT_TRANSCRIPTS names their folder")
    recorded = [each for each in exchanges.read(path) if each.api == API]
    keys = ("contents", "systemInstruction")
    async with listening() as (url, bodies):
        options = types.HttpOptions(base_url=url)
        async with genai.Client(api_key="k", http_options=options).aio as client:
            for exchange in recorded:
                asked = copy.deepcopy(exchange.request)
                instruction = asked.get("systemInstruction")
                contents = from_google(asked["contents"], system_instruction=instruction)
                given = exactly(rendered(contents))
                await client.models.generate_content(model="gemini-2.0", **given)

    for exchange, arrived in zip(recorded, bodies, strict=True):
        given = {key: exchange.request[key] for key in keys if key in exchange.request}
        found = {key: arrived[key] for key in keys if key in arrived}
        assert same(wire(found), wire(given)), exchange.id


def wire(value: Any) -> Any:
    """Return JSON with its keys in one spelling, and base64 in one alphabet."""
    if isinstance(value, list):
        return [wire(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, each in value.items():
        name = re.sub(r"_([a-z])", lambda letter: letter[1].upper(), key)
        is_bytes = name in ("data", "thoughtSignature") and isinstance(each, str)
        made[name] = each.translate({43: "-", 47: "_"}) if is_bytes else wire(each)
    return made


@either_way
async def test_what_the_client_answers_is_what_was_sent(is_stream: bool) -> None:
    async with serving(*LOOP) as server, google_client(server) as client:
        found = await answered(client, {"contents": "Hi"}, is_stream=is_stream)

    calls = [part["functionCall"] for part in found.items[0]["parts"][2:]]
    assert [(call["name"], call["args"]) for call in calls] == list(LOOP[0].calls)
    assert found.items[0]["parts"][1] == {"text": LOOP[0].text}
    assert found.usage is not None
    assert (found.model, found.response_id) == ("gemini-3-pro-preview", "response-1")
    assert found.items[0]["parts"][0] == {"text": LOOP[0].thinking, "thought": True}
