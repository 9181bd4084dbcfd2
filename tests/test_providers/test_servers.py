"""The providers' stand-ins, spoken to without a client: what they refuse, and how they answer."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest

from providers.answers import Answer, Body, Call
from providers.exchanges import Event, Exchange, parse_events
from providers.servers import SPEAKERS, ProviderServer, serving

ANSWER = Answer(
    thinking="Two things: one, two.",
    text="Let me see.",
    calls=(Call("get_weather", {"city": "Oslo"}), Call("get_time", {})),
)
Change = Callable[[Body], Any]


class Step(NamedTuple):
    """A first request of an API, the one that follows its answer, and ways to spoil that."""

    path: str
    request: Body
    follow: Callable[[Body], Body]
    strip: Change
    change: Change


def _chat(whole: Body) -> Body:
    message = whole["choices"][0]["message"]
    message = {key: value for key, value in message.items() if value is not None}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "…"}
        for call in message["tool_calls"]
    ]
    return {"model": "m", "messages": [*CHAT["messages"], message, *results]}


def _responses(whole: Body) -> Body:
    output = whole["output"]
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "…"}
        for item in output
        if item["type"] == "function_call"
    ]
    return {"model": "m", "input": [*RESPONSES["input"], *output, *results]}


def _messages(whole: Body) -> Body:
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "…"}
        for block in whole["content"]
        if block["type"] == "tool_use"
    ]
    said = {"role": "assistant", "content": whole["content"]}
    answered = {"role": "user", "content": results}
    return {**MESSAGES, "messages": [*MESSAGES["messages"], said, answered]}


def _gemini(whole: Body) -> Body:
    said = whole["candidates"][0]["content"]
    called = [part["functionCall"] for part in said["parts"] if "functionCall" in part]
    results = [
        {"functionResponse": {"id": call["id"], "name": call["name"], "response": {}}}
        for call in called
    ]
    return {"contents": [*GEMINI["contents"], said, {"role": "user", "parts": results}]}


CHAT: Body = {"model": "m", "messages": [{"role": "user", "content": "Weather and time?"}]}
RESPONSES: Body = {"model": "m", "input": [{"role": "user", "content": "Weather and time?"}]}
MESSAGES: Body = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "Weather?"}]}
GEMINI: Body = {"contents": [{"role": "user", "parts": [{"text": "Weather and time?"}]}]}

STEPS = {
    "openai.chat": Step(
        "/v1/chat/completions",
        CHAT,
        _chat,
        lambda body: body["messages"][1]["tool_calls"][0].pop("extra_content"),
        lambda body: body["messages"][1].update(reasoning_content="Two things: one,  two."),
    ),
    "openai.responses": Step(
        "/v1/responses",
        RESPONSES,
        _responses,
        lambda body: body["input"].pop(1),
        lambda body: body["input"][1].update(encrypted_content="c2ln"),
    ),
    "anthropic.messages": Step(
        "/v1/messages",
        MESSAGES,
        _messages,
        lambda body: body["messages"][1]["content"].pop(0),
        lambda body: body["messages"][1]["content"][0].update(signature="c2ln"),
    ),
    "google.generate_content": Step(
        "/v1beta/models/gemini-2.5-flash:generateContent",
        GEMINI,
        _gemini,
        lambda body: body["contents"][1]["parts"][2].pop("thoughtSignature"),
        lambda body: body["contents"][1]["parts"][2].update(thoughtSignature="c2ln"),
    ),
}
each_api = pytest.mark.parametrize("api", SPEAKERS)


async def post(server: ProviderServer, path: str, body: Body) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    return await asyncio.to_thread(_post, server.url + path, json.dumps(body).encode())


def _post(url: str, data: bytes) -> tuple[int, str]:
    try:
        with urlopen(HttpRequest(url, data, method="POST")) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


async def ask(server: ProviderServer, api: str, body: Body) -> tuple[int, Body]:
    status, text = await post(server, STEPS[api].path, body)
    return status, json.loads(text)


@each_api
async def test_a_step_whose_thinking_comes_back_whole_is_answered(api: str) -> None:
    async with serving(ANSWER, Answer(text="Snow.")) as server:
        _, whole = await ask(server, api, STEPS[api].request)
        following = STEPS[api].follow(whole)
        status, reply = await ask(server, api, following)

    assert (status, server.refused) == (200, [])
    assert server.requests == [STEPS[api].request, following]
    assert "Snow." in json.dumps(reply)


@each_api
@pytest.mark.parametrize("spoil", ["strip", "change"])
async def test_a_step_is_refused_whose_signature_is_dropped_or_another(
    api: str, spoil: str
) -> None:
    async with serving(ANSWER, Answer(text="Snow.")) as server:
        _, whole = await ask(server, api, STEPS[api].request)
        good, spoilt = STEPS[api].follow(whole), STEPS[api].follow(json.loads(json.dumps(whole)))
        getattr(STEPS[api], spoil)(spoilt)
        status, error = await ask(server, api, spoilt)
        after, _ = await ask(server, api, good)

    assert (status, after) == (400, 200), "a refused request uses no answer up"
    assert len(server.refused) == 1
    assert server.refused[0][0].startswith("request: dropped-signature: ")
    assert server.refused[0][0] in error["error"]["message"]


@pytest.mark.parametrize("api", sorted(SPEAKERS.keys() - {"openai.chat"}))
async def test_what_another_server_signed_is_refused(api: str) -> None:
    async with serving(ANSWER) as elsewhere:
        _, whole = await ask(elsewhere, api, STEPS[api].request)
    async with serving(Answer(text="Snow.")) as server:
        status, _ = await ask(server, api, STEPS[api].follow(whole))

    assert status == 400
    assert server.refused[0][0].startswith("request: foreign-signature: ")


@pytest.mark.parametrize("api", ["anthropic.messages", "google.generate_content"])
async def test_what_was_thought_in_an_earlier_turn_may_be_left_out(api: str) -> None:
    async with serving(ANSWER, Answer(text="Snow."), Answer(text="Yes.")) as server:
        _, whole = await ask(server, api, STEPS[api].request)
        body = STEPS[api].follow(whole)
        await ask(server, api, body)
        if api == "anthropic.messages":
            body["messages"] += [{"role": "assistant", "content": "Snow."}, *MESSAGES["messages"]]
        else:
            body["contents"] += [{"role": "model", "parts": [{"text": "Snow."}]}]
            body["contents"] += GEMINI["contents"]
        STEPS[api].strip(body)
        status, _ = await ask(server, api, body)

    assert (status, server.refused) == (200, [])


@each_api
async def test_a_request_is_refused_for_what_the_validator_finds(api: str) -> None:
    async with serving(ANSWER, Answer(text="Snow.")) as server:
        _, whole = await ask(server, api, STEPS[api].request)
        following = STEPS[api].follow(whole)
        key = next(key for key in ("messages", "input", "contents") if key in following)
        following[key].pop()
        status, error = await ask(server, api, following)

    assert status == 400
    assert "call-without-result" in error["error"]["message"]


async def test_a_script_that_is_over_is_no_fault_of_the_request() -> None:
    async with serving() as server:
        status, _ = await ask(server, "openai.chat", CHAT)

    assert (status, server.requests, server.refused) == (500, [], [])


@each_api
def test_streams_have_the_shapes_of_recorded_ones(api: str, recorded: list[Exchange]) -> None:
    shapes: dict[str, set[str]] = defaultdict(set)
    alike = [each for each in recorded if each.api == api and not each.failed]
    for event in _recorded_events(alike):
        shapes[_kind(event)] |= set(_paths(event.data))
    named = any(event.name for event in _recorded_events(alike))

    for event in SPEAKERS[api].events(SPEAKERS[api].whole(ANSWER, 1, STEPS[api].request)):
        assert set(_paths(event.data)) - shapes[_kind(event)] == set(), event
        assert bool(event.name) == named


def _recorded_events(exchanges: list[Exchange]) -> Iterator[Event]:
    for exchange in exchanges:
        yield from exchange.events
        if exchange.api == "google.generate_content":  # whose whole replies are such events, too
            yield from (Event(None, answer) for answer in exchange.answers)


@each_api
def test_whole_replies_have_the_shape_of_recorded_ones(api: str, recorded: list[Exchange]) -> None:
    paths: set[str] = set()
    for exchange in recorded:
        if exchange.api == api and exchange.reply is not None:
            paths |= set(_paths(exchange.reply))
    whole = SPEAKERS[api].whole(ANSWER, 1, STEPS[api].request)

    assert set(_paths(whole)) - paths == set()


async def test_a_stream_is_ended_as_the_provider_ends_it() -> None:
    async with serving(ANSWER, ANSWER) as server:
        _, chat = await post(server, STEPS["openai.chat"].path, {**CHAT, "stream": True})
        _, messages = await post(server, "/v1/messages", {**MESSAGES, "stream": True})

    assert chat.endswith("data: [DONE]\n\n")
    assert [event.name for event in parse_events(messages)][-1] == "message_stop"


async def test_a_client_that_leaves_a_held_stream_is_noticed() -> None:
    async with serving(Answer(text="It snows in Oslo.", hold_after=3)) as server:
        reader, writer = await asyncio.open_connection(*_address(server))
        data = json.dumps({**CHAT, "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await reader.readuntil(b"It snow")
        assert not server.left.is_set()
        writer.close()
        async with asyncio.timeout(20):
            await server.left.wait()


async def test_a_stream_can_be_cut_off() -> None:
    async with serving(Answer(text="It snows in Oslo.", cut_after=3)) as server:
        with pytest.raises((ConnectionError, HTTPException)):
            await post(server, STEPS["openai.chat"].path, {**CHAT, "stream": True})


def _address(server: ProviderServer) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return host, int(port)


def _kind(event: Event) -> str:
    """Return what an event is: its type, and those of the block, item or delta in it."""
    within = [event.data.get(key) for key in ("content_block", "delta", "item", "part")]
    kinds = [each["type"] for each in within if isinstance(each, dict) and "type" in each]
    return " ".join([str(event.data.get("type")), *kinds])


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of a JSON value's keys, without those that callers choose.

    Nor with what Gemini adds to calls of Chat Completions, which no recorded reply has.
    """
    if path.endswith((".input", ".args", ".tools[]", ".response.output[]")):
        return
    if isinstance(value, dict):
        for key in value.keys() - {"extra_content"}:
            yield f"{path}.{key}"
            yield from _paths(value[key], f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each, f"{path}[]")
