"""The recorded exchanges: what was really sent and answered, in and out."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from providers.exchanges import Exchange
from providers.validators import problems
from support.recorded import Tally, recorded_with, reply_of
from support.responses_items import (
    API,
    FORMAT,
    exactly,
    messages_of,
    rendered,
    same,
    sent,
    streamed,
)
from tract import AsyncTract, from_responses
from tract.formats.format import Reply, Writing
from tract.formats.openai_responses.kinds import kind_of


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    return recorded_with(API)


def given_in(exchange: Exchange) -> dict[str, Any]:
    """Return what of a request is its context; a string is a user's message."""
    keys = ("instructions", "input", "tools")
    found = {key: exchange.request[key] for key in keys if key in exchange.request}
    if isinstance(found["input"], str):
        found["input"] = [{"role": "user", "content": found["input"]}]
    return found


def contents_of(exchange: Exchange) -> list[Any]:
    given = copy.deepcopy(exchange.request)
    return from_responses(
        given["input"], instructions=given.get("instructions"), tools=given.get("tools")
    )


def provider_of(exchange: Exchange) -> str:
    """Return who answers, for its validator: Bedrock gives the thinking of gpt-oss ids of `msg_`."""
    return "gpt-oss" if "gpt-oss" in exchange.request["model"] else exchange.provider


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


def shown(exchange: Exchange) -> list[Any]:
    return rendered(each for each in contents_of(exchange) if each.content_type != "tools")


def test_requests_come_back(recorded: list[Exchange]) -> None:
    tally = Tally("requests")
    for exchange in recorded:
        again = exactly(shown(exchange))
        given = {key: each for key, each in given_in(exchange).items() if key != "tools"}
        tally.add(exchange, same(again, given))
    tally.check()


def test_what_was_answered_is_sent_as_it_was_and_accepted(recorded: list[Exchange]) -> None:
    """Nothing is mended that the API took."""
    tally = Tally("requests, paired and fitted")
    for exchange in recorded:
        if exchange.request.get("previous_response_id") or exchange.request.get("conversation"):
            continue  # its calls are elsewhere
        writing = Writing(model=exchange.request["model"])
        again = sent(shown(exchange), writing)
        request = {**exchange.request, **again}
        given = {key: each for key, each in given_in(exchange).items() if key != "tools"}
        valid = problems(API, request, provider=provider_of(exchange)) == []
        if given.get("instructions") == "":
            del given["instructions"]
        tally.add(exchange, valid and same(again, given) and writing.losses == [])
    tally.check()


def test_answers_hold_every_item_as_it_came(recorded: list[Exchange]) -> None:
    tally = Tally("whole answers")
    for exchange in recorded:
        if exchange.reply is not None:
            reply = reply_of(exchange)
            whole = same(reply.items, exchange.reply["output"])
            tally.add(exchange, whole and reply.unknown == () and reply.unfinished == ())
    tally.check()


def test_answers_streamed_give_the_items_of_the_whole_ones(recorded: list[Exchange]) -> None:
    """What is encrypted is encrypted anew for the whole; both are good."""
    tally = Tally("streamed answers")
    for exchange in recorded:
        if not exchange.streamed:
            continue
        reply = reply_of(exchange)
        ends = [
            e.data["response"]
            for e in exchange.events
            if e.data["type"].endswith("completed") and "response" in e.data
        ]
        whole = FORMAT.reply(ends[-1])
        assert whole is not None
        tally.add(exchange, same(plain(reply.items), plain(whole.items)) and reply[1:] == whole[1:])
    tally.check()


def plain(items: list[Any]) -> list[Any]:
    """Return items without what differs between two answers of one thought."""
    hidden = {"encrypted_content": "…"}
    found = [{**item, **hidden} if "encrypted_content" in item else item for item in items]
    return [
        {**item, "id": "rs_tmp"} if str(item.get("id")).startswith("rs_tmp_") else item
        for item in found
    ]


def test_streams_without_their_end_give_the_same_texts(recorded: list[Exchange]) -> None:
    """Without `completed`, and without any `done`: what came in pieces is all there."""
    tally = Tally("streamed answers, in pieces")
    for exchange in recorded:
        if not exchange.streamed:
            continue
        pieces = [
            event.data
            for event in exchange.events
            if event.data["type"].endswith((".added", ".delta", ".created"))
        ]
        reply, whole = streamed(pieces, complete=False), reply_of(exchange)
        calls = [part.arguments for part in reply.unfinished]
        expected = [item["arguments"] for item in whole.items if kind_of(item) == "function_call"]
        tally.add(exchange, calls == expected and texts(reply) == texts(whole))
    tally.check()


def texts(reply: Reply) -> list[str]:
    """Return what a reply says in words: texts, thoughts, code."""
    found: list[str] = []
    for item in reply.items:
        blocks = [*(item.get("content") or ()), *(item.get("summary") or ())]
        found += [block.get("text") or block.get("refusal") for block in blocks]
        found += [item["code"]] if item.get("code") else []
    return found


def test_answers_come_with_what_the_api_said_of_them(recorded: list[Exchange]) -> None:
    tally = Tally("answers' usage, model, id, reason")
    for exchange in recorded:
        reply = reply_of(exchange)
        said = exchange.reply or [event.data for event in exchange.events][-1]["response"]
        known = bool(reply.response_id) and reply.usage == said["usage"]
        is_compaction = exchange.api != API
        tally.add(exchange, known and (is_compaction or bool(reply.model and reply.finish_reason)))
    tally.check()


def next_request(exchange: Exchange, reply: Reply) -> dict[str, Any]:
    """Return the request that goes on after *reply*."""
    more = messages_of(*reply.items, {"role": "user", "content": "Go on."})
    return {**exchange.request, **sent([*shown(exchange), *more])}


@pytest.mark.unmeasured
def test_answers_can_be_sent_on(recorded: list[Exchange]) -> None:
    tally = Tally("answers, sent on")
    for exchange in recorded:
        request = next_request(exchange, reply_of(exchange))
        tally.add(exchange, problems(API, request, provider=provider_of(exchange)) == [])
    tally.check()


@pytest.mark.unmeasured
def test_a_stream_that_breaks_anywhere_can_be_sent_on(recorded: list[Exchange]) -> None:
    tally = Tally("answers cut off at each event")
    for exchange in recorded:
        kinds = [event.data["type"] for event in exchange.events]
        cuts = [at for at, kind in enumerate(kinds) if at % 11 == 0 or not kind.endswith("delta")]
        found = []
        for cut in cuts:
            events = [event.data for event in exchange.events[:cut]]
            request = next_request(exchange, streamed(events, complete=False))
            found += problems(API, request, provider=provider_of(exchange))
        if cuts:
            tally.add(exchange, found == [])
    tally.check()


def test_every_text_argument_and_id_of_a_stream_is_in_its_items(recorded: list[Exchange]) -> None:
    tally = Tally("texts, arguments, ids and signatures of streams")
    for exchange in recorded:
        if exchange.streamed:
            held = set(strings(reply_of(exchange).items))
            items = [
                e.data["item"] for e in exchange.events if e.data["type"].endswith("item.done")
            ]
            tally.add(exchange, set(strings(items)) <= held)
    tally.check()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def test_recorded_items_have_the_same_json_by_part(recorded: list[Exchange]) -> None:
    """Rebuilt part by part, an item says the same."""
    tally = Tally("items, by part")
    for exchange in recorded:
        for item in given_in(exchange)["input"]:
            kept = FORMAT.read(item, keep=True)
            natives = [part.native.item for part in kept.parts if part.native is not None]
            inner = item["content"] if isinstance(item.get("content"), list) else []
            whole = natives == inner if kind_of(item) == "message" else natives[:1] == [item]
            tally.add(exchange, json.dumps(natives) is not None and whole)
    tally.check()
