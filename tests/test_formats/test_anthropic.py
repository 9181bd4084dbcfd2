"""Arguments of the Messages API: valid, and what the API refuses is settled."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from anthropic.types import MessageParam
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tract import Message, ToolCall, to_anthropic

OFFICIAL = TypeAdapter(list[MessageParam])


def check_official(messages: list[dict[str, Any]]) -> None:
    """Validate against the official types; their iterables only validate when they are read."""
    for message in OFFICIAL.validate_python(messages):
        for block in list(message["content"]):
            if isinstance(block, dict) and not isinstance(block.get("content", ""), str):
                list(block["content"])  # type: ignore[typeddict-item]


def calling(*ids: str | None, text: str | None = None, arguments: str = "{}") -> Message:
    made = tuple(ToolCall(call_id, "f", arguments) for call_id in ids)
    return Message("assistant", text, tool_calls=made)


def result(call_id: str | None, text: str = "done") -> Message:
    return Message("tool", text, tool_call_id=call_id, tool_name="f")


def sent(*messages: Message) -> list[dict[str, Any]]:
    return list(to_anthropic(messages)["messages"])


def sent_ids(*messages: Message) -> tuple[list[str], list[str]]:
    """Return the ids of the calls and of the results, as they are sent."""
    blocks = [
        block
        for message in sent(*messages)
        if isinstance(message["content"], list)
        for block in message["content"]
    ]
    return (
        [block["id"] for block in blocks if block["type"] == "tool_use"],
        [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"],
    )


def sent_input(arguments: str) -> Any:
    (message,) = sent(calling("a", arguments=arguments))
    return message["content"][0]["input"]


ids = st.none() | st.sampled_from(["a", "a_b", "a.b", "a:b", "a_b_2", "call_1", "", "é"])
texts = st.none() | st.sampled_from(["", " \n", "hello"])
tools = st.sampled_from(["f", "g"])
arguments = st.sampled_from(["", "{}", '{"x": 1}', "[", "[1]", '{"x": NaN}', '{"x": 1e999}'])
tool_calls = st.lists(st.builds(ToolCall, ids, tools, arguments), max_size=3).map(tuple)
any_messages = st.lists(
    st.builds(Message, st.sampled_from(["system", "user"]), texts, st.none() | st.just("ann"))
    | st.builds(Message, st.just("assistant"), texts, tool_calls=tool_calls)
    | st.builds(
        Message,
        st.just("tool"),
        texts,
        tool_call_id=ids,
        tool_name=st.none() | tools,
        is_error=st.booleans(),
    ),
    max_size=12,
)


class TestShape:
    def test_a_single_text_is_a_plain_string(self) -> None:
        assert to_anthropic([Message("user", "u", "ann")]) == {
            "messages": [{"role": "user", "content": "u"}]
        }

    def test_system_texts_are_joined_wherever_they_stand(self) -> None:
        made = [Message("system", "one"), Message("user", "u"), Message("system", "two")]

        assert to_anthropic(made)["system"] == "one\n\ntwo"

    @pytest.mark.parametrize("text", [None, "", " \n"])
    def test_blank_system_texts_are_left_out(self, text: str | None) -> None:
        assert to_anthropic([Message("system", text)]) == {"messages": []}

    def test_text_and_calls_become_blocks(self) -> None:
        (message,) = sent(calling("a", text="t", arguments='{"x": 1}'))

        assert message == {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            ],
        }

    def test_results_come_first_in_the_users_message(self) -> None:
        message = sent(calling("a", "b"), result("a"), Message("user", "u"), result("b"))[1]

        assert message == {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "done"},
                {"type": "tool_result", "tool_use_id": "b", "content": "done"},
                {"type": "text", "text": "u"},
            ],
        }

    def test_texts_come_before_calls_in_the_assistants_message(self) -> None:
        """The API wants a call's result right after it, so nothing may stand between."""
        (message,) = sent(calling("a"), Message("assistant", "t"), calling("b"))

        kinds = [block["type"] for block in message["content"]]
        assert kinds == ["text", "tool_use", "tool_use"]

    def test_only_a_failed_result_says_so(self) -> None:
        failed = Message("tool", "no", tool_call_id="b", is_error=True)
        blocks = sent(calling("a", "b"), result("a"), failed)[1]["content"]

        assert [block.get("is_error") for block in blocks] == [None, True]

    @pytest.mark.parametrize("blank", [None, "", " \n"])
    def test_a_message_without_a_block_is_left_out(self, blank: str | None) -> None:
        messages = sent(Message("user", "u"), Message("assistant", blank), Message("user", "v"))

        texts = [{"type": "text", "text": "u"}, {"type": "text", "text": "v"}]
        assert messages == [{"role": "user", "content": texts}]

    def test_an_empty_result_is_still_sent(self) -> None:
        assert sent(calling("a"), result("a", ""))[1]["content"][0]["content"] == ""


class TestInput:
    @pytest.mark.parametrize("arguments", ["", " "])
    def test_no_arguments_are_an_empty_object(self, arguments: str) -> None:
        assert sent_input(arguments) == {}

    def test_an_object_is_parsed(self) -> None:
        assert sent_input('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}

    @pytest.mark.parametrize(
        "arguments",
        [
            "[1]",
            "3",
            "null",
            "{",
            "text",
            '{"x": NaN}',
            '{"x": -Infinity}',
            '{"x": 1e999}',
            '{"x": "\\ud800"}',
            '{"x": ' + "9" * 10_000 + "}",
            '{"x": ' * 65 + "1" + "}" * 65,
            '{"x":' * 100_000,
            '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}",
        ],
        ids=lambda arguments: arguments[:16],
    )
    def test_what_cannot_be_sent_as_an_object_is_sent_as_text(self, arguments: str) -> None:
        assert sent_input(arguments) == {"arguments": arguments}

    def test_objects_nested_up_to_the_bound_are_parsed(self) -> None:
        nested = '{"x": ' * 64 + "1" + "}" * 64

        assert sent_input(nested) == json.loads(nested)

    @given(st.text())
    def test_any_arguments_give_an_object(self, arguments: str) -> None:
        assert isinstance(sent_input(arguments), dict)


class TestIds:
    def test_missing_ids_are_made_up_for_calls_and_results(self) -> None:
        assert sent_ids(calling(None), result(None)) == (["call_1"], ["call_1"])

    @pytest.mark.parametrize("given_id", ["a.b|é", ""])
    def test_an_id_that_the_api_refuses_becomes_a_valid_one(self, given_id: str) -> None:
        called, answered = sent_ids(calling(given_id), result(given_id))

        assert called == answered
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", called[0])

    def test_different_ids_stay_different(self) -> None:
        made = ["a.b", "a:b", "a_b", "a_b_2"]

        called, answered = sent_ids(calling(*made), *map(result, made))
        assert called == answered
        assert len(set(called)) == 4
        assert called[2:] == ["a_b", "a_b_2"]

    def test_an_id_used_again_later_gets_its_own(self) -> None:
        turn = (calling("a"), result("a"), Message("user", "again"))

        assert sent_ids(*turn, *turn) == (["a", "a_2"], ["a", "a_2"])

    def test_an_id_used_twice_in_a_turn_is_answered_in_order(self) -> None:
        assert sent_ids(calling("a", "a"), result("a"), result("a"))[1] == ["a", "a_2"]

    def test_a_result_never_answers_a_call_of_an_earlier_turn_that_used_its_id(self) -> None:
        made = (calling("a"), Message("user", "never mind"), calling("a"), result("a"))

        assert sent_ids(*made)[1] == ["a_2"]

    def test_a_result_without_a_call_keeps_its_id(self) -> None:
        assert sent_ids(result("a"))[1] == ["a"]

    def test_a_longer_conversation_leaves_the_ids_before_it_as_they_were(self) -> None:
        begun = (calling(None, "x.y"), result(None), result("x.y"))
        longer = (*begun, calling(None, "x.y"), result(None))

        assert sent(*longer)[:2] == sent(*begun)


class TestAnyMessages:
    @given(any_messages)
    def test_are_valid_by_the_official_types(self, messages: list[Message]) -> None:
        check_official(to_anthropic(messages)["messages"])

    @given(any_messages)
    def test_alternate_between_the_sides(self, messages: list[Message]) -> None:
        roles = [message["role"] for message in sent(*messages)]

        assert all(before != after for before, after in pairwise(roles))

    @given(any_messages)
    def test_have_unique_portable_ids(self, messages: list[Message]) -> None:
        called, answered = sent_ids(*messages)

        assert len(set(called)) == len(called)
        assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", known) for known in called + answered)

    @given(any_messages)
    def test_have_no_blank_text(self, messages: list[Message]) -> None:
        contents = [message["content"] for message in sent(*messages)]
        blocks = [block for content in contents if isinstance(content, list) for block in content]
        texts = [content for content in contents if isinstance(content, str)]
        texts += [block["text"] for block in blocks if block["type"] == "text"]

        assert all(contents)
        assert all(text.strip() for text in texts)
