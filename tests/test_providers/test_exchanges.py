"""Reading the recorded exchanges."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from providers.exchanges import Event, Exchange, parse_events


def test_every_exchange_parses_with_an_answer_and_the_model_that_gave_it(
    recorded: list[Exchange],
) -> None:
    assert len(recorded) == len({exchange.id for exchange in recorded}) == 1182
    assert Counter(exchange.api for exchange in recorded) == {
        "openai.chat": 369,
        "google.generate_content": 340,
        "openai.responses": 248,
        "anthropic.messages": 218,
        "openai.responses.compact": 7,
    }
    for exchange in recorded:
        assert exchange.answers, exchange.id
        assert exchange.model, exchange.id


def test_streams_are_read_to_their_last_event(recorded: list[Exchange]) -> None:
    streams = [exchange for exchange in recorded if exchange.streamed and not exchange.failed]
    last = {
        "anthropic.messages": lambda data: data["type"] == "message_stop",
        "openai.responses": lambda data: data["type"] == "response.completed",
        "google.generate_content": lambda data: data["candidates"][0]["finishReason"],
    }

    assert len(streams) == 103
    for exchange in streams:
        if exchange.api in last:
            assert last[exchange.api](exchange.events[-1].data), exchange.id
        elif exchange.provider != "snowflake":  # which gives no reason
            assert any(
                choice.get("finish_reason")
                for event in exchange.events
                for choice in event.data.get("choices", ())
            ), exchange.id


def test_whole_replies_give_the_items_of_the_next_request(recorded: list[Exchange]) -> None:
    without = [each.id for each in recorded if not each.streamed and not each.items]

    assert without == [
        # Refused by a filter, not an API at all, and still running.
        "test_google/test_google_model_armor_prompt_template_text_gets_blocked#1",
        "test_openai/test_invalid_response#0",
        "test_openai_responses/test_background_mode_reasoning_vcr#0",
        "test_openai_responses/test_background_mode_with_tool_vcr#0",
        "test_openai_responses/test_background_mode_with_tool_vcr#2",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_are_split_where_the_protocol_ends_lines_and_nowhere_else(end: str) -> None:
    text = json.dumps({"text": "one\u2028line"}, ensure_ascii=False)
    lines = [": a comment", "", "event: delta", f"data: {text}", "", 'data:{"n":', "data: 1}", ""]

    events = list(parse_events(end.join([*lines, "data: [DONE]"])))

    assert events == [Event("delta", {"text": "one\u2028line"}), Event(None, {"n": 1})]


def test_a_stream_that_was_cut_off_keeps_its_last_event() -> None:
    assert list(parse_events('data: {"n": 1}')) == [Event(None, {"n": 1})]
