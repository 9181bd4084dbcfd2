"""The recorded exchanges: what was really sent and answered, in and out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from providers.exchanges import Exchange
from providers.validators import problems
from support.google_items import (
    API,
    exactly,
    messages_of,
    rendered,
    rest,
    same,
    sent,
    streamed,
)
from support.recorded import Tally, recorded_with, reply_of
from tract import AsyncTract, from_google
from tract.formats.format import Reply, Writing


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    return recorded_with(API)


def given_in(exchange: Exchange, *keys: str) -> dict[str, Any]:
    """Return what of a request is its context."""
    return {key: exchange.request[key] for key in keys if key in exchange.request}


def contents_of(exchange: Exchange, *, tools: bool = False) -> list[Any]:
    given = copy.deepcopy(exchange.request)
    return from_google(
        given["contents"],
        system_instruction=given.get("systemInstruction"),
        tools=given.get("tools") if tools else None,
    )


@pytest.mark.long
async def test_requests_come_back_from_a_store(recorded: list[Exchange]) -> None:
    tally = Tally("requests, from a store")
    for exchange in recorded:
        async with AsyncTract.open() as tract:
            async with tract.batch() as batch:
                for content in contents_of(exchange, tools=True):
                    batch.commit(content)
            context = await tract.compile(aggregate_same_role=False)
            again = rest(context.request(API, open_calls="keep"))
        given = given_in(exchange, "contents", "systemInstruction", "tools")
        if isinstance(given.get("tools"), dict):  # the SDK itself takes lists only
            given["tools"] = [given["tools"]]
        tally.add(exchange, same(again, given))
    tally.check()


def test_requests_come_back(recorded: list[Exchange]) -> None:
    tally = Tally("requests")
    for exchange in recorded:
        again = rest(exactly(rendered(contents_of(exchange))))
        tally.add(exchange, same(again, given_in(exchange, "contents", "systemInstruction")))
    tally.check()


def test_what_was_answered_is_sent_as_it_was_and_accepted(recorded: list[Exchange]) -> None:
    """Nothing is mended that the API took."""
    tally = Tally("requests, paired and fitted")
    for exchange in recorded:
        writing = Writing(model=exchange.model)
        again = rest(sent(rendered(contents_of(exchange)), writing))
        valid = problems(API, {**exchange.request, **again}, model=exchange.model) == []
        kept = same(again, given_in(exchange, "contents", "systemInstruction"))
        tally.add(exchange, valid and kept and writing.losses == [])
    tally.check()


def test_answers_are_kept_whole(recorded: list[Exchange]) -> None:
    tally = Tally("answers")
    for exchange in recorded:
        reply = reply_of(exchange)
        wanted = wanted_parts(exchange)
        (item,) = reply.items
        holds = same(item.get("parts", []), wanted) and item["role"] == "model"
        tally.add(exchange, holds and reply.unknown == () and reply.unfinished == ())
    tally.check()


def wanted_parts(exchange: Exchange) -> list[dict[str, Any]]:
    """Return all parts of an answer: plain texts of a stream joined, empty ones left out."""
    joined: list[dict[str, Any]] = []
    for answer in exchange.answers:
        for candidate in answer.get("candidates", ()):
            for part in candidate.get("content", {}).get("parts", ()):
                plain = part.keys() == {"text"}
                if exchange.streamed and plain and joined and joined[-1].keys() == {"text"}:
                    joined[-1] = {"text": joined[-1]["text"] + part["text"]}
                elif not exchange.streamed or part != {"text": ""}:
                    joined.append(part)
    return joined


def test_answers_come_with_what_the_api_said_of_them(recorded: list[Exchange]) -> None:
    tally = Tally("answers' usage, model, id, reason")
    for exchange in recorded:
        reply = reply_of(exchange)
        last = exchange.answers[-1]
        said = (reply.model, reply.response_id)
        known = said == (last.get("modelVersion"), last.get("responseId"))
        counted = reply.usage is not None and last["usageMetadata"].items() <= reply.usage.items()
        tally.add(exchange, known and counted and reply.finish_reason is not None)
    tally.check()


@pytest.mark.unmeasured
def test_answers_can_be_sent_on(recorded: list[Exchange]) -> None:
    tally = Tally("answers, sent on")
    for exchange in recorded:
        tally.add(exchange, problems_of_the_next(exchange, reply_of(exchange)) == [])
    tally.check()


def test_a_stream_that_breaks_anywhere_can_be_sent_on(recorded: list[Exchange]) -> None:
    tally = Tally("answers cut off at each event")
    for exchange in recorded:
        found: list[str] = []
        for cut in range(len(exchange.events)):
            events = [event.data for event in exchange.events[:cut]]
            found += problems_of_the_next(exchange, streamed(events, complete=False))
        if exchange.streamed:
            tally.add(exchange, found == [])
    tally.check()


def problems_of_the_next(exchange: Exchange, reply: Reply) -> Iterator[str] | list[str]:
    """Return what the API would refuse the request for that goes on after *reply*."""
    asked = {"role": "user", "parts": [{"text": "Go on."}]}
    messages = [*rendered(contents_of(exchange)), *messages_of(*reply.items, asked)]
    again = rest(sent(messages, Writing(model=exchange.model)))
    return problems(API, {**exchange.request, **again}, model=exchange.model)


@pytest.mark.parametrize("key", ["thoughtSignature", "data"])
def test_every_signature_and_blob_of_an_answer_is_in_its_items(
    recorded: list[Exchange], key: str
) -> None:
    tally = Tally(f"answers' {key}")
    for exchange in recorded:
        found = [text for answer in exchange.answers for text in strings(answer, key)]
        if found:
            tally.add(exchange, found == list(strings(reply_of(exchange).items, key)))
    tally.check()


def strings(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from strings(each, key)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name == key and isinstance(each, str):
                yield each
            yield from strings(each, key)
