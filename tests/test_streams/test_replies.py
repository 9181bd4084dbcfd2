"""Whole replies of any API: what one call commits, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion

from support.replies import contents
from tract import (
    AsyncTract,
    CommitNotFoundError,
    ContentValidationError,
    DialogueContent,
    HeadMovedError,
    NativeContent,
    NullTokenCounter,
    StoreReadOnlyError,
    ToolIOContent,
    TractStore,
    UnknownKindWarning,
)
from tract.formats.registry import FORMATS

CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "At 9:40."},
        }
    ],
    "usage": {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34},
}
THOUGHT = [
    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    {"type": "text", "text": "At 9:40."},
]
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": THOUGHT,
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 30, "output_tokens": 4},
}


@pytest.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as opened:
        await opened.user("When does it leave?")
        yield opened


def chat(message: dict[str, Any], reason: str = "stop", **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}
    return {**CHAT, "choices": [choice], **fields}


def called(name: str, arguments: str = "{}", call_id: str = "call_1") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


# whole replies


@pytest.mark.parametrize("reply", [CHAT, ChatCompletion.model_validate(CHAT)], ids=["dict", "sdk"])
async def test_plain_text_becomes_a_dialogue_with_usage_and_what_the_api_said(
    tract: AsyncTract, reply: Any
) -> None:
    sent = await tract.head()
    [said] = await tract.record(reply, generation_config={"model": "gpt-5"}, metadata={"try": 1})

    assert await contents(tract, [said]) == [DialogueContent(role="assistant", text="At 9:40.")]
    assert said.generation_config == {"model": "gpt-5"}
    assert said.metadata == {
        "try": 1,
        "model": "gpt-5",
        "response_id": "chatcmpl-1",
        "finish_reason": "stop",
    }
    assert (await tract.compile(at_commit=sent)).token_source == "api:30+4"


@pytest.mark.parametrize("reply", [MESSAGE, Message.model_validate(MESSAGE)], ids=["dict", "sdk"])
async def test_thinking_is_kept_in_the_apis_own_item_and_sent_back(
    tract: AsyncTract, reply: Any
) -> None:
    [said] = await tract.record(reply)

    item = {"role": "assistant", "content": THOUGHT}
    assert await contents(tract, [said]) == [NativeContent(api="anthropic.messages", item=item)]
    assert (await tract.compile()).to_anthropic()["messages"][-1] == item


async def test_plain_calls_stay_tool_io(tract: AsyncTract) -> None:
    message = {"content": "Let me look.", "tool_calls": [called("find", '{"to": "Oslo"}')]}
    commits = await tract.record(chat(message, "tool_calls"))

    text, call = await contents(tract, commits)
    assert text == DialogueContent(role="assistant", text="Let me look.")
    assert call == ToolIOContent(
        tool_name="find", direction="call", payload='{"to": "Oslo"}', call_id="call_1"
    )


async def test_the_caller_may_change_a_reply_as_soon_as_the_call_began(tract: AsyncTract) -> None:
    reply = json.loads(json.dumps(MESSAGE))
    recording = asyncio.create_task(tract.record(reply))
    await asyncio.sleep(0)
    reply["content"][0]["signature"] = "changed"
    [said] = await recording

    [content] = await contents(tract, [said])
    assert content.item["content"] == THOUGHT


@pytest.mark.parametrize(
    "reply",
    [
        chat({"content": None}, "length"),
        chat({"content": ""}),
        {**MESSAGE, "content": []},
    ],
    ids=["length", "empty", "no blocks"],
)
async def test_a_reply_that_says_nothing_leaves_a_commit_out_of_the_context(
    tract: AsyncTract, reply: Any
) -> None:
    sent, before = await tract.head(), (await tract.compile()).messages
    said, skipped = await tract.record(reply)

    assert skipped.edit_target == said.commit_hash
    assert said.metadata is not None
    assert said.metadata["finish_reason"] in ("length", "stop", "end_turn")
    assert (await tract.compile()).messages == before
    assert (await tract.compile(at_commit=sent)).token_source == "api:30+4"


async def test_calls_that_were_cut_off_are_in_the_metadata_alone(tract: AsyncTract) -> None:
    message = {"content": "Let me", "tool_calls": [called("find", '{"to": ')]}
    [said] = await tract.record(chat(message, "length"))

    assert said.metadata is not None
    assert said.metadata["unfinished_tool_calls"] == [
        {"id": "call_1", "name": "find", "arguments": '{"to": '}
    ]
    assert (await tract.compile()).open_calls == []


@pytest.mark.parametrize("usage", [{"credits": 3}, {"prompt_tokens": "many"}])
async def test_a_report_of_an_unknown_shape_is_kept_as_it_came(
    tract: AsyncTract, usage: Any
) -> None:
    [said] = await tract.record(chat({"content": "Hi"}, usage=usage))

    assert said.metadata is not None
    assert said.metadata["usage"] == usage


async def test_secrets_in_a_report_are_kept_out_whatever_its_shape(
    tract: AsyncTract, subtests: pytest.Subtests
) -> None:
    for known in ({}, {"prompt_tokens": 1, "completion_tokens": 1}):
        with subtests.test(known=known):
            usage = {**known, "api_key": "sk-secret"}
            [said] = await tract.record(chat({"content": "Hi"}, usage=usage))

            assert "sk-secret" not in str(said.metadata)


async def test_usage_goes_to_the_head_that_was_compiled(tract: AsyncTract) -> None:
    sent = await tract.head()
    await tract.user("Quickly!")
    await tract.record(CHAT, head_hash=sent)

    assert (await tract.compile(at_commit=sent)).token_source == "api:30+4"


async def test_a_head_that_moved_leaves_neither_commit_nor_usage(tract: AsyncTract) -> None:
    sent = await tract.head()
    moved = await tract.user("Quickly!")
    with pytest.raises(HeadMovedError):
        await tract.record(CHAT, head_hash=sent, expected_head=sent)

    assert await tract.head() == moved.commit_hash
    assert not (await tract.compile(at_commit=sent)).token_source.startswith("api:")
    assert len(await tract.record(CHAT, expected_head=moved.commit_hash)) == 1


async def test_a_head_of_another_tract_is_not_found(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:
        theirs = await store.tract("theirs").user("hi")
        with pytest.raises(CommitNotFoundError):
            await store.tract("ours").record(CHAT, head_hash=theirs.commit_hash)

        assert await store.tract("ours").log() == []


async def test_a_reply_may_be_the_first_commit(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        [said] = await tract.record(CHAT)

        assert said.parent_hash is None


async def test_a_reply_is_whole_or_not_there_if_its_call_is_cancelled(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:
        message = {"content": "a", "tool_calls": [called("f")]}
        for turns in range(12):
            tract = store.tract(f"{turns}")
            task = asyncio.create_task(tract.record(chat(message, "tool_calls")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

            assert len(await tract.log(None)) in (0, 2)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "At 9:40.",
        7,
        {},
        [],
        {"text": "At 9:40."},
        {"role": "assistant", "content": "At 9:40."},
        {"error": {"message": "overloaded"}},
    ],
    ids=str,
)
async def test_what_is_no_reply_is_refused_with_the_names_of_the_apis(
    tract: AsyncTract, reply: Any
) -> None:
    head = await tract.head()
    with pytest.raises(ContentValidationError) as refused:
        await tract.record(reply)

    assert all(api in str(refused.value) for api in FORMATS)
    assert await tract.head() == head


async def replayed(event: Any) -> AsyncIterator[Any]:
    yield event


SAID = {"role": "model", "parts": [{"text": "Hm.", "thought_signature": b"\xff\xfe"}]}
GOOGLE = {"candidates": [{"content": SAID, "finish_reason": "STOP", "avg_logprobs": math.nan}]}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_the_sdks_dicts_hold_beside_json_is_kept_as_their_json_has_it(
    tract: AsyncTract, streamed: bool
) -> None:
    given = GenerateContentResponse.model_validate(GOOGLE).model_dump(exclude_none=True)
    if streamed:
        recording = tract.record_stream(replayed(given))
        [said] = [event async for event in recording] and recording.commits
    else:
        [said] = await tract.record(given)

    [content] = await contents(tract, [said])
    assert content.item["parts"] == [{"text": "Hm.", "thought_signature": "__4="}]


def nested(levels: int) -> Any:
    return 1 if levels == 0 else [nested(levels - 1)]


@pytest.mark.parametrize(
    "value", [object(), {"a": print}, 10**5000, nested(300)], ids=["object", "in", "long", "deep"]
)
async def test_what_json_cannot_hold_costs_a_reply_nothing_else(
    tract: AsyncTract, value: Any
) -> None:
    message = {"role": "assistant", "content": "Hi", "extra": value}
    choice = {"index": 0, "finish_reason": "stop", "delta": message}
    usage = {**CHAT["usage"], "cost": math.nan, "when": datetime.now(UTC)}
    with pytest.warns(UnknownKindWarning) as told:
        [whole] = await tract.record(chat(message, usage=usage))
    recording = tract.record_stream(replayed({**CHAT, "choices": [choice], "usage": usage}))
    with pytest.warns(UnknownKindWarning) as told_again:
        [_] = [event async for event in recording]

    assert "left out: reply.choices[0].message.extra" in str(told[0].message)
    assert "left out: message.extra" in str(told_again[0].message)
    for commits in ([whole], recording.commits):
        [said] = await contents(tract, commits)
        assert "Hi" in str(said)
    assert (await tract.compile(at_commit=recording.commits[0].parent_hash)).token_count == 30


LACKING: dict[str, Any] = {
    "no choices": {**CHAT, "choices": None},
    "no message": {**CHAT, "choices": [{"index": 0, "finish_reason": "error"}]},
    "message of null": chat({}, "error") | {"choices": [{"message": None}], "object": None},
    "content of null": {**MESSAGE, "content": None},
    "output of null": {
        "object": "response",
        "output": None,
        "usage": {"input_tokens": 30, "output_tokens": 4},
    },
}


@pytest.mark.parametrize("reply", LACKING.values(), ids=LACKING)
async def test_a_reply_that_lacks_what_it_should_hold_leaves_a_commit_and_its_usage(
    tract: AsyncTract, reply: Any
) -> None:
    sent = await tract.head()
    await tract.record(reply)

    assert await tract.head() != sent
    assert (await tract.compile(at_commit=sent)).token_source == "api:30+4"


async def test_a_message_whose_content_is_a_text_is_kept(tract: AsyncTract) -> None:
    await tract.record({**MESSAGE, "content": "At 9:40."})

    assert (await tract.compile()).messages[-1].content == "At 9:40."


async def test_a_report_of_no_prompt_at_all_is_kept_and_counts_nothing(tract: AsyncTract) -> None:
    sent = await tract.head()
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    [said] = await tract.record(chat({"content": "Hi"}, usage=usage))

    assert said.metadata is not None
    assert said.metadata["usage"] == usage
    assert not (await tract.compile(at_commit=sent)).token_source.startswith("api:")


async def test_a_read_only_store_refuses_a_reply(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        await tract.user("hi")
    uri = f"file:{db_path}?mode=ro"
    async with AsyncTract.open(uri, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        with pytest.raises(StoreReadOnlyError):
            await tract.record(CHAT)


# names of tools that an API does not take


@pytest.mark.parametrize("extra", [{}, {"reasoning_content": "Hm."}], ids=["plain", "native"])
async def test_a_call_by_a_mended_name_is_committed_under_the_tools_own(
    tract: AsyncTract, extra: dict[str, Any]
) -> None:
    definition = {"type": "function", "function": {"name": "fs.read file", "parameters": {}}}
    await tract.tools([definition])
    context = await tract.compile()
    [tool] = context.request("openai.chat")["tools"]
    mended = tool["function"]["name"]
    assert mended != "fs.read file"
    message = {"content": None, "tool_calls": [called(mended)], **extra}
    commits = await tract.record(chat(message, "tool_calls"), head_hash=context.head_hash)

    again = await tract.compile()
    assert [call.name for call in again.open_calls] == ["fs.read file"]
    assert mended not in str(await contents(tract, commits))
    sent = json.dumps(again.request("openai.chat")["messages"])
    assert mended in sent
    assert "fs.read file" not in sent


async def test_a_name_that_only_looks_mended_stays(tract: AsyncTract) -> None:
    for tools in ([], [{"name": "fs.read", "input_schema": {"type": "object"}}]):
        await tract.tools(tools)
        message = {"content": None, "tool_calls": [called("find_0123abcd")]}
        await tract.record(chat(message, "tool_calls"))

        assert (await tract.compile()).open_calls[-1].name == "find_0123abcd"
