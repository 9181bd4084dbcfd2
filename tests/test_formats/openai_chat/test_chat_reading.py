"""Chat Completions messages as parts, whole replies as items."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from support.rendered import shown
from tract import (
    MediaPart,
    NativePart,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    from_openai,
    to_openai,
)
from tract.formats.format import Reply, as_json
from tract.formats.registry import FORMATS
from tract.protocols.parts import Part

pytestmark = pytest.mark.measured

CHAT = FORMATS["openai.chat"]
Json = dict[str, Any]
SHA = hashlib.sha256(b"x").hexdigest()
TAKEN = {"$attachment": SHA, "bytes": 4000, "prefix": "data:image/png;base64,"}


def parts(**message: Any) -> tuple[Part, ...]:
    return CHAT.read({"role": "assistant", **message}).parts


def block(**given: Any) -> Part:
    (part,) = CHAT.read({"role": "user", "content": [given]}).parts
    return part


class TestMessages:
    @pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "bot"])
    def test_text_is_a_part(self, role: str) -> None:
        reading = CHAT.read({"role": role, "content": "t", "name": "n"})

        assert reading == (role, (TextPart(text="t"),), "n")

    @pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
    def test_thinking_comes_first(self, key: str) -> None:
        assert parts(content="t", **{key: "why"}) == (
            ThinkingPart(text="why"),
            TextPart(text="t"),
        )

    def test_thinking_that_is_given_twice_is_one_part(self) -> None:
        detail = {"type": "reasoning.text", "text": "why", "signature": "c2ln", "id": "r"}

        assert parts(reasoning="why", reasoning_content="why") == (ThinkingPart(text="why"),)
        assert parts(reasoning="why", reasoning_details=[detail]) == (
            ThinkingPart(text="why", signature="c2ln", id="r"),
        )

    def test_encrypted_thinking_is_a_part(self) -> None:
        details = [
            {"type": "reasoning.summary", "summary": "s"},
            {"type": "reasoning.encrypted", "data": "ZW5j", "id": "r"},
        ]

        assert parts(reasoning_details=details) == (
            ThinkingPart(text="s"),
            ThinkingPart(encrypted="ZW5j", id="r"),
        )

    def test_magistrals_thinking_is_a_part(self) -> None:
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}

        assert parts(content=[thought, {"type": "text", "text": "t"}]) == (
            ThinkingPart(text="why"),
            TextPart(text="t"),
        )

    def test_signatures_of_gemini_are_read(self) -> None:
        extra = {"google": {"thought_signature": "c2ln"}}
        call = {
            "id": "a",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "extra_content": extra,
        }

        assert parts(extra_content=extra, tool_calls=[call]) == (
            ThinkingPart(signature="c2ln"),
            ToolCallPart(id="a", name="f", arguments="{}", signature="c2ln"),
        )

    def test_calls_are_read(self) -> None:
        custom = {"id": "b", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
        old = {"name": "g", "arguments": "{ }"}

        assert parts(content=None, tool_calls=[custom], function_call=old) == (
            ToolCallPart(id=None, name="g", arguments="{ }"),
            ToolCallPart(id="b", name="sh", arguments="ls", kind="custom"),
        )

    def test_refusals_are_read(self) -> None:
        listed = [{"type": "refusal", "refusal": "no"}]

        assert parts(refusal="no") == parts(content=listed) == (RefusalPart(text="no"),)

    def test_what_a_model_spoke_is_read_with_its_transcript(self) -> None:
        assert parts(audio={"id": "a", "transcript": "Hey"}) == (
            MediaPart(kind="audio", file_id="a"),
            TextPart(text="Hey"),
        )

    def test_images_that_a_model_made_are_read(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://a.b/c"}}

        assert parts(content="t", images=[image]) == (
            TextPart(text="t"),
            MediaPart(kind="image", url="https://a.b/c"),
        )

    def test_a_result_that_is_an_image_is_a_medium(self) -> None:
        """It was text: base64, which was taken out."""
        reading = CHAT.read({"role": "tool", "tool_call_id": "a", "content": TAKEN})

        image = MediaPart(kind="image", media_type="image/png", attachment=SHA)
        assert reading.parts == (ToolResultPart(call_id="a", parts=(image,)),)

    def test_results_are_read(self) -> None:
        content = [{"type": "text", "text": "42"}]
        reading = CHAT.read({"role": "tool", "tool_call_id": "a", "content": content})

        result = ToolResultPart(call_id="a", parts=(TextPart(text="42"),))
        assert reading == ("tool", (result,), None)

    def test_results_of_functions_are_read(self) -> None:
        reading = CHAT.read({"role": "function", "name": "f", "content": "42"})

        result = ToolResultPart(call_id=None, parts=(TextPart(text="42"),), name="f")
        assert reading == ("tool", (result,), None)

    def test_what_only_one_api_has_is_native(self) -> None:
        found = parts(content="t", annotations=[{"type": "url_citation"}], images=[], odd=None)

        assert found[0] == TextPart(text="t")
        assert [part.kind for part in found[1:] if isinstance(part, NativePart)] == ["annotations"]


class TestMedia:
    def test_images_are_read(self) -> None:
        url = "data:image/png;base64," + base64.b64encode(b"png").decode()

        assert block(type="image_url", image_url={"url": url, "detail": "low"}) == MediaPart(
            kind="image", media_type="image/png", data=b"png", detail="low"
        )
        assert block(type="image_url", image_url="https://a.b/c") == MediaPart(
            kind="image", url="https://a.b/c"
        )

    def test_media_that_were_taken_out_are_attachments(self) -> None:
        sized = {**TAKEN, "width": 3, "height": 2}

        assert block(type="image_url", image_url={"url": sized}) == MediaPart(
            kind="image", media_type="image/png", attachment=SHA, width=3, height=2
        )
        bare = {"$attachment": SHA, "bytes": 4000}
        assert block(type="input_audio", input_audio={"data": bare, "format": "mp3"}) == MediaPart(
            kind="audio", media_type="audio/mpeg", attachment=SHA
        )

    def test_sounds_documents_and_films_are_read(self) -> None:
        assert block(type="input_audio", input_audio={"data": "AAAA", "format": "wav"}) == (
            MediaPart(kind="audio", media_type="audio/wav", data=b"\0\0\0")
        )
        file = {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}
        assert block(type="file", file=file) == MediaPart(
            kind="document", media_type="application/pdf", data=b"\0\0\0", name="a.pdf"
        )
        assert block(type="file", file={"file_id": "file-1"}) == MediaPart(
            kind="document", file_id="file-1"
        )
        assert block(type="document_url", document_url="https://a.b/c") == MediaPart(
            kind="document", url="https://a.b/c"
        )
        assert block(type="video_url", video_url={"url": "https://a.b/c"}) == MediaPart(
            kind="video", url="https://a.b/c"
        )

    @pytest.mark.parametrize(
        "given",
        [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}},
            {"type": "image_url"},
            {"type": "image_url", "image_url": {"url": None}},
            {"type": "file", "file": {"filename": "a.pdf"}},
            {"type": "banana"},
            {},
        ],
    )
    def test_what_is_no_medium_is_native(self, given: Json) -> None:
        assert isinstance(block(**given), NativePart)


def test_with_keep_each_part_has_its_own_json() -> None:
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}],
        "reasoning": "why",
        "reasoning_details": [{"type": "reasoning.text", "text": "why", "signature": "s"}],
        "refusal": "no",
        "odd": 1,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }

    assert [part.native.item for part in CHAT.read(message, keep=True).parts if part.native] == [
        {"reasoning": "why", "reasoning_details": message["reasoning_details"]},
        message["content"][0],  # type: ignore[index]
        {"refusal": "no"},
        message["tool_calls"][0],  # type: ignore[index]
        {"odd": 1},
    ]


def whole(message: Json, finish: str = "stop", **more: Any) -> Reply:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    found = CHAT.reply({"object": "chat.completion", "choices": [choice], **more})
    assert found is not None
    return found


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


class TestReplies:
    def test_what_says_nothing_is_left_out(self) -> None:
        hollow = {
            "audio": {"data": "", "expires_at": 0, "id": "", "transcript": ""},
            "function_call": {"arguments": "", "name": ""},
            "refusal": "",
            "annotations": [],
            "reasoning": None,
            "reasoning_content": None,
            "tool_calls": None,
        }
        reply = whole({"role": "assistant", "content": "4", **hollow})

        assert reply.items == [{"role": "assistant", "content": "4"}]

    def test_calls_are_as_the_next_request_wants_them(self) -> None:
        given = {"id": "a", "index": 0, "function": {"name": "f", "arguments": {"x": 1}}}
        padded = {**CALL, "custom": {"input": "", "name": ""}}
        reply = whole({"role": "assistant", "content": None, "tool_calls": [given, padded]})

        first = {**CALL, "function": {"name": "f", "arguments": '{"x": 1}'}}
        assert reply.items[0]["tool_calls"] == [first, CALL]

    def test_empty_reasoning_goes_back_with_calls_alone(self) -> None:
        said = {"role": "assistant", "content": "", "reasoning_content": ""}

        assert "reasoning_content" not in whole(said).items[0]
        assert whole({**said, "tool_calls": [CALL]}).items[0]["reasoning_content"] == ""

    @pytest.mark.parametrize("content", [{}, {"content": None}])
    def test_a_reply_without_text_is_a_message(self, content: Json) -> None:
        reply = whole({"role": "assistant", **content}, "length")

        assert reply.items == [{"role": "assistant", "content": ""}]

    def test_of_several_choices_the_first_is_kept(self) -> None:
        choices = [{"message": {"role": "assistant", "content": text}} for text in "ab"]
        reply = CHAT.reply({"choices": choices})

        assert reply is not None
        assert reply.items == [{"role": "assistant", "content": "a"}]

    def test_a_call_that_was_cut_off_is_in_no_item(self) -> None:
        cut = {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x'}}
        reply = whole({"role": "assistant", "content": "t", "tool_calls": [CALL, cut]}, "length")

        assert reply.items[0]["tool_calls"] == [CALL]
        assert [call.id for call in reply.unfinished] == ["b"]

    def test_what_the_api_says_is_kept(self) -> None:
        usage = {"prompt_tokens": 5}
        reply = whole({"role": "assistant", "content": "t"}, usage=usage, model="m", id="c")

        assert reply[1:5] == (usage, "m", "c", "stop")

    @pytest.mark.parametrize(
        "other",
        [
            {},
            {"error": {"message": "no"}},
            {"choices": "no"},
            {"choices": [{"text": "t"}]},
            {"choices": [], "object": "text_completion"},
            {"output": []},
        ],
    )
    def test_other_answers_are_not_read(self, other: Json) -> None:
        assert CHAT.reply(other) is None

    def test_the_sdks_own_reply_is_read(self) -> None:
        reply = ChatCompletion.model_validate(
            {
                "id": "c",
                "created": 1,
                "model": "m",
                "object": "chat.completion",
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "t", "reasoning": "why"},
                    }
                ],
            }
        )
        found = CHAT.reply(dict(as_json(reply) or {}))

        assert found is not None
        assert found.items == [{"role": "assistant", "content": "t", "reasoning": "why"}]


words = (
    "role content name tool_calls tool_call_id function function_call custom arguments id type "
    "reasoning reasoning_details text refusal audio data transcript image_url url input_audio "
    "file file_data file_id thinking extra_content google thought_signature index prefix odd"
).split()
texts = st.sampled_from(
    ["", "t", "assistant", "user", "tool", "function", "text", "image_url", "file", "thinking"]
) | st.text(st.characters(exclude_categories=()), max_size=3)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(words), inner, max_size=5)
    ),
    max_leaves=25,
)
messages = st.dictionaries(st.sampled_from(words), junk, max_size=6) | st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "function", "system"])},
    optional={word: junk for word in words if word != "role"},
)


@given(messages, st.booleans())
def test_junk_has_a_reading(message: Json, keep: bool) -> None:
    assert isinstance(CHAT.read(message, keep=keep).role, str)


@given(st.lists(messages, max_size=4))
def test_junk_comes_back_and_can_be_sent(given_messages: list[Json]) -> None:
    committed = shown(from_openai(given_messages))
    to_openai(committed)

    sent = to_openai(committed, exact=True)
    assert [_unnamed(each) for each in sent] == [_unnamed(each) for each in given_messages]


def _unnamed(message: Json) -> Json:
    """Return a message without what is not kept of a tool's: its name."""
    if message.get("role") != "tool":
        return message
    return {key: value for key, value in message.items() if key != "name"}


@given(messages)
def test_a_reply_of_junk_is_read(message: Json) -> None:
    whole(message)
