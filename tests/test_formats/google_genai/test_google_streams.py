"""What answers of generateContent become, whole and streamed, wherever they end."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from support.google_items import FORMAT, same, streamed
from tract.formats.format import as_json
from tract.protocols.parts import ToolCallPart

SIGNATURE = "c2lnbmVk"
Part = dict[str, Any]


def chunk(*parts: Part, usage: dict[str, int] | None = None, **fields: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    counted = {} if usage is None else {"usageMetadata": usage}
    named = {"modelVersion": "gemini-3-pro", "responseId": "r1"}
    return {"candidates": [{**content, "index": 0, **fields}], **named, **counted}


def parts_of(*events: dict[str, Any]) -> list[Part]:
    (item,) = streamed(events).items
    assert item["role"] == "model"
    found: list[Part] = item["parts"]
    return found


def test_adjacent_texts_of_one_kind_are_one_text() -> None:
    found = parts_of(
        chunk({"text": "Hm", "thought": True}),
        chunk({"text": ".", "thought": True}, {"text": "It"}),
        chunk({"text": " is"}, {"text": " cold."}),
        chunk({"text": ""}, finishReason="STOP"),
    )

    assert found == [{"text": "Hm.", "thought": True}, {"text": "It is cold."}]


def test_a_signature_stays_in_the_part_that_it_came_with() -> None:
    signed = {"text": "", "thoughtSignature": SIGNATURE}
    said = {"text": "b", "thoughtSignature": SIGNATURE}

    found = parts_of(chunk({"text": "a"}), chunk(said), chunk({"text": "c"}), chunk(signed))

    assert found == [{"text": "a"}, said, {"text": "c"}, signed]


def test_calls_arrive_whole() -> None:
    one = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": SIGNATURE}
    other = {"functionCall": {"name": "f", "args": {"a": None}, "id": "2"}}

    reply = streamed([chunk(one), chunk(other, other), chunk({"text": ""}, finishReason="STOP")])

    assert reply.items == [{"role": "model", "parts": [one, other, other]}]
    assert reply.unfinished == ()


def test_a_call_whose_arguments_come_in_pieces_is_put_together() -> None:
    def piece(path: str, going_on: bool = True, **value: Any) -> Part:
        given = {"jsonPath": path, **value}
        return {"functionCall": {"partialArgs": [given], "willContinue": going_on}}

    reply = streamed(
        [
            chunk(
                {
                    "functionCall": {"name": "f", "id": "1", "willContinue": True},
                    "thoughtSignature": SIGNATURE,
                }
            ),
            chunk(piece("$.city", stringValue="New", willContinue=True)),
            chunk(piece("$.city", stringValue=" York")),
            chunk(piece("$.days[0].n", numberValue=2)),
            chunk(piece("$.days[1]['is wet']", boolValue=True)),
            chunk(piece("$.none", nullValue="NULL_VALUE")),
            chunk({"functionCall": {}}),
            chunk({"text": "ok"}, finishReason="STOP"),
        ]
    )

    args = {"city": "New York", "days": [{"n": 2}, {"is wet": True}], "none": None}
    called = {"name": "f", "id": "1", "args": args}
    assert reply.items[0]["parts"] == [
        {"functionCall": called, "thoughtSignature": SIGNATURE},
        {"text": "ok"},
    ]


def test_a_call_that_was_cut_off_is_unfinished() -> None:
    begun = {"functionCall": {"name": "f", "id": "1", "willContinue": True}}
    piece = {"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}]}}
    piece["functionCall"]["willContinue"] = True  # type: ignore[assignment]

    reply = streamed([chunk({"text": "So:"}), chunk(begun), chunk(piece)], complete=False)

    assert reply.items == [{"role": "model", "parts": [{"text": "So:"}]}]
    assert reply.unfinished == (ToolCallPart(id="1", name="f", arguments='{"a":"b"}'),)


def test_pieces_of_arguments_that_contradict_each_other_are_reported() -> None:
    begun = {"functionCall": {"name": "f", "willContinue": True}}
    pieces = [
        {"jsonPath": "$.a", "numberValue": 1},
        {"jsonPath": "$.a.b", "stringValue": "x"},
        {"jsonPath": "$.a", "stringValue": "y"},
        {"jsonPath": "$", "stringValue": "z"},
        {"jsonPath": "$.b"},
    ]

    reply = streamed([chunk(begun), chunk({"functionCall": {"partialArgs": pieces}})])

    assert reply.items[0]["parts"] == [{"functionCall": {"name": "f", "args": {"a": 1}}}]
    assert reply.unknown == ("partialArgs",)


def test_pieces_of_arguments_go_on_from_those_that_came_whole() -> None:
    begun = {"functionCall": {"name": "f", "args": {"a": {"b": 1}}, "willContinue": True}}
    pieces = [
        {"jsonPath": "$.a.b.c", "stringValue": "x"},
        {"jsonPath": "$.a.d", "stringValue": "y"},
    ]

    reply = streamed([chunk(begun), chunk({"functionCall": {"partialArgs": pieces}})])

    called = {"name": "f", "args": {"a": {"b": 1, "d": "y"}}}
    assert reply.items[0]["parts"] == [{"functionCall": called}]
    assert reply.unknown == ("partialArgs",)


def test_the_last_usage_holds_but_its_zeros_do_not() -> None:
    first = {"promptTokenCount": 9, "totalTokenCount": 9, "thoughtsTokenCount": 5}
    last = {"promptTokenCount": 8, "totalTokenCount": 11, "thoughtsTokenCount": 0}

    reply = streamed([chunk({"text": "a"}, usage=first), chunk({"text": "b"}, usage=last)])

    assert reply.usage == {"promptTokenCount": 8, "totalTokenCount": 11, "thoughtsTokenCount": 5}
    assert (reply.model, reply.response_id) == ("gemini-3-pro", "r1")
    assert streamed([chunk({"text": "a"})]).usage is None


@pytest.mark.parametrize(
    "reason", ["MAX_TOKENS", "SAFETY", "RECITATION", "MALFORMED_FUNCTION_CALL"]
)
def test_an_answer_without_content_is_an_item_without_parts(reason: str) -> None:
    event = chunk(finishReason=reason)

    for reply in (FORMAT.reply(event), streamed([event])):
        assert reply is not None
        assert reply.items == [{"role": "model", "parts": []}]
        assert reply.finish_reason == reason


def test_a_content_that_has_only_a_role_comes_back() -> None:
    event = {"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]}

    for reply in (FORMAT.reply(event), streamed([event])):
        assert reply is not None
        assert reply.items == [{"role": "model"}]


def test_a_blocked_prompt_has_the_reason_and_the_usage() -> None:
    event = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 7},
        "modelVersion": "gemini-3-pro",
    }

    for reply in (FORMAT.reply(event), streamed([event])):
        assert reply is not None
        assert reply.items == [{"role": "model", "parts": []}]
        assert reply.finish_reason == "PROHIBITED_CONTENT"
        assert reply.usage == {"promptTokenCount": 7}
        assert reply.model == "gemini-3-pro"


def test_a_stream_that_gave_nothing_is_no_item() -> None:
    assert streamed([], complete=False).items == []
    assert streamed([{"usageMetadata": {"promptTokenCount": 3}}], complete=False).items == []


def test_a_role_is_added_where_it_is_missing() -> None:
    event = {"candidates": [{"content": {"parts": [{"text": "a"}]}}]}

    for reply in (FORMAT.reply(event), streamed([event])):
        assert reply is not None
        assert reply.items == [{"role": "model", "parts": [{"text": "a"}]}]


def test_halves_of_a_surrogate_pair_are_joined() -> None:
    assert parts_of(chunk({"text": "a\ud83d"}), chunk({"text": "\ude00"})) == [{"text": "a😀"}]
    assert parts_of(chunk({"text": "a\ud83d"})) == [{"text": "a\ufffd"}]


def test_parts_of_a_later_release_are_kept_and_named() -> None:
    strange = {"hologram": {"x": 1}}
    event = chunk(strange, {"text": "a", "glow": True}, finishReason="STOP")

    for reply in (FORMAT.reply(event), streamed([event])):
        assert reply is not None
        assert reply.items[0]["parts"] == [strange, {"text": "a", "glow": True}]
        assert reply.unknown == ("hologram", "glow")


def test_replies_in_the_sdks_own_spelling_are_read() -> None:
    """`model_dump(mode="json")` has snake case and nulls."""
    part = types.Part.from_function_call(name="f", args={"a": None})
    part.thought_signature = b"signed"
    whole = types.GenerateContentResponse(
        candidates=[
            types.Candidate(
                content=types.Content(role="model", parts=[types.Part(text="a"), part]),
                finish_reason=types.FinishReason.STOP,
            )
        ],
        model_version="gemini-3-pro",
        usage_metadata=types.GenerateContentResponseUsageMetadata(prompt_token_count=3),
    )
    called = {"function_call": {"name": "f", "args": {"a": None}}, "thought_signature": SIGNATURE}

    for given in (whole.model_dump(mode="json"), {**whole.model_dump(mode="json"), "x": 1}):
        for reply in (FORMAT.reply(given), streamed([given])):
            assert reply is not None
            assert reply.items == [{"role": "model", "parts": [{"text": "a"}, called]}]
            assert reply.finish_reason == "STOP"
            assert reply.usage == {"prompt_token_count": 3}
    as_objects = FORMAT.reply(dict(as_json(whole) or {}))
    assert as_objects is not None
    assert same(
        as_objects.items[0]["parts"][1],
        {"functionCall": called["function_call"], "thoughtSignature": SIGNATURE},
    )


@pytest.mark.parametrize(
    "given",
    [
        {"choices": []},
        {"type": "message", "content": []},
        {"object": "response", "output": [], "usage": {}},
        {"type": "message_start"},
        {"error": {"code": 400}},
        {"candidates": {}},
        {},
    ],
    ids=str,
)
def test_answers_of_other_apis_are_not_taken(given: dict[str, Any]) -> None:
    assert FORMAT.reply(given) is None
    assert not FORMAT.is_event(given)


def test_chunks_are_told_by_what_they_hold() -> None:
    assert FORMAT.is_event(chunk({"text": "a"}))
    assert FORMAT.is_event({"promptFeedback": {"blockReason": "SAFETY"}})
    assert FORMAT.is_event({"usageMetadata": {"promptTokenCount": 1}, "modelVersion": "gemini"})


def test_nothing_of_an_event_is_kept_or_handed_out() -> None:
    part: dict[str, Any] = {"functionCall": {"name": "f", "args": {"a": [1]}}}
    event = chunk(part, usage={"promptTokenCount": 1})
    deltas = FORMAT.events().feed(event)
    before = repr(deltas)
    part["functionCall"]["args"]["a"].append(2)
    event["usageMetadata"]["promptTokenCount"] = 2

    assert repr(deltas) == before
