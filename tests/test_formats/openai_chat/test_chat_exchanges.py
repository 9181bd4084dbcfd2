"""Recorded requests and answers of Chat Completions APIs, in and out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from providers import exchanges
from providers.exchanges import Exchange
from providers.validators import problems
from support.rendered import shown
from tract import from_openai
from tract.formats.deltas import apply, compacted
from tract.formats.format import Reply, Sent, Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import arguments, write_tools

pytestmark = pytest.mark.skipif(
    not exchanges.path().exists(), reason="the recorded exchanges are not here"
)

CHAT = FORMATS["openai.chat"]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    return [each for each in exchanges.read(exchanges.path()) if each.api == "openai.chat"]


def sent(items: list[Json], *, exact: bool) -> list[Json]:
    """Return what is sent of items that were committed one by one."""
    messages = [Sent(message) for message in shown(from_openai(items))]
    written = arguments(CHAT, messages, Writing(), "keep" if exact else "error")
    return list(written["messages"])


def answered(exchange: Exchange) -> Reply:
    """Return an answer as it is read, whole or event by event."""
    if exchange.reply is not None:
        found = CHAT.reply(exchange.reply)
        assert found is not None
        return found
    assert CHAT.is_event(exchange.events[0].data)
    events, deltas, root = CHAT.events(), list[Any](), dict[str, Any]()
    for event in exchange.events:
        deltas += json.loads(json.dumps(events.feed(event.data)))  # as they are saved
    apply(root, compacted(deltas))
    return events.reply(root, complete=True)


def test_requests_come_back_equal(recorded: list[Exchange]) -> None:
    held, tried = Counter[str](), Counter[str]()
    for exchange in recorded:
        items = exchange.request["messages"]
        tried[exchange.provider] += 1
        held[exchange.provider] += sent(items, exact=True) == items
    for provider in tried:
        print(f"{provider}: {held[provider]} of {tried[provider]} requests")

    assert held == tried


def test_requests_are_accepted_as_they_are_sent_by_default(recorded: list[Exchange]) -> None:
    for exchange in recorded:
        request = exchange.request | {"messages": sent(exchange.request["messages"], exact=False)}
        assert problems("openai.chat", request, provider=exchange.provider) == []


def test_requests_go_out_by_default_as_they_came(recorded: list[Exchange]) -> None:
    """But for ids that OpenAI finds too long: other providers take those that stand for them."""
    changed = [
        exchange
        for exchange in recorded
        if sent(exchange.request["messages"], exact=False) != exchange.request["messages"]
    ]
    ids = [
        [
            call["id"]
            for message in each.request["messages"]
            for call in message.get("tool_calls", ())
        ]
        for each in changed
    ]

    assert all(any(len(each) > 40 for each in found) for found in ids)
    assert len(changed) < 3


def test_tools_come_back_equal(recorded: list[Exchange]) -> None:
    for exchange in recorded:
        tools = exchange.request.get("tools")
        if tools:
            (content,) = from_openai([], tools=tools)
            given = content.model_dump()["tools"]
            assert write_tools(CHAT, given, "openai.chat", Writing()) == {"tools": tools}


def test_answers_are_kept_whole(recorded: list[Exchange]) -> None:
    held, tried = Counter[str](), Counter[str]()
    for exchange in recorded:
        if exchange.failed and not exchange.events:
            continue
        reply = answered(exchange)
        tried[exchange.provider] += 1
        missing = [piece for piece in said(exchange) if piece not in text_of(reply.items)]
        assert missing == [], exchange.id
        assert reply.unfinished == ()
        assert reply.unknown == ()
        items = [*exchange.request["messages"], *reply.items]
        held[exchange.provider] += sent(items, exact=True) == items
    for provider in tried:
        print(f"{provider}: {held[provider]} of {tried[provider]} answers")

    assert held == tried


def test_answers_say_what_they_cost(recorded: list[Exchange]) -> None:
    for exchange in recorded:
        if not exchange.failed:
            reply = answered(exchange)
            assert reply.usage is not None, exchange.id
            assert max(reply.usage["prompt_tokens"], reply.usage["completion_tokens"]) > 0


def test_streams_give_what_the_whole_answer_would(recorded: list[Exchange]) -> None:
    """A whole answer is made of each stream by hand, and read as one."""
    streamed = [exchange for exchange in recorded if exchange.streamed]
    assert streamed
    for exchange in streamed:
        if not exchange.failed:
            whole = CHAT.reply({"choices": [{"message": joined(exchange)}]})
            assert whole is not None
            assert answered(exchange).items == whole.items, exchange.id


def joined(exchange: Exchange) -> Json:
    """Return the message of a stream, its pieces put together without further ado."""
    message: Json = {"role": "assistant", "content": None}
    calls: dict[int, Json] = {}
    for delta in deltas_of(exchange):
        for key, value in delta.items():
            if key == "tool_calls":
                for piece in value or ():
                    _add(calls.setdefault(piece["index"], {}), piece)
            elif key == "executed_tools":
                message[key] = value  # each time the whole list
            elif key not in ("role", "channel"):
                _add(message, {key: value})
    if calls:
        message["tool_calls"] = list(calls.values())
    return message


def _add(known: Json, piece: Json) -> None:
    for key, value in piece.items():
        if isinstance(value, str) and key not in ("id", "type", "format"):
            known[key] = (known.get(key) or "") + value
        elif isinstance(value, dict):
            _add(known.setdefault(key, {}), value)
        elif key == "reasoning_details":
            listed = known.setdefault(key, [])
            for detail in value:
                if listed:
                    _add(listed[0], detail)
                else:
                    listed.append(dict(detail))
        elif isinstance(value, list):
            known.setdefault(key, []).extend(value)
        elif value is not None:
            known[key] = value


def deltas_of(exchange: Exchange) -> Iterator[Json]:
    for event in exchange.events:
        for choice in event.data.get("choices", ()):
            yield choice["delta"]


def said(exchange: Exchange) -> Iterator[str]:
    """Give every string of an answer's message, as JSON."""
    message = joined(exchange) if exchange.reply is None else exchange.items[0]
    yield from strings(message)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str) and value:
        yield text_of(value)


def text_of(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text[1:-1] if isinstance(value, str) else text
