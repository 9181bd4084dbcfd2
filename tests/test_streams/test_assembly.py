"""The pure part: chunks and events in, text and calls out; what was written down reads the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import sse
from tract import ToolCall
from tract.formats.anthropic_stream import AnthropicEvents
from tract.formats.assembly import Assembly, Fragment, compacted
from tract.formats.openai_stream import OpenAIChunks

PARTS = st.one_of(
    st.tuples(st.sampled_from(["text", "refusal", "reasoning"]), st.text(max_size=3)),
    st.tuples(
        st.just("call"),
        st.integers(0, 2),
        st.none() | st.just("id"),
        st.none() | st.sampled_from(["find", "get"]),
        st.none() | st.text(max_size=3),
    ),
    st.tuples(st.just("finish"), st.sampled_from(["stop", "length"])),
)


def of_openai(chunks: list[Any]) -> Assembly:
    reader = OpenAIChunks()
    return Assembly(fragment for chunk in chunks for fragment in reader.feed(chunk))


def of_anthropic(events: list[Any]) -> Assembly:
    reader = AnthropicEvents()
    return Assembly(fragment for event in events for fragment in reader.feed(event))


def state(assembly: Assembly) -> Any:
    texts = (assembly.text, assembly.refusal, assembly.reasoning)
    return texts, assembly.calls, assembly.unfinished_calls, assembly.finish_reason


def call(index: int | None, call_id: str | None, name: str | None, arguments: str) -> Any:
    function = {"name": name, "arguments": arguments}
    return sse.chunk({"tool_calls": [{"index": index, "id": call_id, "function": function}]})


@given(st.lists(PARTS))
def test_joining_fragments_and_writing_them_as_json_changes_nothing(
    fragments: list[Fragment],
) -> None:
    written = json.loads(json.dumps(compacted(fragments)))

    assert state(Assembly(written)) == state(Assembly(fragments))


@given(st.lists(PARTS), st.lists(PARTS))
def test_joining_in_two_goes_is_joining(first: list[Fragment], second: list[Fragment]) -> None:
    assert state(Assembly(compacted([*compacted(first), *second]))) == state(
        Assembly([*first, *second])
    )


def test_dicts_are_read_as_the_sdks_objects_are() -> None:
    assembly = of_openai([*sse.texts("Let me ", "look."), *sse.interleaved_calls()])

    assert assembly.text == "Let me look."
    assert [c.id for c in assembly.calls] == ["call_a", "call_b"]
    assert (assembly.model, assembly.response_id) == ("gpt-5-2026-01-01", "chatcmpl-7")


def test_of_several_choices_the_first_is_taken() -> None:
    second = {"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}
    assembly = of_openai([*sse.texts("one"), {**sse.chunk(), "choices": [second]}])

    assert assembly.text == "one"
    assert assembly.finish_reason is None


def test_a_refusal_is_told_apart() -> None:
    assembly = of_openai([sse.chunk({"refusal": "I "}), sse.chunk({"refusal": "cannot."})])

    assert (assembly.text, assembly.refusal) == ("", "I cannot.")


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_of_apis_like_openais_is_told_apart(key: str) -> None:
    assembly = of_openai([sse.chunk({key: "Hm. ", "content": None}), sse.chunk({"content": "Yes"})])

    assert (assembly.text, assembly.reasoning) == ("Yes", "Hm. ")


@pytest.mark.parametrize("index", [None, 0])
def test_calls_without_an_index_of_their_own_are_told_apart_by_id(index: int | None) -> None:
    chunks = [
        call(index, "a", "f", '{"x'),
        call(index, None, None, '":1}'),
        call(index, "b", "g", "{}"),
    ]

    assert of_openai(chunks).calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")]


def test_a_call_is_unfinished_until_its_arguments_are_or_the_reply_is() -> None:
    begun = [call(0, "a", "f", '{"x":')]

    assert of_openai(begun).calls == []
    assert of_openai([*begun, sse.chunk({}, "length")]).calls == []
    assert of_openai([*begun, call(0, None, None, "1}")]).calls == [ToolCall("a", "f", '{"x":1}')]
    assert of_openai([*begun, sse.chunk({}, "tool_calls")]).calls == [ToolCall("a", "f", '{"x":')]


def test_blocks_that_a_providers_own_tools_make_are_passed_over() -> None:
    made = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}
    query = {"type": "input_json_delta", "partial_json": '{"query":"Oslo"}'}
    assembly = of_anthropic(
        [sse.message_start(), *sse.block(0, made, query), *sse.text_block(1, "Hi")]
    )

    assert (assembly.text, assembly.calls, assembly.unfinished_calls) == ("Hi", [], [])


def test_the_parts_of_an_anthropic_report_are_put_together() -> None:
    assembly = of_anthropic([sse.message_start(), *sse.message_end("end_turn")])

    assert assembly.usage == {
        "input_tokens": 30,
        "cache_read_input_tokens": 10,
        "output_tokens": 12,
    }


@pytest.mark.parametrize("odd", [None, 7, "text", [], {}, {"type": "ping"}, {"choices": None}])
def test_what_is_no_chunk_is_passed_over(odd: Any) -> None:
    assert OpenAIChunks().feed(odd) == []
    assert AnthropicEvents().feed(odd) == []
