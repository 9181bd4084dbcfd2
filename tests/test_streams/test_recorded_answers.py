"""The recorded answers of providers, whole and event by event: all of them go in, and say the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from providers import exchanges
from support import sse
from support.replies import contents, drained, reply
from tract import (
    CommitInfo,
    DialogueContent,
    NullTokenCounter,
    TractStore,
    UnknownKindWarning,
)
from tract.formats.deltas import apply
from tract.formats.registry import FORMATS


def _recorded() -> list[exchanges.Exchange]:
    path = exchanges.path()
    if not path.is_file():
        return []
    return [each for each in exchanges.read(path) if each.api in FORMATS and not each.failed]


async def _for_each(
    answers: list[exchanges.Exchange], check: Callable[[int, exchanges.Exchange], Awaitable[None]]
) -> None:
    """Check all answers, a hundred at once: their commits share transactions."""
    numbered = [*enumerate(answers)]
    for start in range(0, len(numbered), 100):
        await asyncio.gather(*(check(*each) for each in numbered[start : start + 100]))


@pytest.mark.unmeasured
async def test_every_recorded_answer_goes_in(
    recwarn: pytest.WarningsRecorder, target: Path | str
) -> None:
    answers = _recorded()
    if not answers:
        pytest.skip(
            f"no exchanges at {exchanges.path()}; ASYNCTRACT_TRANSCRIPTS names their folder"
        )
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:

        async def goes_in(number: int, exchange: exchanges.Exchange) -> None:
            tract = store.tract(f"{number} {exchange.api}")
            await tract.user("q")
            if exchange.reply is not None:
                commits = await tract.record(exchange.reply)
            else:
                events = [event.data for event in exchange.events]
                commits = [*await drained(tract.record_stream(reply(*events)))]
            native = FORMATS[exchange.api]
            nothing = [DialogueContent(role="assistant", text="")]  # skipped
            expected = native.contents(_items(exchange)) or nothing

            assert await contents(tract, commits) == expected, exchange.id

        await _for_each(answers, goes_in)
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


@pytest.mark.unmeasured
async def test_a_whole_answer_and_its_stream_leave_equal_contents(target: Path | str) -> None:
    answers = [each for each in _recorded() if each.reply is not None and each.api in AS_EVENTS]
    if not answers:
        pytest.skip(
            f"no exchanges at {exchanges.path()}; ASYNCTRACT_TRANSCRIPTS names their folder"
        )
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:

        async def are_equal(number: int, exchange: exchanges.Exchange) -> None:
            answer = _with_none_for_empty(exchange.reply or {})
            whole, streamed = (store.tract(f"{number} {how}") for how in ("whole", "streamed"))
            commits = await whole.record(answer)
            events = AS_EVENTS[exchange.api](answer)
            recording = streamed.record_stream(reply(*events))
            await drained(recording)

            left = await contents(streamed, recording.commits)
            assert left == await contents(whole, commits), exchange.id
            said = [_said(each) for each in recording.commits]
            assert said == [_said(each) for each in commits], exchange.id

        await _for_each(answers, are_equal)
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
