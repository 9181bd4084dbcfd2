"""Messages of any origin as Chat Completions messages that the API takes."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam

from providers import exchanges
from providers.validators import problems
from support.rendered import shown
from support.sdk_types import cases
from tract import (
    AsyncTract,
    ContentModel,
    DialogueContent,
    Loss,
    MediaPart,
    Message,
    MessageContent,
    Native,
    NativeContent,
    NativePart,
    NullTokenCounter,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolCallPart,
    ToolIOContent,
    ToolResultPart,
    to_openai,
)
from tract.formats.format import Sent, Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import arguments, write_tools
from tract.protocols.parts import Part

pytestmark = pytest.mark.measured

CHAT = FORMATS["openai.chat"]
Json = dict[str, Any]
PNG = MediaPart(kind="image", media_type="image/png", data=b"png")
PNG_URL = "data:image/png;base64," + base64.b64encode(b"png").decode()
USER = Message("user", "q")
SAID = [{"type": "text", "text": "t"}]


def sent(
    *messages: Message, model: str | None = None, load: Any = None
) -> tuple[list[Json], list[Loss]]:
    """Return what a request sends of messages, and what it loses."""
    writing = Writing(model=model, load=load or (lambda sha256: b""))
    given = [Sent(message, f"{at}") for at, message in enumerate(messages)]
    written = arguments(CHAT, given, writing)
    provider = next((known for known in ("mistral", "deepseek") if known in (model or "")), "")
    assert not problems("openai.chat", written, provider=provider) or not written["messages"]
    json.dumps(written)
    return written["messages"], writing.losses


def said(role: str, *parts: Part, name: str | None = None) -> Message:
    return Message.of(role, parts, name=name)


def native(**item: Any) -> Message:
    (message,) = shown([NativeContent(api="openai.chat", item=item)])
    return message


def result(call_id: str, *parts: Part, **more: Any) -> ToolResultPart:
    return ToolResultPart(call_id=call_id, parts=parts, **more)


def call(call_id: str | None, name: str = "f", **more: Any) -> Json:
    function = {"name": name, "arguments": "{}"}
    return {"id": call_id, "type": "function", "function": function, **more}


def call_part(call_id: str, **more: Any) -> ToolCallPart:
    return ToolCallPart(id=call_id, name="f", arguments="{}", **more)


class TestTranslating:
    """Parts that other APIs made."""

    def test_texts_and_media_of_a_user_are_parts(self) -> None:
        sound = MediaPart(kind="audio", media_type="audio/mpeg", data=b"mp3")
        document = MediaPart(kind="document", media_type="application/pdf", data=b"pdf", name="a")
        link = MediaPart(kind="image", url="https://a.b/c", detail="high")
        messages, losses = sent(said("user", TextPart(text="t"), PNG, link, sound, document))

        assert losses == []
        assert messages[0]["content"] == [
            {"type": "text", "text": "t"},
            {"type": "image_url", "image_url": {"url": PNG_URL}},
            {"type": "image_url", "image_url": {"url": "https://a.b/c", "detail": "high"}},
            {"type": "input_audio", "input_audio": {"data": "bXAz", "format": "mp3"}},
            {
                "type": "file",
                "file": {"filename": "a", "file_data": "data:application/pdf;base64,cGRm"},
            },
        ]

    def test_attachments_are_loaded(self) -> None:
        image = MediaPart(kind="image", media_type="image/png", attachment="ab")
        messages, _ = sent(said("user", image), load={"ab": b"png"}.__getitem__)

        assert messages[0]["content"][0]["image_url"] == {"url": PNG_URL}

    @pytest.mark.parametrize(
        "part",
        [
            MediaPart(kind="video", url="https://a.b/c"),
            MediaPart(kind="image", url="gs://a/b"),
            MediaPart(kind="image", media_type="image/tiff", data=b"x"),
            MediaPart(kind="image", file_id="file-1"),
            MediaPart(kind="audio", media_type="audio/flac", data=b"x"),
            MediaPart(kind="document", url="https://a.b/c"),
            MediaPart(kind="document", media_type="text/csv", data=b"x"),
            MediaPart(kind="document", file_id="files/1"),
        ],
    )
    def test_media_that_the_api_does_not_take_are_named(self, part: MediaPart) -> None:
        messages, losses = sent(said("user", TextPart(text="t"), part))

        assert messages == [{"role": "user", "content": "t"}]
        assert [(loss.commit_hash, loss.what) for loss in losses] == [("0", "media")]

    def test_files_of_openais_other_api_are_the_same(self) -> None:
        piece = Native("openai.responses", '{"type":"input_file","file_id":"file-1"}')
        part = MediaPart(kind="document", file_id="file-1", native=piece)
        messages, losses = sent(said("user", part))

        assert messages[0]["content"] == [{"type": "file", "file": {"file_id": "file-1"}}]
        assert losses == []

    def test_thinking_of_another_api_is_left_out(self) -> None:
        thinking = ThinkingPart(text="why", signature="c2ln")
        messages, losses = sent(
            USER, said("assistant", thinking, TextPart(text="a")), said("assistant", thinking)
        )

        assert messages[1:] == [{"role": "assistant", "content": "a"}]
        assert [(loss.commit_hash, loss.what) for loss in losses] == [
            ("1", "thinking"),
            ("2", "thinking"),
        ]

    def test_a_turn_in_items_of_its_own_is_one_message(self) -> None:
        """As the Responses API has them: thinking, text, and each call are items."""
        messages, _ = sent(
            USER,
            said("assistant", ThinkingPart(encrypted="ZW5j")),
            said("assistant", TextPart(text="Let me see.")),
            said("assistant", call_part("a")),
            said("assistant", call_part("b")),
            said("tool", result("a", TextPart(text="1"))),
            said("tool", result("b", TextPart(text="2"))),
        )

        assert messages[1:] == [
            {"role": "assistant", "content": "Let me see.", "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
        ]

    def test_results_and_texts_of_one_message_are_several(self) -> None:
        """As the Messages API has them."""
        texts = TextPart(text="one"), TextPart(text="two")
        messages, losses = sent(
            USER,
            said("assistant", TextPart(text="a"), call_part("a"), call_part("b")),
            said(
                "user",
                result("a", *texts),
                result("b", is_error=True),
                TextPart(text="and?"),
                PNG,
            ),
        )

        assert messages[2:] == [
            {"role": "tool", "tool_call_id": "a", "content": "one\n\ntwo"},
            {"role": "tool", "tool_call_id": "b", "content": ""},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "and?"},
                    {"type": "image_url", "image_url": {"url": PNG_URL}},
                ],
            },
        ]
        assert [loss.what for loss in losses] == ["is_error"]

    def test_images_of_results_are_shown_behind_all_of_them(self) -> None:
        messages, losses = sent(
            USER,
            said("assistant", call_part("a"), call_part("b")),
            said("tool", result("a", PNG)),
            said("tool", result("b", TextPart(text="2"))),
            said("assistant", TextPart(text="done")),
        )

        assert [message["role"] for message in messages] == [
            "user",
            "assistant",
            "tool",
            "tool",
            "user",
            "assistant",
        ]
        assert messages[4]["content"][1:] == [{"type": "image_url", "image_url": {"url": PNG_URL}}]
        assert [(loss.commit_hash, loss.what) for loss in losses] == [("2", "media")]

    def test_calls_of_each_kind_are_sent(self) -> None:
        made = [
            ToolCallPart(id="a", name="f", arguments="", signature="c2ln"),
            ToolCallPart(id="b", name="sh", arguments="ls", kind="custom"),
            ToolCallPart(id="c", name="web_search", arguments="{}", kind="server"),
        ]
        served = result("c", TextPart(text="found"), kind="server")
        messages, losses = sent(
            USER,
            said("assistant", *made, served),
            said("tool", result("a")),
            said("tool", result("b", kind="custom")),
        )

        assert messages[1]["tool_calls"] == [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "b", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
        ]
        assert [loss.what for loss in losses] == ["tool_result", "signature", "tool_call"]

    def test_adjacent_texts_of_a_model_are_one_text(self) -> None:
        """It is cut where the model cites, and ends where something else stood in between."""
        other = NativePart(native=Native("anthropic.messages", '{"type":"odd"}'))
        texts: list[Part] = [
            TextPart(text="It "),
            TextPart(text="is."),
            other,
            TextPart(text="So."),
        ]
        messages, losses = sent(USER, said("assistant", *texts))

        assert messages[1]["content"] == "It is.\n\nSo."
        assert [loss.what for loss in losses] == ["odd"]

    def test_refusals_are_kept(self) -> None:
        refusal = RefusalPart(text="no")
        messages, _ = sent(said("user", refusal), said("assistant", refusal))

        assert messages == [
            {"role": "user", "content": "no"},
            {"role": "assistant", "content": None, "refusal": "no"},
        ]

    def test_a_role_that_the_api_does_not_know_is_the_users(self) -> None:
        messages, losses = sent(said("critic", TextPart(text="hm")), Message("critic", "hm"))

        assert messages == [{"role": "user", "content": "hm"}] * 2
        assert [loss.what for loss in losses] == ["role", "role"]

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["system", "developer", "user", "assistant", "tool", "model"]),
                st.lists(
                    st.sampled_from(
                        [
                            TextPart(text="t"),
                            TextPart(text=" "),
                            PNG,
                            MediaPart(kind="video", url="https://a.b/c"),
                            ThinkingPart(text="why"),
                            RefusalPart(text="no"),
                            NativePart(native=Native("google.generate_content", '{"odd":1}')),
                            call_part("a"),
                            ToolCallPart(id=None, name="look up", arguments="x"),
                            ToolCallPart(id="b", name="g", arguments="x", kind="custom"),
                            ToolCallPart(id="s", name="g", arguments="x", kind="server"),
                            result("a", TextPart(text="r"), PNG),
                            result("b", kind="custom"),
                            result("s", kind="server"),
                        ]
                    ),
                    max_size=5,
                ),
            ),
            max_size=6,
        )
    )
    def test_each_part_crosses_or_is_named(self, drawn: list[Any]) -> None:
        messages = [said(role, *parts) for role, parts in drawn]
        written, losses = sent(USER, *messages)

        assert not problems("openai.chat", {"messages": written})
        named = {(loss.commit_hash, loss.what) for loss in losses}
        for at, (_, parts) in enumerate(drawn, 1):
            for part in parts:
                if isinstance(part, ThinkingPart):
                    assert (f"{at}", "thinking") in named
                if isinstance(part, MediaPart) and part.kind == "video":
                    assert (f"{at}", "media") in named
                if isinstance(part, NativePart):
                    assert (f"{at}", "odd") in named


class TestMending:
    """Messages of this API that callers made themselves."""

    @pytest.mark.parametrize(
        ("item", "wanted"),
        [
            ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
            ({"role": "assistant", "content": []}, {"role": "assistant", "content": ""}),
            ({"role": "user"}, {"role": "user", "content": ""}),
            ({"role": "user", "content": []}, {"role": "user", "content": ""}),
            (
                {"role": "assistant", "content": "t", "tool_calls": []},
                {"role": "assistant", "content": "t"},
            ),
            (
                {"role": "user", "content": "t", "tool_calls": []},
                {"role": "user", "content": "t"},
            ),
            (
                {"role": "user", "content": "t", "name": "Ann Lee"},
                {"role": "user", "content": "t", "name": "Ann_Lee"},
            ),
            (
                {"role": "assistant", "audio": {"id": "a", "data": "AAAA", "transcript": "t"}},
                {"role": "assistant", "audio": {"id": "a"}},
            ),
        ],
    )
    def test_what_the_api_refuses_is_mended(self, item: Json, wanted: Json) -> None:
        assert sent(USER, native(**item))[0][1:] == [wanted]
        assert to_openai([native(**item)], exact=True) == [item]

    def test_calls_that_lack_something_get_it(self) -> None:
        given = {"id": "a", "function": {"name": "look up", "arguments": {"x": 1}}}
        messages, _ = sent(
            USER,
            native(role="assistant", content=None, tool_calls=[given]),
            native(role="tool", tool_call_id="a", content="1"),
        )
        (made,) = messages[1]["tool_calls"]

        assert made["type"] == "function"
        assert made["function"]["arguments"] == '{"x": 1}'
        assert made["function"]["name"].startswith("look_up_")

    def test_an_item_without_a_role_is_left_out(self) -> None:
        messages, losses = sent(USER, native(odd=1))

        assert messages == [{"role": "user", "content": "q"}]
        assert [loss.what for loss in losses] == ["native"]

    def test_names_of_plain_messages_are_mended(self) -> None:
        messages, losses = sent(Message("user", "t", "Ann Lee"), Message("user", "t", "Bob"))

        assert [message["name"] for message in messages] == ["Ann_Lee", "Bob"]
        assert [loss.what for loss in losses] == ["name"]
        assert to_openai([Message("user", "t", "Ann Lee")])[0]["name"] == "Ann_Lee"

    def test_deepseek_gets_reasoning_back_where_there_was_none(self) -> None:
        calling = Message("assistant", None, None, (ToolCall("a", "f", "{}"),))
        answer = Message("tool", "1", tool_call_id="a")
        messages, _ = sent(USER, calling, answer, model="deepseek-reasoner")

        assert messages[1]["reasoning_content"] == ""


class TestMistral:
    """Mistral's models take less than others: short ids, and roles in a certain order."""

    MODEL = "mistral-large-latest"

    def problems(self, messages: list[Json]) -> list[str]:
        return problems("openai.chat", {"messages": messages}, provider="mistral")

    def test_ids_of_other_models_get_nine_letters_or_digits(self) -> None:
        ids = ["call_Wq9xHb2", "toolu_01A", "a1B2c3D4e", None]
        calls = tuple(ToolCall(each, "f", "{}") for each in ids)
        results = [Message("tool", "1", tool_call_id=each) for each in ids]
        messages, losses = sent(
            USER, Message("assistant", None, None, calls), *results, model=self.MODEL
        )
        made = [call["id"] for call in messages[1]["tool_calls"]]

        assert made == [message["tool_call_id"] for message in messages[2:]]
        assert made[2] == "a1B2c3D4e"
        assert len(set(made)) == 4
        assert (self.problems(messages), losses) == ([], [])

    def test_an_id_that_repeats_in_one_turn_gets_another(self) -> None:
        calls = (ToolCall("call_1", "f", "{}"),) * 2
        answers = [Message("tool", "1", tool_call_id="call_1")] * 2
        messages, _ = sent(
            USER, Message("assistant", None, None, calls), *answers, model=self.MODEL
        )

        assert len({message["tool_call_id"] for message in messages[2:]}) == 2
        assert self.problems(messages) == []

    def test_the_assistant_stands_between_a_result_and_the_user(self) -> None:
        calling = Message("assistant", None, None, (ToolCall("a1B2c3D4e", "f", "{}"),))
        shown = said("tool", result("a1B2c3D4e", PNG))
        for then in ([Message("tool", "1", tool_call_id="a1B2c3D4e"), USER], [shown]):
            messages, losses = sent(USER, calling, *then, model=self.MODEL)

            roles = [message["role"] for message in messages]
            assert roles == ["user", "assistant", "tool", "assistant", "user"]
            assert losses[-1].what in ("message", "media")
            assert self.problems(messages) == []

    def test_the_user_goes_on_behind_an_answer_that_would_be_last(self) -> None:
        messages, losses = sent(USER, Message("assistant", "a"), model=self.MODEL)
        begun, _ = sent(USER, native(role="assistant", content="a", prefix=True), model=self.MODEL)

        assert messages[-1] == {"role": "user", "content": "Go on."}
        assert [loss.what for loss in losses] == ["message"]
        assert begun[-1]["prefix"] is True
        assert self.problems(messages) == self.problems(begun) == []

    def test_nothing_of_that_is_done_to_what_is_kept_or_goes_to_others(self) -> None:
        calling = Message("assistant", None, None, (ToolCall("call_1", "f", "{}"),))
        messages = [USER, calling, Message("tool", "1", tool_call_id="call_1"), USER]

        assert to_openai(messages, exact=True, model=self.MODEL) == to_openai(messages)


@pytest.mark.parametrize(
    ("model", "role"),
    [
        (None, "developer"),
        ("o3", "developer"),
        ("some/new-model", "developer"),
        ("deepseek-chat", "system"),
        ("mistral-small", "system"),
        ("codestral-latest", "system"),
        ("gemini-3-pro", "system"),
    ],
)
def test_models_that_know_no_developer_are_instructed_by_the_system(
    model: str | None, role: str
) -> None:
    messages, losses = sent(native(role="developer", content="Be brief."), USER, model=model)

    assert (messages[0]["role"], losses) == (role, [])


class TestThinking:
    SIGNED = {"type": "reasoning.text", "text": "why", "signature": "c2ln"}  # noqa: RUF012

    def details(self, format_: str) -> Json:
        return {
            "role": "assistant",
            "content": "t",
            "reasoning": "why",
            "reasoning_details": [{**self.SIGNED, "format": format_}],
        }

    @pytest.mark.parametrize(
        ("format_", "model", "kept"),
        [
            ("anthropic-claude-v1", None, True),
            ("anthropic-claude-v1", "anthropic/claude-opus-4.5", True),
            ("anthropic-claude-v1", "openai/gpt-5", False),
            ("anthropic-claude-v1", "some/new-model", True),
            ("openai-responses-v1", "openai/o3", True),
            ("openai-responses-v1", "google/gemini-3-pro", False),
            ("unknown", "google/gemini-3-pro", True),
            ("unknown", "gpt-5", False),
        ],
    )
    def test_goes_back_to_the_family_that_signed_it(
        self, format_: str, model: str | None, kept: bool
    ) -> None:
        item = self.details(format_)
        messages, losses = sent(USER, native(**item), model=model)

        assert messages[1] == (item if kept else {"role": "assistant", "content": "t"})
        assert [loss.what for loss in losses] == ([] if kept else ["thinking"])

    def test_signatures_of_gemini_go_back_to_gemini_alone(self) -> None:
        extra = {"google": {"thought_signature": "c2ln"}}
        item = {
            "role": "assistant",
            "content": "t",
            "extra_content": extra,
            "tool_calls": [call("a", extra_content=extra)],
        }
        answer = native(role="tool", tool_call_id="a", content="1")

        assert sent(USER, native(**item), answer, model="gemini-3-pro")[0][1] == item
        messages, losses = sent(USER, native(**item), answer, model="gpt-5")
        assert messages[1] == {"role": "assistant", "content": "t", "tool_calls": [call("a")]}
        assert [loss.what for loss in losses] == ["thinking"]

    @pytest.mark.parametrize(
        ("fields", "takes"),
        [
            ({"content": [{"type": "thinking", "thinking": "why"}, *SAID]}, "mistral-medium"),
            ({"content": SAID, "thinking_blocks": [{"type": "thinking"}]}, "claude-opus-5"),
        ],
        ids=["parts", "blocks"],
    )
    def test_thinking_that_one_familys_messages_have_goes_to_no_other(
        self, fields: Json, takes: str
    ) -> None:
        item = {"role": "assistant", **fields}

        for model in ("gpt-5", "deepseek-chat", "grok-4", "mistral-medium", "claude-opus-5"):
            messages, losses = sent(USER, native(**item), USER, model=model)
            kept = model == takes
            assert messages[1] == (item if kept else {"role": "assistant", "content": SAID})
            assert [loss.what for loss in losses] == ([] if kept else ["thinking"])

    def test_a_model_that_never_shows_its_thinking_gets_none(self) -> None:
        item = {"role": "assistant", "content": "t", "reasoning_content": "why"}

        assert sent(USER, native(**item), model="gpt-4o")[0][1:] == [
            {"role": "assistant", "content": "t"}
        ]
        assert sent(USER, native(**item), model="gpt-oss-120b")[0][1:] == [item]


class TestTogether:
    def test_replies_that_were_thought_about_stay_apart(self) -> None:
        """What was thought before a call goes back to the byte."""
        said: list[Json] = [
            {"role": "assistant", "reasoning_content": f"{each}?", "tool_calls": [call(each)]}
            for each in "ab"
        ]
        answers = [{"role": "tool", "tool_call_id": each, "content": "1"} for each in "ab"]
        messages, _ = sent(USER, *(native(**each) for each in [*said, *answers]))

        assert messages[1:] == [said[0], answers[0], said[1], answers[1]]

    def test_messages_that_call_one_after_the_other_are_one(self) -> None:
        """Their results stand behind both, as the API wants them."""
        messages, _ = sent(
            USER,
            native(role="assistant", content="t", tool_calls=[call("a")], odd=1),
            native(role="assistant", content=None, tool_calls=[call("b")]),
            *shown([ToolIOContent(tool_name="f", direction="call", payload="{}", call_id="c")]),
            *(Message("tool", "r", tool_call_id=each) for each in "abc"),
        )

        assert messages[1] == {
            "role": "assistant",
            "content": "t",
            "odd": 1,
            "tool_calls": [call("a"), call("b"), call("c")],
        }

    def test_calls_behind_an_answer_stay_a_message_of_their_own(self) -> None:
        own = native(role="assistant", content=None, tool_calls=[call("a")])
        messages, _ = sent(
            USER, Message("assistant", "t"), own, Message("tool", "r", tool_call_id="a")
        )

        assert [message["role"] for message in messages] == [
            "user",
            "assistant",
            "assistant",
            "tool",
        ]

    def test_a_message_that_was_fitted_keeps_everything_else(self) -> None:
        """Its id is too long, so it was taken apart and put together again."""
        item = {
            "role": "assistant",
            "content": [{"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}],
            "reasoning": "why",
            "reasoning_details": [{"type": "reasoning.text", "text": "why", "signature": "c2ln"}],
            "annotations": [{"type": "url_citation", "url_citation": {}}],
            "tool_calls": [call("x" * 50, index=0), call("b")],
        }
        messages, _ = sent(
            USER,
            native(**item),
            native(role="tool", tool_call_id="x" * 50, content=[{"type": "text", "text": "1"}]),
            native(role="tool", tool_call_id="b", content="2", odd=1),
        )
        new_id = messages[1]["tool_calls"][0]["id"]

        assert messages[1:] == [
            {**item, "tool_calls": [call(new_id, index=0), call("b")]},
            {"role": "tool", "tool_call_id": new_id, "content": [{"type": "text", "text": "1"}]},
            {"role": "tool", "tool_call_id": "b", "content": "2", "odd": 1},
        ]
        assert len(new_id) <= 40

    def test_an_id_that_comes_again_in_a_later_turn_stays(self) -> None:
        turn = [
            native(role="assistant", content=None, tool_calls=[call("a:1")]),
            native(role="tool", tool_call_id="a:1", content="1"),
        ]
        messages, _ = sent(USER, *turn, USER, *turn)

        assert messages == to_openai([USER, *turn, USER, *turn], exact=True)

    def test_an_id_that_comes_again_in_one_turn_is_told_apart(self) -> None:
        made = Message(
            "assistant", None, tool_calls=(ToolCall("a", "f", ""), ToolCall("a", "g", ""))
        )
        answers = [Message("tool", text, tool_call_id="a") for text in "12"]
        messages, _ = sent(USER, made, *answers)

        first, second = (each["id"] for each in messages[1]["tool_calls"])
        assert first != second
        assert [each["tool_call_id"] for each in messages[2:]] == [first, second]

    def test_functions_of_before_tools_get_ids(self) -> None:
        old = {"name": "f", "arguments": "{}"}
        messages, _ = sent(
            USER,
            native(role="assistant", content=None, function_call=old),
            native(role="function", name="f", content="42"),
        )

        assert messages[1:] == [
            {"role": "assistant", "content": None, "tool_calls": [call("call_1")]},
            {"role": "tool", "content": "42", "tool_call_id": "call_1"},
        ]
        exact = to_openai([native(role="assistant", content=None, function_call=old)], exact=True)
        assert exact == [{"role": "assistant", "content": None, "function_call": old}]

    def test_any_message_that_was_taken_apart_is_put_together_again(self) -> None:
        for item in cases(ChatCompletionMessageParam).values:
            reading = CHAT.read(item, keep=True)
            message = Message.of(reading.role, reading.parts, name=reading.name)
            made = to_openai([message], exact=True)
            says = item["role"] == "function" or bool(_telling(item).keys() - {"role", "name"})
            assert [_telling(each) for each in made] == ([_telling(item)] if says else [])


def _telling(message: Json) -> Json:
    return {key: value for key, value in message.items() if value not in (None, [], "")}


class TestTools:
    PARAMETERS = {"type": "object", "properties": {"x": {"type": "string"}}}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("api", "tool"),
        [
            ("openai.responses", {"type": "function", "name": "f", "parameters": PARAMETERS}),
            ("anthropic.messages", {"name": "f", "input_schema": PARAMETERS}),
            (
                "google.generate_content",
                {
                    "functionDeclarations": [
                        {
                            "name": "f",
                            "parameters": {
                                "type": "OBJECT",
                                "properties": {"x": {"type": "STRING"}},
                            },
                        }
                    ]
                },
            ),
        ],
    )
    def test_functions_of_other_apis_are_translated(self, api: str, tool: Json) -> None:
        written = write_tools(CHAT, [tool], api, Writing())

        function = {"name": "f", "parameters": self.PARAMETERS}
        assert written == {"tools": [{"type": "function", "function": function}]}

    def test_custom_tools_of_the_other_api_are_translated(self) -> None:
        grammar = {"syntax": "lark", "definition": "start: A"}
        tool = {"type": "custom", "name": "sh", "format": {"type": "grammar", **grammar}}
        written = write_tools(CHAT, [tool], "openai.responses", Writing())

        custom = {"name": "sh", "format": {"type": "grammar", "grammar": grammar}}
        assert written == {"tools": [{"type": "custom", "custom": custom}]}

    def test_tools_that_only_their_api_has_are_named(self) -> None:
        writing = Writing()

        assert write_tools(CHAT, [{"type": "web_search"}], "openai.responses", writing) == {}
        assert [loss.what for loss in writing.losses] == ["tool"]

    def test_functions_are_read(self) -> None:
        tool = {"type": "function", "function": {"name": "f", "description": "d", "strict": True}}

        (found,) = CHAT.read_tool(tool)
        assert (found.name, found.description, found.strict) == ("f", "d", True)


@pytest.mark.skipif(not exchanges.path().exists(), reason="the recorded exchanges are not here")
@pytest.mark.parametrize("api", sorted(FORMATS))
def test_recorded_requests_of_any_api_are_accepted(api: str) -> None:
    """They are read by their own API's format, and written for this one."""
    keys = {"google.generate_content": "contents", "openai.responses": "input"}
    refused = []
    for exchange in exchanges.read(exchanges.path()):
        items = exchange.request.get(keys.get(api, "messages"))
        if exchange.api != api or not isinstance(items, list):
            continue
        contents: Sequence[ContentModel] = FORMATS[api].contents(items)
        asking = DialogueContent(role="user", text="q")
        given = [Sent(message) for message in shown([asking, *contents])]
        provider = exchange.provider if api == CHAT.api else "openai"
        refused += problems("openai.chat", arguments(CHAT, given, Writing()), provider=provider)

    assert [each for each in refused if "base64" not in each] == []


def test_messages_of_parts_are_sent() -> None:
    content = MessageContent(role="user", parts=(TextPart(text="t"), PNG))

    assert len(to_openai(shown([content]))[0]["content"]) == 2


@pytest.mark.parametrize("model", [None, "deepseek-reasoner", "mistral-large-latest"])
async def test_what_a_model_takes_is_sent_whichever_way_the_request_is_made(
    model: str | None,
) -> None:
    async with AsyncTract.open(tokenizer=NullTokenCounter()) as tract:
        await tract.user("q")
        for direction in ("call", "result"):
            content = ToolIOContent(tool_name="f", direction=direction, payload="{}", call_id="1")
            await tract.commit(content)
        context = await tract.compile()

    given = context.request(CHAT.api, model=model)["messages"]
    assert context.to_openai(model=model) == given
    assert (given == context.to_openai()) is (model is None)
