"""What is saved of a stream builds the same reply again, whenever it is saved, and has no secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import sse
from tract.engine.streams.arrived import Arrived
from tract.engine.streams.frames import copied, joined, redacted
from tract.formats.registry import FORMATS
from tract.history.redaction import Redactor

SECRET = "sk-secret"
REDACTOR = Redactor()
STREAMS: dict[str, list[dict[str, Any]]] = {
    "openai.chat": [*sse.texts("Let me ", "look."), *sse.interleaved_calls(), sse.usage_chunk()],
    "anthropic.messages": [
        sse.message_start(),
        *sse.thinking_block(0, "Oslo, ", "then."),
        *sse.text_block(1, "Let me ", "look."),
        *sse.tool_block(2, 0),
        *sse.message_end(),
    ],
}


def whole(api: str, events: list[dict[str, Any]]) -> Arrived:
    arrived, reader = Arrived({"api": api}), FORMATS[api].events()
    for event in events:
        kept = [delta for delta, _ in map(copied, reader.feed(event)) if delta is not None]
        arrived = arrived.grown(kept)
    return arrived


@given(st.sampled_from(sorted(STREAMS)), st.sets(st.integers(0, 30)))
def test_what_is_saved_builds_the_same_reply_wherever_it_is_cut(api: str, cuts: set[int]) -> None:
    reader, unsaved, saved = FORMATS[api].events(), list[Any](), list[Any]([["opening", {}]])
    saved[0][1]["api"] = api
    arrived = Arrived(saved[0][1])
    for at, event in enumerate(STREAMS[api]):
        for delta in reader.feed(event):
            kept, _ = copied(delta)
            assert kept is not None
            apart, _ = copied(kept)
            arrived = arrived.grown([kept])
            unsaved.append(apart)
        if at in cuts:
            saved += json.loads(json.dumps(joined(unsaved)))
            unsaved.clear()
    saved += json.loads(json.dumps(joined(unsaved)))
    again = Arrived.saved(saved)

    assert again.reply == arrived.reply == whole(api, STREAMS[api]).reply
    assert again.reply.finish_reason is not None


def test_frames_that_say_nothing_of_what_arrived_keep_their_place() -> None:
    text = ("text", ["text"], "a")
    frames = [("opening", {"api": None}), text, text, ("ended", "closed")]

    assert joined(frames) == [frames[0], ("text", ["text"], "aa"), frames[-1]]


def test_a_copy_shares_nothing_and_names_what_json_cannot_hold() -> None:
    value = {"a": [1, object(), float("nan"), b"b"], "c": print, "d": {2}}
    kept, lost = copied(("set", ["x"], value))

    assert kept == ("set", ["x"], {"a": [1, None, "Yg=="], "d": [2]})
    assert lost == ("x.a[1]", "x.c")
    assert copied(("set", ["x", 0], object())) == (None, ("x.0",))
    assert kept[2]["a"] is not value["a"]


@pytest.mark.parametrize(
    "delta",
    [
        ("set", ["usage"], {"prompt_tokens": 1, "api_key": SECRET}),
        ("set", ["said", "usage", "api_key"], SECRET),
        ("push", ["usages"], {"request": {"api_key": SECRET}}),
        ("set", ["response"], {"usageMetadata": {"api_key": SECRET}, "text": "kept"}),
        ("push", ["events"], [{"usage": {"api_key": SECRET}}]),
    ],
    ids=str,
)
def test_secrets_of_a_report_are_not_saved_wherever_it_stands(delta: Any) -> None:
    assert SECRET not in json.dumps(redacted(delta, REDACTOR))
    assert redacted(delta, None) == delta


def test_what_a_model_said_is_saved_as_it_is() -> None:
    said = ("set", ["blocks", 0], {"input": {"api_key": "what the model made up"}})

    assert redacted(said, REDACTOR) == said
