"""Calls and results are brought together, whatever order they were committed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tract import Loss, Message, OpenCalls, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from tract.formats.fitting import fitted
from tract.formats.format import Rules, Sent, Writing
from tract.formats.pairing import matched, open_calls, paired
from tract.formats.sending import parts_of
from tract.protocols import ToolCall
from tract.protocols.parts import Part


def call(*ids: str | None, text: str | None = None, name: str = "f") -> Message:
    return Message("assistant", text, tool_calls=tuple(ToolCall(each, name, "{}") for each in ids))


def result(call_id: str | None, text: str = "r", *, name: str | None = "f") -> Message:
    return Message("tool", text, tool_call_id=call_id, tool_name=name)


def said(role: str, text: str = "t") -> Message:
    return Message(role, text)


def rich_call(call_id: str) -> ToolCallPart:
    return ToolCallPart(id=call_id, name="f", arguments="{}")


def rich_result(call_id: str) -> ToolResultPart:
    return ToolResultPart(call_id=call_id, parts=(TextPart(text="r"),))


def pair(messages: Sequence[Message], how: OpenCalls = "error") -> tuple[list[Message], list[Loss]]:
    writing = Writing()
    sent = paired([Sent(each, f"{at}") for at, each in enumerate(messages)], how, writing, parts_of)
    return [each.message for each in sent], writing.losses


def shape(messages: Sequence[Message]) -> list[str]:
    """Return messages as short words: `a(1)` for a call, `t1` for a result."""
    words = []
    for message in messages:
        parts = [_word(part) for part in message.parts]
        words.append("+".join(parts))
    return words


def _word(part: Part) -> str:
    if isinstance(part, ToolCallPart):
        return f"call {part.id}"
    if isinstance(part, ToolResultPart):
        return f"{'error' if part.is_error else 'result'} {part.call_id}"
    return part.type


def test_an_empty_list_stays_empty() -> None:
    assert pair([]) == ([], [])


@pytest.mark.parametrize(
    "messages",
    [
        [said("user"), said("assistant")],
        [said("user"), call("1"), result("1"), said("assistant")],
        [call("1", "2"), result("2"), result("1")],
        [call("1", text="x"), call("2"), result("1"), result("2")],
        [call("1"), result("1"), call("1"), result("1")],
        [call(None), result(None)],
        [
            Message.of("assistant", (rich_call("1"), rich_call("2"))),
            Message.of("user", (rich_result("1"), rich_result("2"), TextPart(text="and"))),
        ],
    ],
)
def test_what_is_paired_stays_the_very_same(messages: list[Message]) -> None:
    sent = [Sent(message) for message in messages]

    assert paired(sent, "error", Writing(), parts_of) is sent


def test_a_late_result_moves_behind_its_call() -> None:
    messages, losses = pair([call("1"), said("user"), said("assistant"), result("1")])

    assert shape(messages) == ["call 1", "result 1", "text", "text"]
    assert losses == []


def test_a_result_that_came_before_its_call_moves_behind_it() -> None:
    messages, losses = pair([result("1"), said("user"), call("1")])

    assert shape(messages) == ["text", "call 1", "result 1"]
    assert losses == []


def test_two_interleaved_runs_come_apart() -> None:
    given_messages = [call("a", text="x"), call("b", text="y"), result("a"), result("b")]

    messages, losses = pair(given_messages)

    assert shape(messages) == ["text+call a", "result a", "text+call b", "result b"]
    assert losses == []


def test_thinking_stays_with_what_it_leads_to_where_two_runs_interleave() -> None:
    hm = Message.of("assistant", (ThinkingPart(text="hm", signature="s"),))
    given_messages = [hm, said("assistant"), call("a"), hm, said("assistant"), call("b")]

    messages, _ = pair([*given_messages, result("a"), result("b")])

    assert shape(messages) == [
        *("thinking", "text", "call a", "result a"),
        *("thinking", "text", "call b", "result b"),
    ]


def test_two_replies_that_think_and_call_come_apart() -> None:
    thinking = ThinkingPart(text="hm", signature="s")
    replies = [Message.of("assistant", (thinking, rich_call(each))) for each in "ab"]

    messages, _ = pair([*replies, result("a"), result("b")])

    assert shape(messages) == [
        *("thinking+call a", "result a"),
        *("thinking+call b", "result b"),
    ]


def test_thinking_between_the_calls_of_one_reply_stays_there() -> None:
    hm = Message.of("assistant", (ThinkingPart(text="hm", signature="s"),))
    sent = [Sent(each) for each in (hm, call("a"), hm, call("b"), result("a"), result("b"))]

    assert paired(sent, "error", Writing(), parts_of) is sent


def test_an_open_call_gets_an_error_as_its_result() -> None:
    messages, losses = pair([said("user"), call("1", "2"), result("2"), said("user")])

    assert shape(messages) == ["text", "call 1+call 2", "error 1", "result 2", "text"]
    assert [(loss.commit_hash, loss.what) for loss in losses] == [("1", "tool_call")]


def test_dropped_calls_leave_the_text_beside_them() -> None:
    messages, losses = pair([call("1", "2", text="x"), result("2"), call("3")], "drop")

    assert shape(messages) == ["text+call 2", "result 2"]
    assert [(loss.commit_hash, loss.what) for loss in losses] == [
        ("0", "tool_call"),
        ("2", "tool_call"),
    ]


def test_thinking_that_led_to_a_dropped_call_goes_with_it() -> None:
    message = Message.of("assistant", (ThinkingPart(text="hm", signature="s"), rich_call("1")))

    assert pair([said("user"), message], "drop")[0] == [said("user")]


@pytest.mark.parametrize(
    "messages", [[result("1")], [call("1"), result("1"), result("1", "again")]]
)
def test_a_result_without_its_call_is_left_out_and_named(messages: list[Message]) -> None:
    left, losses = pair(messages)

    assert left == messages[:-1]
    assert [(loss.commit_hash, loss.what) for loss in losses] == [
        (f"{len(messages) - 1}", "tool_result")
    ]


def test_one_of_several_results_in_a_message_can_move() -> None:
    answers = Message.of("user", (rich_result("2"), TextPart(text="and"), rich_result("1")))

    messages, _ = pair([call("1", text="x"), said("user"), call("2"), answers])

    assert shape(messages) == ["text+call 1", "result 1", "text", "call 2", "result 2+text"]


def test_a_result_without_an_id_answers_a_call_of_its_own_tool_first() -> None:
    messages = [call(None, name="f"), call(None, name="g"), result(None, name="g")]

    assert [(each.name, each.result is None) for each in matched(messages).calls] == [
        ("f", True),
        ("g", False),
    ]


def test_open_calls_are_those_without_a_result() -> None:
    assert [each.id for each in open_calls([call("1", "2"), result("1")])] == ["2"]


ids = st.sampled_from(["1", "2", "3", None, "a b"])
plain = st.one_of(
    st.sampled_from(["user", "assistant", "system"]).map(said),
    st.lists(ids, min_size=1, max_size=3).map(lambda found: call(*found)),
    st.lists(ids, min_size=1, max_size=2).map(lambda found: call(*found, text="x")),
    ids.map(result),
)
parts = st.lists(
    st.one_of(
        st.just(TextPart(text="t")),
        st.just(ThinkingPart(text="t")),
        ids.map(lambda found: ToolCallPart(id=found, name="f", arguments="{}")),
        ids.map(lambda found: ToolResultPart(call_id=found)),
    ),
    min_size=1,
    max_size=4,
)
rich = st.builds(Message.of, st.sampled_from(["user", "assistant"]), parts)
lists = st.lists(plain | rich, max_size=10)


BEHIND_THINKING = [
    call("1"),
    Message.of("assistant", [ThinkingPart(text="t")]),
    said("user"),
    Message.of("assistant", [ToolResultPart(call_id="1")]),
]


@example(BEHIND_THINKING, "error")
@given(lists, st.sampled_from(["error", "drop"]))
def test_whatever_is_given_each_call_has_its_results_directly_behind_it(
    messages: list[Message], how: str
) -> None:
    done, losses = pair(messages, cast(OpenCalls, how))

    calls, results = matched(done)
    assert all(each.result is not None for each in calls)
    assert all(each.call is not None for each in results)
    sent = [Sent(message) for message in done]
    assert paired(sent, "error", Writing(), parts_of) is sent
    assert {loss.what for loss in losses} <= {"tool_call", "tool_result"}


@given(lists)
def test_nothing_else_is_lost_or_moved(messages: list[Message]) -> None:
    done, losses = pair(messages)

    def others(given_messages: Sequence[Message]) -> list[Part]:
        every = [part for message in given_messages for part in message.parts]
        return [part for part in every if not isinstance(part, ToolResultPart)]

    def answers(given_messages: Sequence[Message]) -> Counter[str | None]:
        every = [part for message in given_messages for part in message.parts]
        found = [part for part in every if isinstance(part, ToolResultPart) and not part.is_error]
        return Counter(part.call_id for part in found)

    assert others(done) == others(messages)
    lost = answers(messages) - answers(done)
    assert lost.total() == sum(loss.what == "tool_result" for loss in losses)


RULES = Rules(id_longest=20, name_longest=20)


@given(
    st.lists(
        st.one_of(
            st.lists(st.one_of(st.none(), st.text(max_size=30)), min_size=1, max_size=3).map(
                lambda found: call(*found)
            ),
            st.one_of(st.none(), st.text(max_size=30)).map(result),
        ),
        max_size=8,
    )
)
def test_ids_fit_differ_and_agree(messages: list[Message]) -> None:
    together, _ = pair(messages)
    before = matched(together)

    sent = fitted([Sent(each) for each in together], RULES, Writing(), parts_of)

    after = matched([each.message for each in sent])
    new = [each.id for each in after.calls]
    assert len(set(new)) == len(new)
    for each in new:
        assert each
        assert len(each) <= RULES.id_longest
        assert not RULES.id_refused.search(each)
    answered = [before.calls.index(each.call) for each in before.results if each.call]
    assert [after.calls.index(each.call) for each in after.results if each.call] == answered


@given(st.lists(st.text(max_size=30), max_size=6), st.text(max_size=30))
def test_ids_do_not_depend_on_what_comes_later(given_ids: list[str], later: str) -> None:
    def fit(known: Sequence[str]) -> list[str | None]:
        messages = [each for one in known for each in (call(one), result(one))]
        sent = fitted([Sent(each) for each in messages], RULES, Writing(), parts_of)
        return [each.id for each in matched([each.message for each in sent]).calls]

    fitting = [each for each in given_ids if not RULES.id_refused.search(each) and each]
    assert fit([*fitting, later])[: len(fitting)] == fit(fitting)


def test_a_tools_name_that_is_refused_becomes_one_that_is_taken_and_named() -> None:
    messages = [call("1", name="look up!"), result("1", name="look up!")]
    writing = Writing()

    sent = fitted([Sent(each, "h") for each in messages], RULES, writing, parts_of)

    names = {sent[0].message.tool_calls[0].name, sent[1].message.tool_name}
    assert len(names) == 1
    assert not RULES.name_refused.search(str(names.pop()))
    assert [(loss.commit_hash, loss.what) for loss in writing.losses] == [("h", "name")]
