"""Streams of Chat Completions APIs, with all that they do differently."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from support.sdk_types import cases, values
from tract.formats.deltas import apply, compacted
from tract.formats.format import Reply, as_json
from tract.formats.registry import FORMATS

pytestmark = pytest.mark.measured

CHAT = FORMATS["openai.chat"]
Json = dict[str, Any]
USAGE = {"prompt_tokens": 5, "completion_tokens": 128, "total_tokens": 133}


def chunk(delta: Json, finish: str | None = None, index: Any = 0, **top: Any) -> Json:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c", "model": "m", "choices": [choice], **top}


def piece(index: Any, call_id: Any, name: Any, arguments: Any, **more: Any) -> Json:
    function = {"name": name, "arguments": arguments}
    made = {"index": index, "id": call_id, "type": "function", "function": function, **more}
    return chunk({"tool_calls": [{key: each for key, each in made.items() if each is not None}]})


def replied(*chunks: Json, complete: bool = True) -> Reply:
    """Return what comes of a stream whose deltas were saved, and built in another process."""
    events, deltas, root = CHAT.events(), list[Any](), dict[str, Any]()
    for each in chunks:
        before = copy.deepcopy(each)
        deltas += json.loads(json.dumps(events.feed(each)))
        assert each == before
    apply(root, compacted(deltas))
    before = copy.deepcopy(root)
    reply = CHAT.events().reply(root, complete=complete)
    assert root == before
    return reply


def calls(*chunks: Json, finish: str | None = "tool_calls") -> list[tuple[Any, str, str]]:
    """Return the ids, names and arguments of the calls that pieces make."""
    (item,) = replied(*chunks, chunk({}, finish)).items
    return [
        (each.get("id"), each["function"]["name"], each["function"]["arguments"])
        for each in item.get("tool_calls", ())
    ]


class TestCalls:
    @pytest.mark.parametrize(
        ("pieces", "made"),
        [
            ([(0, "a1", "f", ""), (0, "a2", None, '{"x":1}')], [("a1", "f", '{"x":1}')]),
            (
                [(0, None, "f", '{"q":1}'), (0, None, "g", '{"q":2}')],
                [(None, "f", '{"q":1}'), (None, "g", '{"q":2}')],
            ),
            (
                [(None, None, "f", '{"q":1}'), (None, None, "g", '{"q":2}')],
                [(None, "f", '{"q":1}'), (None, "g", '{"q":2}')],
            ),
            (
                [(None, "a", "f", '{"q":1}'), (None, "b", "f", '{"q":1}')],
                [("a", "f", '{"q":1}'), ("b", "f", '{"q":1}')],
            ),
            ([(0, "a", None, '{"x"'), (0, None, "f", ":1}")], [("a", "f", '{"x":1}')]),
            ([(0, "a", None, '{"x":1}'), (0, None, "f", None)], [("a", "f", '{"x":1}')]),
            ([(0, None, "f", ""), (0, "a", None, "{}")], [("a", "f", "{}")]),
            ([(0, "", "f", ""), (0, "", "", '{"x":'), (0, "", "", "1}")], [(None, "f", '{"x":1}')]),
            (
                [(0, "a", "f", '{"x"'), (0, "a", "f", ":"), (0, "a", "f", "1}")],
                [("a", "f", '{"x":1}')],
            ),
            ([(0, "a", "get_", ""), (0, None, "time", "{}")], [("a", "get_time", "{}")]),
            (
                [
                    (0, "a", "f", ""),
                    (1, "b", "g", ""),
                    (0, None, None, "{}"),
                    (1, None, None, "{}"),
                ],
                [("a", "f", "{}"), ("b", "g", "{}")],
            ),
            (
                [(0, "a", "f", ""), (0, "b", "g", ""), (0, "a", None, "{}"), (0, "b", None, "{}")],
                [("a", "f", "{}"), ("b", "g", "{}")],
            ),
            (
                [(0, "a", "f", '{"x"'), (0, "b", "g", '{"y"'), (0, "a", None, ":1}")],
                [("a", "f", '{"x":1}'), ("b", "g", '{"y"')],
            ),
            ([(0, "a", "f", '{"x":1}'), (0, "a", "f", '{"x":1}')], [("a", "f", '{"x":1}')]),
            ([(0, "a", "f", "{}"), (0, None, None, '{"x":1}')], [("a", "f", '{"x":1}')]),
            ([(0, "a", "f", {"x": "é"})], [("a", "f", '{"x": "é"}')]),
            ([(0, "a", "f", '{"x":1}'), (0, None, None, "\n")], [("a", "f", '{"x":1}\n')]),
        ],
        ids=[
            "id changes within a call",
            "one index, no ids",
            "neither index nor ids",
            "no index, whole calls of one name",
            "name in the middle of the arguments",
            "name after the arguments",
            "late id",
            "empty id and name in every piece",
            "id and name in every piece",
            "name in pieces",
            "interleaved by index",
            "interleaved by id alone",
            "interleaved by id, cut in the middle",
            "said twice",
            "an empty object that stands for arguments to come",
            "arguments as an object",
            "white space behind the arguments",
        ],
    )
    def test_are_told_apart(self, pieces: list[Any], made: list[Any]) -> None:
        assert calls(*(piece(*each) for each in pieces)) == made

    def test_all_in_one_chunk_are_told_apart(self) -> None:
        parts = [piece(0, n, "f", "{}")["choices"][0]["delta"]["tool_calls"][0] for n in "abc"]

        assert calls(chunk({"tool_calls": parts})) == [(n, "f", "{}") for n in "abc"]

    def test_signatures_come_with_their_call(self) -> None:
        extra = {"google": {"thought_signature": "c2ln"}}
        (item,) = replied(piece(0, "a", "f", "{}", extra_content=extra), chunk({}, "stop")).items

        assert item["tool_calls"][0]["extra_content"] == extra

    def test_custom_calls_come_in_pieces(self) -> None:
        begun = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": "l"}}
        more = {"index": 0, "custom": {"input": "s"}}
        (item,) = replied(
            chunk({"tool_calls": [begun]}), chunk({"tool_calls": [more]}), chunk({}, "tool_calls")
        ).items

        custom = {"name": "sh", "input": "ls"}
        assert item["tool_calls"] == [{"type": "custom", "custom": custom, "id": "a"}]

    def test_the_deprecated_call_comes_in_pieces(self) -> None:
        (item,) = replied(
            chunk({"role": "assistant", "function_call": {"name": "f", "arguments": '{"x"'}}),
            chunk({"function_call": {"arguments": ":1}"}}),
            chunk({}, "function_call"),
        ).items

        assert item["function_call"] == {"name": "f", "arguments": '{"x":1}'}

    def test_a_call_without_a_name_is_in_no_item(self) -> None:
        reply = replied(piece(0, "a", None, "{}"), chunk({}, "tool_calls"))

        assert reply.items == [{"role": "assistant", "content": ""}]
        assert [(call.id, call.arguments) for call in reply.unfinished] == [("a", "{}")]

    @pytest.mark.parametrize("finish", ["length", "content_filter", None])
    def test_a_call_that_was_cut_off_is_in_no_item(self, finish: str | None) -> None:
        reply = replied(
            piece(0, "a", "f", "{}"), piece(1, "b", "g", '{"x'), chunk({}, finish), complete=True
        )

        assert [call["id"] for call in reply.items[0]["tool_calls"]] == ["a"]
        assert [(call.id, call.arguments) for call in reply.unfinished] == [("b", '{"x')]

    def test_a_call_of_a_broken_stream_is_in_no_item(self) -> None:
        reply = replied(chunk({"content": "Let me"}), piece(0, "b", "g", '{"x'), complete=False)

        assert reply.items == [{"role": "assistant", "content": "Let me"}]
        assert len(reply.unfinished) == 1

    def test_unfit_arguments_of_a_finished_reply_are_kept(self) -> None:
        assert calls(piece(0, "a", "f", "no json")) == [("a", "f", "no json")]

    @given(st.data())
    def test_whole_calls_are_found_again_however_they_are_cut(self, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from(["f", "get_time", "g"]), min_size=1, max_size=4))
        wanted = [(f"id{n}", name, json.dumps({"n": n})) for n, name in enumerate(names)]
        one_index, ids = data.draw(st.booleans()), data.draw(st.booleans())
        chunks = []
        for n, (call_id, name, arguments) in enumerate(wanted):
            at = data.draw(st.integers(0, len(arguments)))
            index = 0 if one_index else n
            chunks.append(piece(index, call_id if ids else None, name, arguments[:at]))
            chunks.append(piece(index, None, None, arguments[at:]))

        assert calls(*chunks) == [(i if ids else None, name, given) for i, name, given in wanted]


class TestChoices:
    def test_an_index_that_runs_is_one_choice(self) -> None:
        reply = replied(
            chunk({"content": "Hel"}, index=1),
            chunk({"content": "l"}, index=2),
            chunk({"content": "o"}, "stop", index=3, usage=USAGE),
        )

        assert reply.items == [{"role": "assistant", "content": "Hello"}]
        assert (reply.finish_reason, reply.usage) == ("stop", USAGE)

    @pytest.mark.parametrize("role", [{"role": "assistant"}, {}])
    def test_of_several_the_first_is_kept(self, role: Json) -> None:
        reply = replied(
            chunk({**role, "content": ""}),
            chunk({"content": "a"}),
            chunk({**role, "content": "x"}, index=1),
            chunk({"content": "b"}),
            chunk({"content": "y"}, index=1),
            chunk({}, "stop", index=1),
            chunk({}, "length"),
        )

        assert reply.items == [{"role": "assistant", "content": "ab"}]
        assert reply.finish_reason == "length"

    def test_of_several_in_one_chunk_the_first_is_kept(self) -> None:
        both = [{"index": n, "delta": {"content": text}} for n, text in enumerate("xy")]

        assert replied({"choices": both}).items == [{"role": "assistant", "content": "x"}]


class TestWhatIsSaid:
    def test_reasoning_is_put_together(self) -> None:
        (item,) = replied(
            chunk({"role": "assistant", "reasoning_content": "a", "content": None}),
            chunk({"reasoning_content": "b", "content": None}),
            chunk({"content": "c", "reasoning_content": None}, "stop"),
        ).items

        assert item == {"role": "assistant", "reasoning_content": "ab", "content": "c"}

    def test_details_of_reasoning_are_put_together_and_signed(self) -> None:
        def detail(**more: Any) -> Json:
            made = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, **more}
            return chunk({"role": "assistant", "content": "", "reasoning_details": [made]})

        encrypted = {"type": "reasoning.encrypted", "data": "ZW5j", "id": "r", "index": 0}
        (item,) = replied(
            detail(text="", signature=""),
            detail(text="a"),
            detail(text="b"),
            detail(signature="c2ln"),
            detail(text="next"),
            detail(signature="bW9y"),
            chunk({"reasoning_details": [encrypted, {**encrypted, "id": "s"}]}),
            chunk({"content": "t"}, "stop"),
        ).items

        assert [
            [detail.get(key) for key in ("type", "text", "signature", "id")]
            for detail in item["reasoning_details"]
        ] == [
            ["reasoning.text", "ab", "c2ln", None],
            ["reasoning.text", "next", "bW9y", None],
            ["reasoning.encrypted", None, None, "r"],
            ["reasoning.encrypted", None, None, "s"],
        ]

    def test_encrypted_details_without_ids_are_told_apart(self) -> None:
        """Each comes whole; glued together, nobody could read them."""
        made = [{"type": "reasoning.encrypted", "data": data, "index": 0} for data in ("YQ", "Yg")]
        (item,) = replied(*(chunk({"reasoning_details": [each]}) for each in made)).items

        assert item["reasoning_details"] == made

    def test_thinking_that_was_cut_off_before_its_signature_is_dropped(self) -> None:
        unsigned = {"type": "reasoning.text", "format": "anthropic-claude-v1", "text": "a"}
        said = chunk({"content": "t", "reasoning_details": [{**unsigned, "index": 0}]})

        assert "reasoning_details" not in replied(said, complete=False).items[0]
        assert "reasoning_details" in replied(said, chunk({}, "stop")).items[0]

    def test_contents_that_are_lists_are_put_together(self) -> None:
        """Magistral's: thinking in parts, then text."""

        def thought(text: str) -> Json:
            part = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
            return chunk({"content": [part]})

        (item,) = replied(
            chunk({"role": "assistant", "content": ""}),
            thought("a"),
            thought("b"),
            chunk({"content": [{"type": "thinking", "thinking": [], "closed": True}]}),
            chunk({"content": "c"}),
            chunk({"content": [{"type": "text", "text": "d"}]}),
            chunk({"content": [{"type": "reference", "reference_ids": [1]}]}),
            chunk({"content": "e"}, "stop"),
        ).items

        assert item["content"] == [
            {"type": "thinking", "thinking": [{"type": "text", "text": "ab"}], "closed": True},
            {"type": "text", "text": "cd"},
            {"type": "reference", "reference_ids": [1]},
            {"type": "text", "text": "e"},
        ]

    def test_sounds_are_put_together(self) -> None:
        (item,) = replied(
            chunk({"role": "assistant", "audio": {"id": "a", "transcript": "He"}}),
            chunk({"audio": {"data": "AAAA", "transcript": "y"}}),
            chunk({"audio": {"data": "BBBB", "expires_at": 7}}),
            chunk({}, "stop"),
        ).items

        audio = {"id": "a", "transcript": "Hey", "data": "AAAABBBB", "expires_at": 7}
        assert item == {"role": "assistant", "audio": audio, "content": None}

    def test_refusals_are_put_together(self) -> None:
        (item,) = replied(
            chunk({"role": "assistant", "content": None, "refusal": "I "}),
            chunk({"refusal": "won't."}, "stop"),
        ).items

        assert item == {"role": "assistant", "content": None, "refusal": "I won't."}

    def test_keys_that_nobody_knows_are_kept_and_named(self) -> None:
        reply = replied(
            chunk({"content": "t", "mood": "gl", "scores": [1], "extra": {"a": 1}}),
            chunk({"mood": "ad", "scores": [2], "extra": {"b": 2}}, "stop"),
        )

        assert reply.items == [
            {
                "role": "assistant",
                "content": "t",
                "mood": "glad",
                "scores": [1, 2],
                "extra": {"a": 1, "b": 2},
            }
        ]
        assert reply.unknown == ("mood", "scores", "extra")

    def test_pairs_of_surrogates_that_were_split_are_rejoined(self) -> None:
        reply = replied(chunk({"content": "a\ud83d"}), chunk({"content": "\ude00\ud83d"}, "stop"))

        assert reply.items[0]["content"] == "a😀\ud83d"

    @pytest.mark.parametrize("finish", ["length", "stop", "content_filter"])
    def test_a_reply_without_text_is_a_message(self, finish: str) -> None:
        reply = replied(chunk({}, finish, usage=USAGE))

        assert reply.items == [{"role": "assistant", "content": ""}]
        assert (reply.usage, reply.finish_reason) == (USAGE, finish)

    def test_nothing_is_no_message(self) -> None:
        assert replied().items == []
        assert replied(chunk({"role": "assistant", "content": ""}), complete=False).items == []


class TestWhatTheApiSays:
    def test_zeros_and_nulls_do_not_replace_real_counts(self) -> None:
        details = {"cached_tokens": 3}
        reply = replied(
            chunk({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 0}),
            chunk({}, usage={"prompt_tokens": 5, "completion_tokens": 2, "details": details}),
            chunk({}, "stop", usage={"prompt_tokens": 0, "completion_tokens": None, "details": {}}),
            {"choices": [], "usage": {"total_tokens": 7, "details": {"cached_tokens": 0}}},
        )

        assert reply.usage == {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 7,
            "details": details,
        }

    def test_groqs_usage_is_found(self) -> None:
        assert replied(chunk({"content": "a"}, "stop", x_groq={"usage": USAGE})).usage == USAGE

    def test_no_usage_is_none(self) -> None:
        assert replied(chunk({"content": "a"}, "stop")).usage is None

    def test_a_missing_finish_reason_is_none(self) -> None:
        reply = replied(piece(0, "a", "f", "{}"))

        assert reply.finish_reason is None
        assert len(reply.items[0]["tool_calls"]) == 1

    def test_an_error_in_the_middle_ends_the_reply(self) -> None:
        """Groq sends one, as an event of a stream that began well."""
        error = {"error": {"message": "no tool was called", "code": "tool_use_failed"}}
        reply = replied(chunk({"content": "may"}), piece(0, "a", "f", '{"x'), error)

        assert reply.items == [{"role": "assistant", "content": "may"}]
        assert reply.finish_reason == "error"
        assert len(reply.unfinished) == 1

    def test_an_error_alone_is_no_message(self) -> None:
        assert replied({"error": {"message": "no"}}).items == []

    def test_the_events_of_mistrals_sdk_are_read(self) -> None:
        event = {"data": chunk({"content": "a"}, "stop")}

        assert CHAT.is_event(event)
        assert replied(event).items == [{"role": "assistant", "content": "a"}]

    def test_model_and_id_are_the_first_that_are_given(self) -> None:
        filtered = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}
        reply = replied(filtered, chunk({"content": "a"}), chunk({}, "stop", id="stub", model="n"))

        assert (reply.model, reply.response_id) == ("m", "c")

    def test_an_event_that_nobody_knows_is_named(self) -> None:
        reply = replied(chunk({"content": "a"}, "stop"), {"type": "heartbeat"})

        assert reply.unknown == ("heartbeat",)

    def test_the_events_of_the_sdks_helper_are_read(self) -> None:
        raw = {**chunk({"content": "a"}, "stop"), "created": 1, "object": "chat.completion.chunk"}
        state = ChatCompletionStreamState(input_tools=omit, response_format=omit)
        found = [as_json(each) for each in state.handle_chunk(ChatCompletionChunk(**raw))]
        events = [dict(each) for each in found if each is not None]

        assert CHAT.is_event(events[0])
        assert len(events) > 1
        reply = replied(*events)
        assert reply.items == [{"role": "assistant", "content": "a"}]
        assert reply.unknown == ()

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "message_start", "message": {}},
            {"type": "response.created", "response": {}},
            {"candidates": []},
            {"choices": [{"index": 0, "message": {"role": "assistant"}}]},
            {},
        ],
    )
    def test_other_events_begin_no_stream(self, event: Json) -> None:
        assert not CHAT.is_event(event)


def test_every_chunk_that_the_sdk_knows_is_read() -> None:
    for each in cases(ChatCompletionChunk).values:
        assert CHAT.is_event(each)
        assert replied(each).unknown == ()


@given(st.lists(values(ChatCompletionChunk), max_size=6), st.booleans())
def test_any_chunks_are_read(chunks: list[Json], complete: bool) -> None:
    reply = replied(*chunks, complete=complete)

    assert CHAT.contents(reply.items) or not reply.items


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices delta index content role tool_calls function custom name arguments usage "
                "reasoning_details type id audio error finish_reason thinking text chunk".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "id", "type"]), junk)))
def test_junk_is_read(chunks: list[Json]) -> None:
    replied(*chunks)


@given(
    st.lists(
        st.builds(
            lambda delta: chunk(delta),
            st.dictionaries(
                st.sampled_from(
                    "content role tool_calls function_call audio reasoning_details annotations odd".split()
                ),
                junk,
            ),
        ),
        max_size=4,
    )
)
def test_junk_in_deltas_is_read(chunks: list[Json]) -> None:
    replied(*chunks, chunk({}, "stop"))
