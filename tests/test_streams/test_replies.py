"""Whole replies and streams of any API, by one call each: what they commit, and what they refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from providers import exchanges
from support import sse
from tract import (
    AsyncTract,
    CommitInfo,
    CommitNotFoundError,
    ContentValidationError,
    DialogueContent,
    HeadMovedError,
    NativeContent,
    NullTokenCounter,
    Recording,
    StoreReadOnlyError,
    ToolIOContent,
    TractStore,
    UnknownKindWarning,
)
from tract.formats.deltas import apply
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
async def tract() -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(tokenizer=NullTokenCounter()) as opened:
        await opened.user("When does it leave?")
        yield opened


async def stream(events: Iterable[Any]) -> AsyncIterator[Any]:
    for event in events:
        yield event


async def drained(recording: Recording[Any]) -> Recording[Any]:
    async for _ in recording:
        pass
    return recording


async def contents(tract: AsyncTract, commits: Iterable[CommitInfo]) -> list[Any]:
    own = [info.commit_hash for info in commits if info.content_type != "annotation"]
    return [await tract.get_content(commit_hash) for commit_hash in own]


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


async def test_a_head_of_another_tract_is_not_found() -> None:
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        theirs = await store.tract("theirs").user("hi")
        with pytest.raises(CommitNotFoundError):
            await store.tract("ours").record(CHAT, head_hash=theirs.commit_hash)

        assert await store.tract("ours").log() == []


async def test_a_reply_may_be_the_first_commit() -> None:
    async with AsyncTract.open(tokenizer=NullTokenCounter()) as tract:
        [said] = await tract.record(CHAT)

        assert said.parent_hash is None


async def test_a_reply_is_whole_or_not_there_if_its_call_is_cancelled(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tokenizer=NullTokenCounter()) as tract:
        message = {"content": "a", "tool_calls": [called("f")]}
        for turns in range(12):
            before = len(await tract.log(None))
            task = asyncio.create_task(tract.record(chat(message, "tool_calls")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

            assert len(await tract.log(None)) - before in (0, 2)


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


async def test_a_reply_that_json_cannot_hold_is_refused_with_the_path(tract: AsyncTract) -> None:
    with pytest.raises(ContentValidationError) as refused:
        await tract.record(chat({"content": "Hi", "extra": {1, 2}}))

    assert refused.value.path == "reply.choices[0].message.extra"


async def test_a_read_only_store_refuses_a_reply(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        await tract.user("hi")
    uri = f"file:{db_path}?mode=ro"
    async with AsyncTract.open(uri, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        with pytest.raises(StoreReadOnlyError):
            await tract.record(CHAT)


# streams, told apart by their first event


TEXT = [*sse.texts("Let me ", "look."), sse.chunk({}, "stop"), sse.usage_chunk()]
EVENTS = [
    sse.message_start(),
    *sse.thinking_block(0, "Oslo."),
    *sse.text_block(1, "Let me look."),
    *sse.message_end("end_turn"),
]


@pytest.mark.parametrize(
    "events",
    [
        TEXT,
        EVENTS,
        [{"type": "ping"}, *EVENTS],
        [{"type": "ping"}, {"type": "keepalive", "sequence_number": 1}, None, {}, *TEXT],
        [sse.chunk(prompt_filter_results=[], model="", id=""), *TEXT],
    ],
    ids=["chat", "anthropic", "ping", "keep-alives", "empty chunk"],
)
async def test_the_first_event_that_says_something_tells_the_api(
    tract: AsyncTract, events: list[Any]
) -> None:
    sent = await tract.head()
    recording = tract.record_stream(stream(events))
    passed = [event async for event in recording]

    assert passed == events
    assert recording.text == "Let me look."
    assert len(recording.commits) == 1
    assert (await tract.compile(at_commit=sent)).token_source.startswith("api:")


STRANGE: list[list[Any]] = [
    ["Hello", " world"],
    [{"delta": "Hello"}, {"delta": " world"}],
    [b"data: {}"],
    [{"type": "ping"}, {"kind": "of another API"}, {"type": "ping"}],
]


@pytest.mark.parametrize("events", STRANGE, ids=str)
@pytest.mark.parametrize("call", ["record_stream", "record_openai", "record_anthropic"])
async def test_a_stream_of_no_known_api_raises_and_loses_no_event(
    tract: AsyncTract, events: list[Any], call: str
) -> None:
    head = await tract.head()
    recording = getattr(tract, call)(stream(events))
    before = [event for event in events if event == {"type": "ping"}][:1]
    assert [await anext(recording) for _ in before] == before
    with pytest.raises(ContentValidationError, match="is not an event of"):
        await anext(recording)

    assert before + [event async for event in recording] == events
    assert recording.commits == []
    assert await tract.head() == head


async def test_a_stream_of_another_api_is_refused_by_a_short_form(tract: AsyncTract) -> None:
    for recording in (tract.record_openai(stream(EVENTS)), tract.record_anthropic(stream(TEXT))):
        with pytest.raises(ContentValidationError):
            await drained(recording)
        assert len([event async for event in recording]) in (len(EVENTS), len(TEXT))


async def test_the_block_of_a_stream_of_no_known_api_leaves_the_stream_open(
    tract: AsyncTract,
) -> None:
    source = stream(STRANGE[1])
    with pytest.raises(ContentValidationError):
        async with tract.record_stream(source) as events:
            await anext(events)

    assert await anext(source) == STRANGE[1][1]


async def test_a_stream_of_nothing_but_keep_alives_commits_nothing(tract: AsyncTract) -> None:
    recording = await drained(tract.record_stream(stream([{"type": "ping"}, None])))

    assert recording.commits == []


async def test_unknown_deltas_and_blocks_are_kept_and_named_once(tract: AsyncTract) -> None:
    block = {"type": "hologram", "shape": "cube"}
    events = [
        sse.message_start(),
        *sse.text_block(0, "See:"),
        *sse.block(1, block, {"type": "hologram_delta", "colour": "red"}),
        *sse.block(2, block),
        {"type": "hologram_end", "at": 3},
        *sse.message_end("end_turn"),
    ]
    with pytest.warns(UnknownKindWarning) as warned:
        recording = await drained(tract.record_stream(stream(events)))

    [warning] = warned
    assert all(name in str(warning.message) for name in ("hologram", "hologram_delta"))
    assert warning.filename == __file__
    [content] = await contents(tract, recording.commits)
    assert content.item["content"][1] == {**block, "colour": "red"}
    assert content.item["content"][2] == block


async def test_a_warning_that_is_an_error_comes_when_the_reply_is_committed(
    tract: AsyncTract,
) -> None:
    events = [
        sse.message_start(),
        *sse.block(0, {"type": "hologram"}),
        *sse.message_end("end_turn"),
    ]
    recording = tract.record_stream(stream(events))
    with pytest.raises(UnknownKindWarning):
        await drained(recording)

    assert len(recording.commits) == 1


@pytest.mark.parametrize(
    "events",
    [
        [sse.chunk({"role": "assistant"}), sse.chunk({}, "length"), sse.usage_chunk()],
        [sse.usage_chunk()],
        [sse.chunk({}, "content_filter")],
        [sse.message_start(), *sse.message_end("refusal")],
    ],
    ids=["length", "usage alone", "finish alone", "refusal"],
)
async def test_a_stream_without_text_leaves_a_commit_and_its_usage(
    tract: AsyncTract, events: list[Any]
) -> None:
    sent, before = await tract.head(), (await tract.compile()).messages
    recording = await drained(tract.record_stream(stream(events)))

    said, skipped = recording.commits
    assert skipped.edit_target == said.commit_hash
    assert (await tract.compile()).messages == before
    reported = (await tract.compile(at_commit=sent)).token_source.startswith("api:")
    assert reported == (recording.usage is not None)


async def test_zeros_that_come_late_do_not_override_counts(tract: AsyncTract) -> None:
    end = sse.message_end("end_turn")
    end[0]["usage"] = {"input_tokens": 0, "output_tokens": 12}
    recording = await drained(
        tract.record_stream(stream([sse.message_start(), *sse.text_block(0, "Hi"), *end]))
    )

    assert recording.usage is not None
    assert (recording.usage["input_tokens"], recording.usage["output_tokens"]) == (30, 12)


async def test_extras_of_calls_are_kept_and_sent_back(tract: AsyncTract) -> None:
    call = {"index": 0, **called("find", "")}
    call["extra_content"] = {"google": {"thought_signature": "c2ln"}}
    events = [sse.chunk({"tool_calls": [call]})]
    events.append(sse.chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}))
    await drained(tract.record_stream(stream([*events, sse.chunk({}, "tool_calls")])))

    [*_, said] = (await tract.compile()).to_openai(open_calls="keep")
    assert said["tool_calls"][0]["extra_content"] == call["extra_content"]


async def test_a_lone_surrogate_of_a_provider_is_kept(tract: AsyncTract) -> None:
    events = [sse.chunk({"content": "a\ud83d"}), sse.chunk({"content": "b"}), sse.chunk({}, "stop")]
    await drained(tract.record_stream(stream(events)))

    assert (await tract.compile()).to_openai(open_calls="keep")[-1]["content"] == "a\ud83db"


async def test_the_caller_may_change_an_event_once_it_has_the_next(tract: AsyncTract) -> None:
    events = [json.loads(json.dumps(event)) for event in EVENTS]
    recording = tract.record_stream(stream(events))
    async for event in recording:
        event.clear()

    [content] = await contents(tract, recording.commits)
    assert content.item["content"][0]["thinking"] == "Oslo."


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


# the recorded exchanges


def _recorded() -> list[exchanges.Exchange]:
    path = exchanges.path()
    if not path.is_file():
        return []
    return [each for each in exchanges.read(path) if each.api in FORMATS and not each.failed]


async def test_every_recorded_answer_goes_in(recwarn: pytest.WarningsRecorder) -> None:
    answers = _recorded()
    if not answers:
        pytest.skip(
            f"no exchanges at {exchanges.path()}; ASYNCTRACT_TRANSCRIPTS names their folder"
        )
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        for number, exchange in enumerate(answers):
            tract = store.tract(f"{number} {exchange.api}")
            await tract.user("q")
            if exchange.reply is not None:
                commits = await tract.record(exchange.reply)
            else:
                events = [event.data for event in exchange.events]
                commits = (await drained(tract.record_stream(stream(events)))).commits
            native = FORMATS[exchange.api]
            expected = native.contents(_items(exchange))

            assert await contents(tract, commits) == expected, exchange.id
    print(f"\n{len(answers)} answers")
    assert [str(each.message) for each in recwarn if each.category is UnknownKindWarning] == []


def _items(exchange: exchanges.Exchange) -> list[Any]:
    native = FORMATS[exchange.api]
    if exchange.reply is not None:
        found = native.reply(exchange.reply)
        assert found is not None
        return found.items
    reader, root = native.events(), dict[str, Any]()
    for event in exchange.events:
        apply(root, json.loads(json.dumps(reader.feed(event.data))))
    return native.events().reply(root, complete=True).items


async def test_a_whole_answer_and_its_stream_leave_equal_contents() -> None:
    answers = [each for each in _recorded() if each.reply is not None and each.api in AS_EVENTS]
    if not answers:
        pytest.skip(
            f"no exchanges at {exchanges.path()}; ASYNCTRACT_TRANSCRIPTS names their folder"
        )
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        for number, exchange in enumerate(answers):
            reply = _with_none_for_empty(exchange.reply or {})
            whole, streamed = (store.tract(f"{number} {how}") for how in ("whole", "streamed"))
            commits = await whole.record(reply)
            events = AS_EVENTS[exchange.api](reply)
            recording = await drained(streamed.record_stream(stream(events)))

            left = await contents(streamed, recording.commits)
            assert left == await contents(whole, commits), exchange.id
            said = [_said(each) for each in recording.commits]
            assert said == [_said(each) for each in commits], exchange.id
    print(f"\n{len(answers)} whole answers")


def _said(commit: CommitInfo) -> dict[str, Any]:
    """Return what the API said; some name no finish reason, so that their streams look cut off."""
    said = commit.metadata or {}
    return {key: said[key] for key in said if key not in ("interrupted", "reason")}


def _with_none_for_empty(reply: dict[str, Any]) -> dict[str, Any]:
    """Return a reply without empty texts beside calls, which a stream does not tell from none."""
    copy: dict[str, Any] = json.loads(json.dumps(reply))
    for choice in copy.get("choices", ()):
        if choice["message"].get("tool_calls") and not choice["message"].get("content"):
            choice["message"]["content"] = None
    return copy


def _chunks(reply: dict[str, Any]) -> list[dict[str, Any]]:
    said = {**reply, "object": "chat.completion.chunk", "choices": [], "usage": None}
    if not reply["choices"]:
        return [{**said, "usage": reply.get("usage")}]
    choice = reply["choices"][0]
    message = json.loads(json.dumps(choice["message"]))
    for index, call in enumerate(message.get("tool_calls") or ()):
        call["index"] = index
    return [
        {**said, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**said, "choices": [{**choice, "message": None, "delta": {}}]},
        {**said, "usage": reply.get("usage")},
    ]


def _events(reply: dict[str, Any]) -> list[dict[str, Any]]:
    keys = ("stop_reason", "stop_sequence", "usage", "content")
    said = {key: value for key, value in reply.items() if key not in keys}
    ended = {key: reply.get(key) for key in keys[:2]}
    blocks = [event for at, block in enumerate(reply["content"]) for event in sse.block(at, block)]
    return [
        {"type": "message_start", "message": {**said, "content": []}},
        *blocks,
        {"type": "message_delta", "delta": ended, "usage": reply.get("usage")},
        {"type": "message_stop"},
    ]


AS_EVENTS = {"openai.chat": _chunks, "anthropic.messages": _events}
"""Whole answers as streams, by their APIs."""
