"""The official clients against the providers' stand-ins: a tool loop of two steps, both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types
from google.genai.errors import ClientError

from providers.answers import Answer, Call
from providers.servers import ProviderServer, serving

pytestmark = pytest.mark.long

LOOP = (
    Answer(
        thinking="Two things are asked; I look up both.",
        text="Let me see.",
        calls=(Call("get_weather", {"city": "Oslo"}), Call("get_time", {})),
    ),
    Answer(text="Snow in Oslo, at 9:40."),
)
RESULTS = {"get_weather": "Snow", "get_time": "9:40"}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
ASKED = "What are the weather and the time in Oslo?"

Loop = Callable[..., Any]
either_way = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@asynccontextmanager
async def openai_client(server: ProviderServer) -> AsyncIterator[openai.AsyncOpenAI]:
    url = server.base_url("openai.chat")
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield client


@asynccontextmanager
async def anthropic_client(server: ProviderServer) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = server.base_url("anthropic.messages")
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
        yield client


@asynccontextmanager
async def google_client(server: ProviderServer) -> AsyncIterator[Any]:
    url = server.base_url("google.generate_content")
    options = types.HttpOptions(base_url=url)
    async with genai.Client(api_key="k", http_options=options).aio as client:
        yield client


async def chat_step(
    client: openai.AsyncOpenAI, messages: list[Any], *, streamed: bool
) -> dict[str, Any]:
    """Return the assistant's message."""
    tools: Any = [
        {"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in RESULTS
    ]
    arguments: dict[str, Any] = {"model": "gpt-5.4", "messages": messages, "tools": tools}
    if not streamed:
        whole = await client.chat.completions.create(**arguments)
        return dict(whole.choices[0].message.to_dict())
    message: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": []}
    async for chunk in await client.chat.completions.create(**arguments, stream=True):
        for choice in chunk.to_dict()["choices"]:
            _add_delta(message, choice["delta"])
    return {key: value for key, value in message.items() if value}


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key in ("content", "reasoning_content"):
        message[key] = message.get(key, "") + (delta.get(key) or "")
    for call in delta.get("tool_calls", ()):
        if "id" in call:
            message["tool_calls"].append({k: v for k, v in call.items() if k != "index"})
        else:
            opened = message["tool_calls"][call["index"]]["function"]
            opened["arguments"] += call["function"]["arguments"]


@either_way
async def test_openai_completes_a_tool_loop_of_chat_completions(streamed: bool) -> None:
    async with serving(*LOOP) as server, openai_client(server) as client:
        messages: list[Any] = [{"role": "user", "content": ASKED}]
        first = await chat_step(client, messages, streamed=streamed)
        messages += [first, *_tool_messages(first)]
        second = await chat_step(client, messages, streamed=streamed)

    assert server.refused == []
    assert [call["function"]["name"] for call in first["tool_calls"]] == list(RESULTS)
    assert second["content"] == LOOP[1].text


def _tool_messages(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": RESULTS[call["function"]["name"]]}
        for call in message["tool_calls"]
    ]


async def responses_step(
    client: openai.AsyncOpenAI, given: list[Any], *, streamed: bool
) -> list[dict[str, Any]]:
    """Return the output items."""
    tools: Any = [{"type": "function", "name": name, "parameters": SCHEMA} for name in RESULTS]
    arguments: dict[str, Any] = {"model": "gpt-5.4", "input": given, "tools": tools}
    if not streamed:
        whole = await client.responses.create(**arguments)
        return [dict(item.to_dict()) for item in whole.output]
    async with client.responses.stream(**arguments) as stream:
        done = [e.item.to_dict() async for e in stream if e.type == "response.output_item.done"]
        final = await stream.get_final_response()
    assert [item.to_dict()["id"] for item in final.output] == [item["id"] for item in done]
    return [dict(item) for item in done]


@either_way
async def test_openai_completes_a_tool_loop_of_responses(streamed: bool) -> None:
    async with serving(*LOOP) as server, openai_client(server) as client:
        given: list[Any] = [{"role": "user", "content": ASKED}]
        first = await responses_step(client, given, streamed=streamed)
        given += [*first, *_outputs(first)]
        second = await responses_step(client, given, streamed=streamed)

    assert server.refused == []
    assert [item["type"] for item in first] == ["reasoning", "message", *["function_call"] * 2]
    assert second[0]["content"][0]["text"] == LOOP[1].text


def _outputs(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    calls = [item for item in items if item["type"] == "function_call"]
    return [
        {"type": "function_call_output", "call_id": c["call_id"], "output": RESULTS[c["name"]]}
        for c in calls
    ]


async def messages_step(
    client: anthropic.AsyncAnthropic, messages: list[Any], *, streamed: bool
) -> list[dict[str, Any]]:
    """Return the content blocks."""
    arguments: dict[str, Any] = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 4096,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": messages,
        "tools": [{"name": name, "input_schema": SCHEMA} for name in RESULTS],
    }
    if not streamed:
        return [dict(b.to_dict()) for b in (await client.messages.create(**arguments)).content]
    async with client.messages.stream(**arguments) as stream:
        return [dict(b.to_dict()) for b in (await stream.get_final_message()).content]


@either_way
async def test_anthropic_completes_a_tool_loop_of_messages(streamed: bool) -> None:
    async with serving(*LOOP) as server, anthropic_client(server) as client:
        messages: list[Any] = [{"role": "user", "content": ASKED}]
        first = await messages_step(client, messages, streamed=streamed)
        messages += [{"role": "assistant", "content": first}, _tool_results(first)]
        second = await messages_step(client, messages, streamed=streamed)

    assert server.refused == []
    assert [block["type"] for block in first] == ["thinking", "text", *["tool_use"] * 2]
    assert second == [{"type": "text", "text": LOOP[1].text}]


def _tool_results(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    calls = [block for block in blocks if block["type"] == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": c["id"], "content": RESULTS[c["name"]]}
        for c in calls
    ]
    return {"role": "user", "content": results}


async def google_step(client: Any, contents: list[Any], *, streamed: bool) -> types.Content:
    """Return the model's content."""
    declared = [types.FunctionDeclaration(name=n, parameters_json_schema=SCHEMA) for n in RESULTS]
    off = types.AutomaticFunctionCallingConfig(disable=True)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=declared)], automatic_function_calling=off
    )
    arguments = {"model": "gemini-3-pro-preview", "contents": contents, "config": config}
    if not streamed:
        whole = await client.models.generate_content(**arguments)
        content: types.Content = whole.candidates[0].content
        return content
    parts: list[types.Part] = []
    async for chunk in await client.models.generate_content_stream(**arguments):
        parts += chunk.candidates[0].content.parts or []
    return types.Content(role="model", parts=[part for part in parts if part.text != ""])


@either_way
async def test_google_completes_a_tool_loop_of_generate_content(streamed: bool) -> None:
    async with serving(*LOOP) as server, google_client(server) as client:
        contents = [types.Content(role="user", parts=[types.Part(text=ASKED)])]
        first = await google_step(client, contents, streamed=streamed)
        contents += [first, _function_responses(first)]
        second = await google_step(client, contents, streamed=streamed)

    assert server.refused == []
    assert [c.name for c in _function_calls(first)] == list(RESULTS)
    assert "".join(part.text or "" for part in second.parts or ()) == LOOP[1].text


def _function_calls(content: types.Content) -> list[types.FunctionCall]:
    return [part.function_call for part in content.parts or () if part.function_call]


def _function_responses(content: types.Content) -> types.Content:
    answered = [
        types.FunctionResponse(id=c.id, name=c.name, response={"output": RESULTS[str(c.name)]})
        for c in _function_calls(content)
    ]
    return types.Content(role="user", parts=[types.Part(function_response=r) for r in answered])


async def test_a_chat_without_a_result_is_refused_with_the_call_that_lacks_it() -> None:
    async with serving(*LOOP) as server, openai_client(server) as client:
        messages: list[Any] = [{"role": "user", "content": ASKED}]
        first = await chat_step(client, messages, streamed=False)
        messages += [first, _tool_messages(first)[0]]
        with pytest.raises(openai.BadRequestError, match="call-without-result"):
            await chat_step(client, messages, streamed=False)

    assert server.refused[0][0].startswith("messages[1].tool_calls[1]: call-without-result: ")


async def test_responses_without_an_output_are_refused_with_the_call_that_lacks_it() -> None:
    async with serving(*LOOP) as server, openai_client(server) as client:
        given: list[Any] = [{"role": "user", "content": ASKED}]
        first = await responses_step(client, given, streamed=False)
        with pytest.raises(openai.BadRequestError, match="call-without-result"):
            await responses_step(client, [*given, *first, _outputs(first)[0]], streamed=False)

    assert server.refused[0][0].startswith("input[4]: call-without-result: ")


async def test_messages_without_a_result_are_refused_with_the_call_that_lacks_it() -> None:
    async with serving(*LOOP) as server, anthropic_client(server) as client:
        messages: list[Any] = [{"role": "user", "content": ASKED}]
        first = await messages_step(client, messages, streamed=False)
        results = _tool_results(first)
        results["content"].pop()
        messages += [{"role": "assistant", "content": first}, results]
        with pytest.raises(anthropic.BadRequestError, match="call-without-result"):
            await messages_step(client, messages, streamed=False)

    assert server.refused[0][0].startswith("messages[1].content[3]: call-without-result: ")


async def test_contents_without_a_response_are_refused() -> None:
    async with serving(*LOOP) as server, google_client(server) as client:
        contents = [types.Content(role="user", parts=[types.Part(text=ASKED)])]
        first = await google_step(client, contents, streamed=False)
        responses = _function_responses(first)
        responses.parts = (responses.parts or [])[:1]
        with pytest.raises(ClientError, match="call-without-result"):
            await google_step(client, [*contents, first, responses], streamed=False)

    assert server.refused[0] == ["contents[1]: call-without-result: 1 responses to 2 calls"]
