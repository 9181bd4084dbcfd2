"""Streams: what arrives becomes the item for the next request, wherever it ends."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.answers import Answer, Call
from providers.servers import serving
from support.anthropic_items import FORMAT, messages_of, same, sent, streamed
from tract.formats.format import Reply, as_json
from tract.protocols.parts import ToolCallPart

Event = dict[str, Any]


def start(**usage: int) -> Event:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x"}
    return {"type": "message_start", "message": {**message, "content": [], "usage": usage}}


def begin(index: int, **block: Any) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def add(index: int, kind: str, **fields: Any) -> Event:
    delta = {"type": kind, **fields}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def stop(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}


def end(reason: str | None = "end_turn", **usage: Any) -> Event:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


STOP: Event = {"type": "message_stop"}


def text(index: int, *pieces: str) -> list[Event]:
    deltas = [add(index, "text_delta", text=piece) for piece in pieces]
    return [begin(index, type="text", text=""), *deltas, stop(index)]


def thinking(index: int, said: str, signature: str | None) -> list[Event]:
    signed = [] if signature is None else [add(index, "signature_delta", signature=signature)]
    return [
        begin(index, type="thinking", thinking="", signature=""),
        add(index, "thinking_delta", thinking=said),
        *signed,
    ]


def call(index: int, *pieces: str, kind: str = "tool_use", **fields: Any) -> list[Event]:
    given_in = {"type": kind, "id": f"toolu_{index}", "name": "f", "input": {}, **fields}
    deltas = [add(index, "input_json_delta", partial_json=piece) for piece in pieces]
    return [begin(index, **given_in), *deltas]


def content(*events: Event) -> list[Any]:
    return list(streamed(events).items[0]["content"])


def inputs(reply: Reply) -> list[Any]:
    return [block["input"] for block in reply.items[0]["content"] if "input" in block]


class TestBlocks:
    def test_texts_around_a_servers_tool_stay_apart(self) -> None:
        server = begin(1, type="server_tool_use", id="srvtoolu_1", name="web_search", input={})
        blocks = content(*text(0, "I'll", " search."), server, *text(2, "It is so."), end())

        assert [block.get("text") for block in blocks] == ["I'll search.", None, "It is so."]
        assert blocks[1] == server["content_block"]

    def test_thinking_keeps_its_text_signature_and_place(self) -> None:
        tool = call(1)
        blocks = content(*thinking(0, "A\n\nB", "S1"), *tool, *thinking(2, "C", "S2"), end())

        assert blocks == [
            {"type": "thinking", "thinking": "A\n\nB", "signature": "S1"},
            tool[0]["content_block"],
            {"type": "thinking", "thinking": "C", "signature": "S2"},
        ]

    def test_thinking_that_is_not_displayed_keeps_its_signature(self) -> None:
        events = [begin(0, type="thinking", thinking="", signature="")]
        events.append(add(0, "signature_delta", signature="SIG"))

        assert content(*events, end()) == [{"type": "thinking", "thinking": "", "signature": "SIG"}]

    def test_blocks_whose_indices_come_again_are_blocks_of_their_own(self) -> None:
        blocks = content(*thinking(0, "A", "S1"), *call(1), *thinking(0, "B", "S2"), end())

        signatures = [block.get("signature") for block in blocks]
        assert signatures == ["S1", None, "S2"]

    def test_citations_are_kept_in_order(self) -> None:
        cited = [{"type": "char_location", "cited_text": each} for each in "ab"]
        events = [
            begin(0, type="text", text="", citations=[]),
            add(0, "citations_delta", citation=cited[0]),
            add(0, "text_delta", text="so"),
            add(0, "citations_delta", citation=cited[1]),
        ]

        assert content(*events, end()) == [{"type": "text", "text": "so", "citations": cited}]

    def test_a_compaction_is_kept(self) -> None:
        events = [
            begin(0, type="compaction", content=None),
            add(0, "compaction_delta", content="So far", encrypted_content="E"),
        ]

        (block,) = content(*events, end("compaction"))
        assert block == {"type": "compaction", "content": "So far", "encrypted_content": "E"}

    def test_interleaved_blocks_are_kept_apart(self) -> None:
        events = [
            begin(0, type="text", text=""),
            begin(1, type="text", text=""),
            add(0, "text_delta", text="a"),
            add(1, "text_delta", text="b"),
            add(0, "text_delta", text="c"),
        ]

        assert [block["text"] for block in content(*events, end())] == ["ac", "b"]

    def test_a_pair_of_surrogates_that_was_split_is_joined(self) -> None:
        assert content(*text(0, "\ud83d", "\ude00"), end())[0]["text"] == "\U0001f600"

    def test_a_delta_whose_block_never_began_is_kept(self) -> None:
        assert content(add(3, "text_delta", text="hi"), end()) == [{"type": "text", "text": "hi"}]


class TestCalls:
    @pytest.mark.parametrize(
        ("pieces", "expected"),
        [
            ((), {}),
            (("",), {}),
            (('{"x"', ": 1}"), {"x": 1}),
            (("{}",), {}),
        ],
    )
    def test_pieces_of_arguments_become_the_input(
        self, pieces: Sequence[str], expected: dict[str, Any]
    ) -> None:
        assert inputs(streamed([*call(0, *pieces), stop(0), end("tool_use")])) == [expected]

    def test_an_input_given_at_once_is_kept(self) -> None:
        assert inputs(streamed([*call(0, input={"x": 1}), end("tool_use")])) == [{"x": 1}]

    def test_arguments_that_are_not_json_are_kept_as_text(self) -> None:
        reply = streamed([*call(0, "{x"), stop(0), end("tool_use")])

        assert inputs(reply) == [{"arguments": "{x"}]
        assert reply.unfinished == ()

    @pytest.mark.parametrize("kind", ["tool_use", "server_tool_use", "mcp_tool_use"])
    @pytest.mark.parametrize("reason", ["max_tokens", "refusal", None])
    def test_a_call_that_was_cut_off_is_in_no_item(self, kind: str, reason: str | None) -> None:
        reply = streamed([*text(0, "hm"), *call(1, '{"x', kind=kind), stop(1), end(reason)])

        assert [block["type"] for block in reply.items[0]["content"]] == ["text"]
        side = "function" if kind == "tool_use" else "server"
        cut = ToolCallPart(id="toolu_1", name="f", arguments='{"x', kind=side)  # type: ignore[arg-type]
        assert reply.unfinished == (cut,)

    def test_a_call_that_was_complete_before_the_cut_is_kept(self) -> None:
        reply = streamed([*call(0, '{"x": 1}'), stop(0), *call(1, "{"), end("max_tokens")])

        assert inputs(reply) == [{"x": 1}]
        assert [each.id for each in reply.unfinished] == ["toolu_1"]

    def test_a_call_without_arguments_that_ended_before_the_cut_is_kept(self) -> None:
        reply = streamed([*call(0), stop(0), *call(1)], complete=False)

        assert inputs(reply) == [{}]
        assert [each.id for each in reply.unfinished] == ["toolu_1"]

    def test_a_pause_cuts_no_call_off(self) -> None:
        reply = streamed([*call(0, kind="server_tool_use"), stop(0), end("pause_turn")])

        assert inputs(reply) == [{}]


class TestWhatIsSaid:
    def test_ids_model_reason_and_usage_are_kept(self) -> None:
        reply = streamed([start(input_tokens=9), *text(0, "hi"), end(output_tokens=2), STOP])

        assert reply[1:] == (
            {"input_tokens": 9, "output_tokens": 2},
            "claude-x",
            "msg_1",
            "end_turn",
            (),
            (),
        )

    def test_zeros_that_come_late_do_not_override_counts(self) -> None:
        late = end(input_tokens=0, output_tokens=76, cache={"read": 0, "made": 5})
        first = start(input_tokens=9325, output_tokens=1)
        first["message"]["usage"]["cache"] = {"read": 7}

        assert streamed([first, late]).usage == {
            "input_tokens": 9325,
            "output_tokens": 76,
            "cache": {"read": 7, "made": 5},
        }

    def test_counts_that_grow_replace_those_before(self) -> None:
        assert streamed([start(input_tokens=702), end(input_tokens=1591)]).usage == {
            "input_tokens": 1591
        }

    def test_no_usage_is_none(self) -> None:
        assert streamed([*text(0, "hi"), STOP]).usage is None

    def test_a_stop_without_a_reason_ends_the_turn(self) -> None:
        assert streamed([*text(0, "hi"), STOP]).finish_reason == "end_turn"

    def test_the_model_that_took_over_is_named(self) -> None:
        handed = begin(0, type="fallback", to={"model": "claude-y"}, **{"from": {"model": "x"}})

        assert streamed([start(), handed, stop(0), end()]).model == "claude-y"

    def test_a_stream_of_nothing_has_no_item(self) -> None:
        assert streamed([], complete=False) == Reply([])
        assert streamed([start()], complete=False).items == []

    def test_an_empty_reply_is_an_item(self) -> None:
        reply = streamed([start(), end("end_turn")])

        assert reply.items == [{"role": "assistant", "content": []}]

    @pytest.mark.parametrize("kind", ["max_tokens", "refusal", "stop_sequence"])
    def test_the_reason_is_in_the_apis_words(self, kind: str) -> None:
        assert streamed([*text(0, "hi"), end(kind)]).finish_reason == kind


class TestWhatNobodyKnows:
    def test_a_strange_event_is_named_once(self) -> None:
        strange = {"type": "message_aura", "colour": "blue"}
        reply = streamed([start(), strange, *text(0, "hi"), strange, end()])

        assert reply.unknown == ("message_aura",)
        assert reply.items[0]["content"] == [{"type": "text", "text": "hi"}]

    def test_a_strange_delta_is_kept_in_its_block(self) -> None:
        events = [begin(0, type="text", text="hi"), add(0, "mood_delta", mood="ca", level=1)]
        events.append(add(0, "mood_delta", mood="lm", level=2))
        reply = streamed([*events, end()])

        assert reply.items[0]["content"] == [
            {"type": "text", "text": "hi", "mood": "calm", "level": 2}
        ]
        assert reply.unknown == ("mood_delta",)

    def test_a_strange_block_is_kept_as_it_is(self) -> None:
        block = {"type": "hologram", "depth": 3}
        reply = streamed([begin(0, **block), stop(0), end()])

        assert reply.items[0]["content"] == [block]
        assert reply.unknown == ("hologram",)

    def test_a_strange_block_of_a_whole_reply_is_named(self) -> None:
        whole = {"type": "message", "role": "assistant", "content": [{"type": "hologram"}]}
        reply = FORMAT.reply(whole)

        assert reply is not None
        assert reply.unknown == ("hologram",)

    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(["type", "index", "delta", "content_block", "message", "usage"]),
                st.none()
                | st.integers(0, 3)
                | st.sampled_from(["message_start", "content_block_delta", "message_delta"])
                | st.dictionaries(
                    st.sampled_from(["type", "text", "usage", "content"]),
                    st.none() | st.sampled_from(["text_delta", "text", "tool_use"]),
                ),
            ),
            max_size=5,
        )
    )
    def test_no_event_stops_the_reading(self, events: list[Event]) -> None:
        streamed(events, complete=False)

    def test_an_error_leaves_what_came(self) -> None:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        reply = streamed([start(), *text(0, "hi")[:-1], error], complete=False)

        assert reply.items[0]["content"] == [{"type": "text", "text": "hi"}]
        assert (reply.finish_reason, reply.unknown) == (None, ())


class TestKinds:
    @pytest.mark.parametrize(
        "event",
        [start(), begin(0, type="text", text=""), {"type": "ping"}, end(), STOP],
        ids=lambda event: event["type"],
    )
    def test_events_of_this_api_are_known(self, event: Event) -> None:
        assert FORMAT.is_event(event)

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "response.created", "response": {}},
            {"type": "error", "code": "x", "message": "y"},
            {"object": "chat.completion.chunk", "choices": []},
            {"candidates": []},
            {"type": 7},
            {},
        ],
        ids=str,
    )
    def test_events_of_others_are_not(self, event: Event) -> None:
        assert not FORMAT.is_event(event)

    @pytest.mark.parametrize(
        "reply",
        [
            {"object": "chat.completion", "choices": []},
            {"object": "response", "output": []},
            {"candidates": []},
            {"type": "error", "error": {}},
            {},
        ],
        ids=str,
    )
    def test_replies_of_others_are_not_read(self, reply: Event) -> None:
        assert FORMAT.reply(reply) is None


def test_a_block_cut_off_without_its_signature_is_kept_and_not_sent() -> None:
    reply = streamed([*thinking(0, "hm", None)], complete=False)
    messages = messages_of({"role": "user", "content": "q"}, *reply.items)

    assert reply.items[0]["content"] == [{"type": "thinking", "thinking": "hm", "signature": ""}]
    assert sent(messages)["messages"] == [{"role": "user", "content": "q"}]


LOOP = (
    Answer(
        thinking="Two things are asked.", text="Let me see.", calls=(Call("f", {"x": [1, "é"]}),)
    ),
    Answer(text="Snow."),
)


@pytest.mark.parametrize("helper", [False, True], ids=["raw", "helper"])
async def test_the_sdks_events_give_the_items_of_the_whole_reply(helper: bool) -> None:
    """Its helper repeats what came before; nothing counts twice."""
    tools: Any = [{"name": "f", "input_schema": {"type": "object"}}]
    arguments: dict[str, Any] = {"model": "claude-sonnet-5-5", "max_tokens": 99, "tools": tools}
    arguments["messages"] = [{"role": "user", "content": "q"}]
    async with (
        serving(LOOP[0], LOOP[0]) as server,
        anthropic.AsyncAnthropic(
            base_url=server.base_url("anthropic.messages"), api_key="k", max_retries=0
        ) as client,
    ):
        events = await (with_helper if helper else raw)(client, arguments)
        whole = await client.messages.create(**arguments)

    reply = streamed(events)
    expected = FORMAT.reply(dict(as_json(whole) or {}))
    assert expected is not None
    assert len(reply.items[0]["content"]) == 3
    assert without_numbers(reply.items) == without_numbers(expected.items)
    assert (reply.unknown, reply.unfinished, expected.unknown) == ((), (), ())
    assert reply.usage == expected.usage


async def raw(client: anthropic.AsyncAnthropic, arguments: dict[str, Any]) -> list[Event]:
    stream = await client.messages.create(**arguments, stream=True)
    return [dict(as_json(event) or {}) async for event in stream]


async def with_helper(client: anthropic.AsyncAnthropic, arguments: dict[str, Any]) -> list[Event]:
    async with client.messages.stream(**arguments) as stream:
        found = [dict(as_json(event) or {}) async for event in stream]
    assert {"text", "thinking", "signature", "input_json"} <= {each["type"] for each in found}
    return found


def without_numbers(items: list[Any]) -> list[Any]:
    """Return items without ids and signatures, which differ between two answers."""
    content = copy.deepcopy(items[0]["content"])
    for block in content:
        assert len(block.pop("signature", "x")) > 0
        assert block.pop("id", "toolu_").startswith("toolu_")
    return list(content)


def test_a_parsed_output_of_the_sdk_is_not_sent_back() -> None:
    block = {"type": "text", "text": "{}", "parsed_output": {"a": 1}}
    reply = FORMAT.reply({"type": "message", "role": "assistant", "content": [block]})

    assert reply is not None
    assert same(reply.items[0]["content"], [{"type": "text", "text": "{}"}])
