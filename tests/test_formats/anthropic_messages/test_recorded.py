"""The recorded exchanges: what was really sent and answered, in and out."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from providers.exchanges import Exchange
from providers.validators import problems
from support.anthropic_items import (
    API,
    exactly,
    messages_of,
    rendered,
    same,
    sent,
    streamed,
)
from support.recorded import Tally, recorded_with, reply_of
from tract import AsyncTract, from_anthropic
from tract.formats.format import Reply, Writing


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    return recorded_with(API)


def given_in(exchange: Exchange) -> dict[str, Any]:
    """Return what of a request is its context."""
    keys = ("system", "messages", "tools")
    return {key: exchange.request[key] for key in keys if key in exchange.request}


def contents_of(exchange: Exchange) -> list[Any]:
    given = copy.deepcopy(given_in(exchange))
    return from_anthropic(given["messages"], system=given.get("system"), tools=given.get("tools"))


@pytest.mark.long
async def test_requests_come_back_from_a_store(recorded: list[Exchange]) -> None:
    tally = Tally("requests, from a store")
    for exchange in recorded:
        async with AsyncTract.open() as tract:
            async with tract.batch() as batch:
                for content in contents_of(exchange):
                    batch.commit(content)
            context = await tract.compile(aggregate_same_role=False)
            again = context.request(API, open_calls="keep")
        tally.add(exchange, same(again, given_in(exchange)))
    tally.check()


def test_requests_come_back(recorded: list[Exchange]) -> None:
    tally = Tally("requests")
    for exchange in recorded:
        shown = [each for each in contents_of(exchange) if each.content_type != "tools"]
        again = exactly(rendered(shown))
        given = {key: each for key, each in given_in(exchange).items() if key != "tools"}
        tally.add(exchange, same(again, given))
    tally.check()


def test_what_was_answered_is_sent_as_it_was_and_accepted(recorded: list[Exchange]) -> None:
    """Nothing is mended that the API took; only short contents of one side become one message."""
    tally = Tally("requests, paired and fitted")
    for exchange in recorded:
        shown = [each for each in contents_of(exchange) if each.content_type != "tools"]
        writing = Writing(model=exchange.request["model"])
        again = sent(rendered(shown), writing)
        valid = problems(API, {**exchange.request, **again}) == []
        blocks = blocks_of(again) == blocks_of(exchange.request)
        tally.add(exchange, valid and blocks and writing.losses == [])
    tally.check()


def blocks_of(request: dict[str, Any]) -> list[str]:
    """Return the blocks of a request's messages, whichever messages they are in."""
    found = []
    for message in request["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [json.dumps([message["role"], block], sort_keys=True) for block in blocks]
    return found


def test_answers_are_kept_whole(recorded: list[Exchange]) -> None:
    tally = Tally("answers")
    for exchange in recorded:
        reply = reply_of(exchange)
        if exchange.reply is not None:
            holds = same(reply.items, exchange.items)
        else:
            arrived = strings([event.data for event in exchange.events])
            holds = {text for text in arrived if is_opaque(text)} <= set(strings(reply.items))
            holds &= "".join(texts_of(exchange)) == "".join(said(reply))
            holds &= inputs_of(exchange) == [
                block["input"] for block in reply.items[0]["content"] if "input" in block
            ]
        tally.add(exchange, holds and reply.unknown == () and reply.unfinished == ())
    tally.check()


def is_opaque(text: str) -> bool:
    """Return True for ids of calls, signatures, and what else is long and no prose."""
    is_id = text.startswith(("toolu_", "srvtoolu_", "mcptoolu_"))
    return is_id or (len(text) > 60 and " " not in text)


def inputs_of(exchange: Exchange) -> list[Any]:
    """Return the inputs of a stream's calls, in order."""
    texts: dict[int, str] = {}
    for event in exchange.events:
        if "input" in event.data.get("content_block", {}):
            texts[event.data["index"]] = ""
        elif event.data.get("delta", {}).get("type") == "input_json_delta":
            texts[event.data["index"]] += event.data["delta"]["partial_json"]
    return [json.loads(text or "{}") for text in texts.values()]


def test_answers_come_with_what_the_api_said_of_them(recorded: list[Exchange]) -> None:
    tally = Tally("answers' usage, model, id, reason")
    for exchange in recorded:
        reply = reply_of(exchange)
        known = (reply.usage, reply.model, reply.response_id, reply.finish_reason)
        counted = reply.usage is not None and reply.usage["output_tokens"] > 0
        tally.add(exchange, all(known) and counted)
    tally.check()


@pytest.mark.unmeasured
def test_answers_can_be_sent_on(recorded: list[Exchange]) -> None:
    tally = Tally("answers, sent on")
    for exchange in recorded:
        tally.add(exchange, problems(API, next_request(exchange, reply_of(exchange))) == [])
    tally.check()


@pytest.mark.unmeasured
def test_a_stream_that_breaks_anywhere_can_be_sent_on(recorded: list[Exchange]) -> None:
    tally = Tally("answers cut off at each event")
    for exchange in recorded:
        kinds = [event.data["type"] for event in exchange.events]
        cuts = [at for at, kind in enumerate(kinds) if at % 7 == 0 or kind != "content_block_delta"]
        found = []
        for cut in cuts:
            events = [event.data for event in exchange.events[:cut]]
            found += problems(API, next_request(exchange, streamed(events, complete=False)))
        if cuts:
            tally.add(exchange, found == [])
    tally.check()


def next_request(exchange: Exchange, reply: Reply) -> dict[str, Any]:
    """Return the request that goes on after *reply*."""
    shown = [each for each in contents_of(exchange) if each.content_type != "tools"]
    more = messages_of(*reply.items, {"role": "user", "content": "Go on."})
    return {**exchange.request, **sent([*rendered(shown), *more])}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def texts_of(exchange: Exchange) -> Iterator[str]:
    for event in exchange.events:
        delta = event.data.get("delta") or {}
        yield delta.get("text", "") + delta.get("thinking", "")


def said(reply: Reply) -> Iterator[str]:
    for block in reply.items[0]["content"]:
        if block["type"] in ("text", "thinking"):
            yield block[block["type"]]
