"""What the SDK's client returns, whole and streamed, goes back as the API takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.lib._parsing._responses import parse_response
from openai.types.responses import Response
from pydantic import BaseModel

from providers.answers import Answer, Call
from providers.servers import serving
from support.responses_items import FORMAT, messages_of, rendered, sent, streamed
from tract import from_responses
from tract.formats.format import Reply, as_json
from tract.formats.openai_responses.kinds import kind_of

Ask = Callable[[AsyncOpenAI, dict[str, Any]], Awaitable[Reply]]

ANSWERS = (
    Answer(thinking="I need the time.", text="Wait.", calls=(Call("f", {"a": 1}), Call("g", {}))),
    Answer(text="It is late."),
)


@asynccontextmanager
async def asking() -> AsyncIterator[AsyncOpenAI]:
    """Serve the script, as strict as the API, to a client."""
    async with serving(*ANSWERS) as server:
        url = server.base_url("openai.responses")
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            yield client
        assert server.refused == []
        assert len(server.requests) == 2


async def whole(client: AsyncOpenAI, request: dict[str, Any]) -> Reply:
    reply = FORMAT.reply(dict(as_json(await client.responses.create(**request)) or {}))
    assert reply is not None
    return reply


async def parsed(client: AsyncOpenAI, request: dict[str, Any]) -> Reply:
    reply = FORMAT.reply(dict(as_json(await client.responses.parse(**request)) or {}))
    assert reply is not None
    return reply


async def as_stream(client: AsyncOpenAI, request: dict[str, Any]) -> Reply:
    stream = await client.responses.create(**request, stream=True)
    return streamed([as_json(event) or {} async for event in stream])


async def with_helper(client: AsyncOpenAI, request: dict[str, Any]) -> Reply:
    async with client.responses.stream(**request) as stream:
        return streamed([as_json(event) or {} async for event in stream])


@pytest.mark.parametrize("ask", [whole, parsed, as_stream, with_helper])
async def test_a_loop_with_tools_is_accepted_at_each_step(ask: Ask) -> None:
    items: list[Any] = [{"role": "user", "content": "What time is it?"}]
    async with asking() as client:
        for _ in ANSWERS:
            request = sent(messages_of(*items))
            reply = await ask(client, {"model": "gpt-5.4", **request})
            assert reply.unfinished == ()
            assert reply.unknown == ()
            items += reply.items
            calls = [item for item in reply.items if kind_of(item) == "function_call"]
            items += [
                {"type": "function_call_output", "call_id": call["call_id"], "output": "9:40"}
                for call in calls
            ]

    kinds = [kind_of(item) for item in items]
    assert [kind for kind in kinds if kind != "message"] == [
        "reasoning",
        *["function_call"] * 2,
        *["function_call_output"] * 2,
    ]


async def test_output_items_as_objects_are_input_as_the_api_takes_it() -> None:
    async with asking() as client:
        contents = from_responses("What time is it?", instructions="Be brief.")
        for _ in ANSWERS:
            request = sent(rendered(contents))
            response = await client.responses.parse(model="gpt-5.4", **request)
            contents += from_responses(response.output)
            contents += from_responses(
                [
                    {"type": "function_call_output", "call_id": item.call_id, "output": "9:40"}
                    for item in response.output
                    if item.type == "function_call"
                ]
            )


class Time(BaseModel):
    """What the model is to answer."""

    hour: int


def test_what_the_sdk_parses_is_not_sent() -> None:
    said = {"type": "output_text", "text": '{"hour": 9}', "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "fc_1"}
    output = [{**message, "content": [said]}, call]
    response = Response.construct(object="response", status="completed", output=output)
    answer = parse_response(text_format=Time, input_tools=[], response=response)
    assert answer.output_parsed == Time(hour=9)

    reply = FORMAT.reply(dict(as_json(answer) or {}))
    contents = from_responses(answer.output)

    assert reply is not None
    assert reply.items == output
    assert sent(rendered(contents[:1]))["input"] == output[:1]
    assert contents[0].model_dump()["item"] == output[0]
    assert (
        sent(messages_of(*[dict(as_json(item) or {}) for item in answer.output]))["input"][:2]
        == output
    )
