"""Streams of any API, told apart by their first event: what they commit, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support import sse
from support.replies import contents, drained, reply
from tract import (
    AsyncTract,
    ContentValidationError,
    NullTokenCounter,
    UnknownKindWarning,
)


@pytest.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as opened:
        await opened.user("When does it leave?")
        yield opened


def called(name: str, arguments: str = "{}", call_id: str = "call_1") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


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
    recording = tract.record_stream(reply(*events))
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
    recording = getattr(tract, call)(reply(*events))
    before = [event for event in events if event == {"type": "ping"}][:1]
    assert [await anext(recording) for _ in before] == before
    with pytest.raises(ContentValidationError, match="is not an event of"):
        await anext(recording)

    assert before + [event async for event in recording] == events
    assert recording.commits == []
    assert await tract.head() == head


async def test_a_stream_of_another_api_is_refused_by_a_short_form(tract: AsyncTract) -> None:
    for recording in (tract.record_openai(reply(*EVENTS)), tract.record_anthropic(reply(*TEXT))):
        with pytest.raises(ContentValidationError):
            await drained(recording)
        assert len([event async for event in recording]) in (len(EVENTS), len(TEXT))


async def test_the_block_of_a_stream_of_no_known_api_leaves_the_stream_open(
    tract: AsyncTract,
) -> None:
    source = reply(*STRANGE[1])
    with pytest.raises(ContentValidationError):
        async with tract.record_stream(source) as events:
            await anext(events)

    assert await anext(source) == STRANGE[1][1]


async def test_a_stream_of_nothing_but_keep_alives_commits_nothing(tract: AsyncTract) -> None:
    assert await drained(tract.record_stream(reply({"type": "ping"}, None))) == []


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
    recording = tract.record_stream(reply(*events))
    with pytest.warns(UnknownKindWarning) as warned:
        assert [event async for event in recording] == events

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
    recording = tract.record_stream(reply(*events))
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
    recording = tract.record_stream(reply(*events))
    await drained(recording)

    said, skipped = recording.commits
    assert skipped.edit_target == said.commit_hash
    assert (await tract.compile()).messages == before
    reported = (await tract.compile(at_commit=sent)).token_source.startswith("api:")
    assert reported == (recording.usage is not None)


async def test_a_piece_that_fits_nowhere_costs_nothing_but_itself(tract: AsyncTract) -> None:
    events = [
        sse.message_start(),
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": {}}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "lost"},
        },
        *sse.text_block(1, "Hi"),
        *sse.message_end("end_turn"),
    ]
    recording = tract.record_stream(reply(*events))
    with pytest.warns(UnknownKindWarning, match=r"left out: blocks\.0\.block\.text"):
        await drained(recording)

    [content] = await contents(tract, recording.commits)
    assert content.item["content"] == [{"type": "text", "text": {}}, {"type": "text", "text": "Hi"}]
    assert recording.usage is not None


async def test_zeros_that_come_late_do_not_override_counts(tract: AsyncTract) -> None:
    end = sse.message_end("end_turn")
    end[0]["usage"] = {"input_tokens": 0, "output_tokens": 12}
    events = [sse.message_start(), *sse.text_block(0, "Hi"), *end]
    recording = tract.record_stream(reply(*events))
    await drained(recording)

    assert recording.usage is not None
    assert (recording.usage["input_tokens"], recording.usage["output_tokens"]) == (30, 12)


async def test_extras_of_calls_are_kept_and_sent_back(tract: AsyncTract) -> None:
    call = {"index": 0, **called("find", "")}
    call["extra_content"] = {"google": {"thought_signature": "c2ln"}}
    events = [sse.chunk({"tool_calls": [call]})]
    events.append(sse.chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}))
    await drained(tract.record_stream(reply(*events, sse.chunk({}, "tool_calls"))))

    [*_, said] = (await tract.compile()).to_openai(open_calls="keep")
    assert said["tool_calls"][0]["extra_content"] == call["extra_content"]


async def test_a_lone_surrogate_of_a_provider_is_kept(tract: AsyncTract) -> None:
    events = [sse.chunk({"content": "a\ud83d"}), sse.chunk({"content": "b"}), sse.chunk({}, "stop")]
    await drained(tract.record_stream(reply(*events)))

    assert (await tract.compile()).to_openai(open_calls="keep")[-1]["content"] == "a\ud83db"


async def test_the_caller_may_change_an_event_once_it_has_the_next(tract: AsyncTract) -> None:
    events = [json.loads(json.dumps(event)) for event in EVENTS]
    recording = tract.record_stream(reply(*events))
    async for event in recording:
        event.clear()

    [content] = await contents(tract, recording.commits)
    assert content.item["content"][0]["thinking"] == "Oslo."
