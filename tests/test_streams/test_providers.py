"""Recordings of the official clients' streams, over HTTP: what they keep, whole or cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from support import sse
from tract import (
    AsyncTract,
    CommitInfo,
    CommitNotFoundError,
    NativeContent,
    NullTokenCounter,
    TractStore,
)

CONFIG = {"model": "gpt-5", "temperature": 0.3}
WHOLE = [*sse.texts("Let me ", "look."), *sse.interleaved_calls(), sse.usage_chunk()]
CALLS = [(call_id, name, "".join(parts)) for call_id, name, parts in sse.CALLS]


@pytest.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as opened:
        await opened.user("Find me a flight.")
        yield opened


async def new_commits(tract: AsyncTract) -> list[CommitInfo]:
    return [info for info in (await tract.log(None))[::-1] if info.parent_hash is not None]


async def calls_of(tract: AsyncTract) -> list[tuple[Any, str, str]]:
    messages = (await tract.compile()).messages
    return [(call.id, call.name, call.arguments) for m in messages for call in m.tool_calls]


# OpenAI


async def test_openai_chunks_are_passed_on_as_the_client_gave_them(tract: AsyncTract) -> None:
    async with sse.openai_stream(WHOLE) as response:
        passed = [chunk async for chunk in tract.record_openai(response)]

    assert all(isinstance(item, openai.types.chat.ChatCompletionChunk) for item in passed)
    assert [item.model_dump(exclude_unset=True) for item in passed] == WHOLE


async def test_openai_text_and_interleaved_calls_are_kept_to_the_byte(tract: AsyncTract) -> None:
    async with sse.openai_stream(WHOLE) as response:
        recording = tract.record_openai(response, generation_config=CONFIG, metadata={"try": 1})
        async for _ in recording:
            pass

    commits = await new_commits(tract)
    context = await tract.compile()
    assert recording.commits == commits
    assert [info.content_type for info in commits] == ["dialogue", "tool_io", "tool_io"]
    assert context.messages[-1].content == "Let me look."
    assert await calls_of(tract) == CALLS
    assert [info.generation_config for info in commits] == [CONFIG] * 3
    named = {"model": "gpt-5-2026-01-01", "response_id": "chatcmpl-7"}
    assert [info.metadata for info in commits] == [
        {"try": 1, **named, "finish_reason": "tool_calls"}
    ] * 3


async def test_openai_usage_belongs_to_the_head_that_was_sent(tract: AsyncTract) -> None:
    sent = await tract.head()
    async with sse.openai_stream(WHOLE) as response:
        async for _ in tract.record_openai(response):
            pass

    context = await tract.compile(at_commit=sent)
    assert (context.token_count, context.token_source) == (40, "api:40+8")


async def test_usage_goes_to_the_head_that_is_named(tract: AsyncTract) -> None:
    sent = await tract.head()
    await tract.user("And quickly!")
    async with sse.openai_stream(WHOLE) as response:
        async for _ in tract.record_openai(response, head_hash=sent):
            pass

    assert (await tract.compile(at_commit=sent)).token_source == "api:40+8"


async def test_usage_goes_to_the_head_that_a_tag_named_when_the_response_began(
    tract: AsyncTract,
) -> None:
    sent = await tract.head()
    await tract.tag("sent")
    async with sse.openai_stream(WHOLE) as response:
        async with tract.record_openai(response, head_hash="sent") as recording:
            await anext(recording)
            await tract.delete_tag("sent")
            async for _ in recording:
                pass

    assert (await tract.compile(at_commit=sent)).token_source == "api:40+8"
    assert await calls_of(tract) == CALLS


async def test_a_connection_cut_in_a_call_keeps_the_rest_and_no_half_call(
    tract: AsyncTract,
) -> None:
    script = [*sse.texts("Let me ", "look."), sse.call_start(0), sse.call_part(0, 0), sse.CUT]
    async with sse.openai_stream(script) as response:
        with pytest.raises(openai.APIError) as cut:
            async for _ in tract.record_openai(response, generation_config=CONFIG):
                pass

    [kept] = await new_commits(tract)
    assert kept.metadata is not None
    assert kept.metadata["interrupted"] is True
    assert kept.metadata["reason"] == f"error: {type(cut.value).__name__}"
    assert kept.metadata["unfinished_tool_calls"] == [
        {"id": "call_a", "name": "find_flights", "arguments": '{"to": '}
    ]
    assert kept.generation_config == CONFIG
    assert (await tract.compile()).messages[-1].content == "Let me look."
    assert await calls_of(tract) == []


async def test_a_connection_cut_keeps_the_calls_that_were_whole(tract: AsyncTract) -> None:
    first = [sse.call_start(0), *[sse.call_part(0, part) for part in range(3)]]
    async with sse.openai_stream([*first, sse.call_start(1), sse.CUT]) as response:
        with pytest.raises(openai.APIError):
            async for _ in tract.record_openai(response):
                pass

    assert await calls_of(tract) == CALLS[:1]


async def test_half_a_call_alone_is_on_record_but_out_of_the_context(tract: AsyncTract) -> None:
    before = (await tract.compile()).to_openai()
    async with sse.openai_stream([sse.call_start(0), sse.call_part(0, 0), sse.CUT]) as response:
        with pytest.raises(openai.APIError):
            async for _ in tract.record_openai(response):
                pass

    kept, skipped = await new_commits(tract)
    assert kept.metadata is not None
    assert kept.metadata["unfinished_tool_calls"][0]["arguments"] == '{"to": '
    assert skipped.edit_target == kept.commit_hash
    assert (await tract.compile()).to_openai() == before


async def test_nothing_of_a_cut_response_is_kept_if_so_asked(tract: AsyncTract) -> None:
    async with sse.openai_stream([*sse.texts("Let me "), sse.CUT]) as response:
        with pytest.raises(openai.APIError):
            async for _ in tract.record_openai(response, on_interrupt="discard"):
                pass

    assert await new_commits(tract) == []


async def test_a_response_that_just_stops_is_interrupted(tract: AsyncTract) -> None:
    async with sse.openai_stream(sse.texts("Let me ")) as response:
        async for _ in tract.record_openai(response):
            pass

    [kept] = await new_commits(tract)
    assert kept.metadata is not None
    assert kept.metadata["reason"] == "incomplete"


async def test_an_empty_response_commits_nothing(tract: AsyncTract) -> None:
    async with sse.openai_stream([]) as response:
        recording = tract.record_openai(response)

        assert [chunk async for chunk in recording] == []
    assert recording.commits == []
    assert await new_commits(tract) == []


async def test_a_call_that_ran_out_of_tokens_is_no_call(tract: AsyncTract) -> None:
    script = [sse.call_start(0), sse.call_part(0, 0), sse.chunk({}, "length")]
    async with sse.openai_stream(script) as response:
        async for _ in tract.record_openai(response):
            pass

    kept, _ = await new_commits(tract)
    assert kept.metadata is not None
    assert kept.metadata["finish_reason"] == "length"
    assert "interrupted" not in kept.metadata
    assert await calls_of(tract) == []


async def test_a_consumer_that_breaks_off_is_recorded_before_the_store_closes(
    target: Any,
) -> None:
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as first:
        script = [*sse.texts("Let me ", "look."), sse.HOLD]
        async with sse.openai_stream(script) as response:
            async for chunk in first.record_openai(response):
                if chunk.choices[0].delta.content == "look.":
                    break

    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as again:
        [kept] = await again.log()
        content = await again.get_content(kept.commit_hash)
    assert content.model_dump()["text"] == "Let me look."
    assert kept.metadata is not None
    assert kept.metadata["reason"] == "closed"


async def test_leaving_early_closes_the_response(target: Path | str) -> None:
    provider = sse.Provider([*sse.texts("Let me "), sse.HOLD], named=False)
    async with (
        AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract,
        sse.serving(provider) as url,
        openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as client,
    ):
        response = await client.chat.completions.create(model="m", messages=[], stream=True)
        async with tract.record_openai(response) as chunks:
            await anext(chunks)

        await asyncio.wait_for(provider.closed.wait(), 20)


async def test_who_stops_after_the_finish_reason_has_the_whole_reply(tract: AsyncTract) -> None:
    async with sse.openai_stream([*WHOLE, sse.HOLD]) as response:
        async with tract.record_openai(response) as chunks:
            async for chunk in chunks:
                if chunk.choices and chunk.choices[0].finish_reason:
                    break

    commits = await new_commits(tract)
    assert await calls_of(tract) == CALLS
    assert [info for info in commits if "interrupted" in (info.metadata or {})] == []


async def test_an_error_of_the_consumer_is_the_reason(tract: AsyncTract) -> None:
    async def consume(response: Any) -> None:
        async with tract.record_openai(response) as chunks:
            async for chunk in chunks:
                if chunk.choices[0].delta.content:
                    raise LookupError("no such tool")

    async with sse.openai_stream([*sse.texts("Let me "), sse.HOLD]) as response:
        with pytest.raises(LookupError):
            await consume(response)

    [kept] = await new_commits(tract)
    assert kept.metadata is not None
    assert kept.metadata["reason"] == "error: LookupError"


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_consumer_keeps_what_came(tract: AsyncTract, times: int) -> None:
    came = asyncio.Event()

    async def consume(response: Any) -> None:
        async for chunk in tract.record_openai(response):
            if chunk.choices[0].delta.content:
                came.set()

    async with sse.openai_stream([*sse.texts("Let me "), sse.HOLD]) as response:
        task = asyncio.create_task(consume(response))
        await came.wait()
        await asyncio.sleep(0.01)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])

    assert task.cancelled()
    [kept] = await new_commits(tract)
    assert kept.metadata is not None
    assert kept.metadata["reason"] == "cancelled"


async def test_the_clients_own_stream_helper_is_understood(tract: AsyncTract) -> None:
    provider = sse.Provider(WHOLE, named=False)
    async with (
        sse.serving(provider) as url,
        openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as client,
        client.chat.completions.stream(model="gpt-5", messages=[]) as events,
    ):
        async for _ in tract.record_openai(events):
            pass

    assert await calls_of(tract) == CALLS
    assert (await tract.compile()).messages[-1].content == "Let me look."


# Anthropic

ANSWER = [
    sse.message_start(),
    *sse.thinking_block(0, "Oslo, ", "then."),
    *sse.text_block(1, "Let me ", "look."),
    *sse.tool_block(2, 0),
    *sse.tool_block(3, 1),
    *sse.message_end(),
]


async def test_anthropic_events_are_passed_on_as_the_client_gave_them(tract: AsyncTract) -> None:
    async with sse.anthropic_stream(ANSWER) as response:
        passed = [event async for event in tract.record_anthropic(response)]

    assert [event.type for event in passed] == [event["type"] for event in ANSWER]


THINKING = {"type": "thinking", "thinking": "Oslo, then.", "signature": "c2lnbmVk"}
ITEM = {
    "role": "assistant",
    "content": [
        THINKING,
        {"type": "text", "text": "Let me look."},
        *[
            {"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)}
            for call_id, name, arguments in CALLS
        ],
    ],
}


async def test_an_anthropic_reply_is_one_commit_and_its_usage_is_kept(tract: AsyncTract) -> None:
    sent = await tract.head()
    async with sse.anthropic_stream(ANSWER) as response:
        recording = tract.record_anthropic(response, generation_config=CONFIG)
        async for _ in recording:
            pass

    [said] = await new_commits(tract)
    content = await tract.get_content(said.commit_hash, as_=NativeContent)
    assert (content.api, content.item) == ("anthropic.messages", ITEM)
    assert (recording.text, recording.reasoning) == ("Let me look.", "Oslo, then.")
    assert [call.name for call in recording.tool_calls] == [name for _, name, _ in CALLS]
    assert said.generation_config == CONFIG
    assert said.metadata == {
        "model": "claude-sonnet-5-5-20260101",
        "response_id": "msg_7",
        "finish_reason": "tool_use",
    }
    assert (await tract.compile(at_commit=sent)).token_source == "api:40+12"


async def test_thinking_goes_back_as_it_came_with_its_signature(tract: AsyncTract) -> None:
    async with sse.anthropic_stream(ANSWER) as response:
        async for _ in tract.record_anthropic(response):
            pass

    request = (await tract.compile()).to_anthropic(open_calls="keep")
    assert request["messages"][-1] == ITEM


async def test_the_message_stream_helper_gives_the_same(tract: AsyncTract) -> None:
    """Its events repeat what the raw ones say; nothing may come twice."""
    async with (
        sse.anthropic_client(ANSWER) as client,
        client.messages.stream(model="claude-sonnet-5-5", max_tokens=9, messages=[]) as events,
    ):
        async for _ in tract.record_anthropic(events):
            pass

    assert (await tract.compile()).to_anthropic(open_calls="keep")["messages"][-1] == ITEM


async def test_an_anthropic_connection_cut_in_a_call_keeps_no_half_call(tract: AsyncTract) -> None:
    *begun, _ = sse.tool_block(1, 0, parts=2)
    script = [sse.message_start(), *sse.text_block(0, "Let me look."), *begun, sse.CUT]
    async with sse.anthropic_stream(script) as response:
        with pytest.raises(httpx2.TransportError) as cut:
            async for _ in tract.record_anthropic(response):
                pass

    [kept] = await new_commits(tract)
    assert kept.metadata is not None
    assert kept.metadata["reason"] == f"error: {type(cut.value).__name__}"
    assert kept.metadata["unfinished_tool_calls"] == [
        {"id": "call_a", "name": "find_flights", "arguments": '{"to": "Oslo", "day"'}
    ]
    assert await calls_of(tract) == []


async def test_a_call_without_arguments_gets_an_empty_object(tract: AsyncTract) -> None:
    script = [sse.message_start(), *sse.tool_block(0, 0, parts=0), *sse.message_end()]
    async with sse.anthropic_stream(script) as response:
        async for _ in tract.record_anthropic(response):
            pass

    assert await calls_of(tract) == [("call_a", "find_flights", "{}")]


async def test_a_head_of_another_tract_is_refused_before_the_first_chunk(
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:
        theirs = await store.tract("theirs").user("hi")
        async with sse.openai_stream(WHOLE) as response:
            recording = store.tract("ours").record_openai(response, head_hash=theirs.commit_hash)
            with pytest.raises(CommitNotFoundError):
                await anext(recording)
            await response.close()

        assert await store.tract("ours").log() == []
