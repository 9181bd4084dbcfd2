"""What a request sends: the API's own as it came, the rest translated, nothing lost unsaid."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import exchanges
from providers.validators import APIS, problems
from support.anthropic_items import FORMAT, exactly, messages_of, rendered, same, sent
from tract import Message, to_anthropic
from tract.formats.format import GO_ON, Sent, Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import arguments
from tract.history.media import take_out
from tract.protocols import ToolCall
from tract.protocols.parts import (
    MediaPart,
    Native,
    NativePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

API = "anthropic.messages"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)
PDF = b"%PDF-1.7 x"
EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


def text(said: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **fields}


def thinking(signature: str = "U0lH") -> dict[str, Any]:
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def call(call_id: str = "a") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": {"x": 1}}


def result(call_id: str = "a", content: Any = "r", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


def server_call(call_id: str = "srvtoolu_1") -> dict[str, Any]:
    return {"type": "server_tool_use", "id": call_id, "name": "web_search", "input": {}}


def server_result(call_id: str = "srvtoolu_1") -> dict[str, Any]:
    return {"type": "web_search_tool_result", "tool_use_id": call_id, "content": []}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def system(*blocks: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "system", "content": list(blocks), **fields}


def parts(role: str, *given_parts: Part, name: str | None = None) -> Message:
    return Message.of(role, given_parts, name=name)


Q = user(text("q"))


def send(
    *given_in: dict[str, Any] | Message, model: str | None = None
) -> tuple[list[Any], list[str]]:
    """Return the messages that are sent of items and messages, valid ones, and what was lost."""
    request, losses = whole(*given_in, model=model)
    return request["messages"], losses


def whole(
    *given_in: dict[str, Any] | Message, model: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    writing = Writing(model=model, load={"png": PNG}.__getitem__)
    found = [
        message
        for each in given_in
        for message in ([each] if isinstance(each, Message) else messages_of(each))
    ]
    request = sent(found, writing)
    if request["messages"]:
        assert problems(API, {**request, **({"model": model} if model else {})}) == []
    return request, [loss.what for loss in writing.losses]


class TestItsOwn:
    def test_items_go_out_as_they_came(self) -> None:
        items = [
            Q,
            assistant(thinking(), text("t", citations=None), call("a"), call("b")),
            user(result("a", [text("r", **EPHEMERAL)]), result("b", is_error=False), text("u")),
            assistant(server_call(), server_result(), text("\n- "), thinking(), text("so")),
            {"role": "user", "content": "plain"},
        ]

        assert send(*copy.deepcopy(items)) == (items, [])

    def test_messages_of_one_side_stay_apart(self) -> None:
        items = [user(text("a")), user(text("b")), assistant(text("c")), assistant(text("d"))]

        assert send(*items) == (items, [])

    def test_media_that_was_taken_out_is_put_back(self) -> None:
        data = base64.b64encode(PNG).decode()
        image = {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": data},
        }
        item = user(image, text("what is it?"))
        taken = take_out(item)
        (message,) = messages_of(taken.item)
        writing = Writing(load=taken.media.__getitem__)

        assert taken.media
        assert sent([message], writing) == {"messages": [item]}

    def test_a_message_that_lost_a_part_keeps_the_others_to_the_byte(self) -> None:
        """A call that nobody answered is dropped; what is signed stays."""
        item = assistant(thinking(), text("t", citations=[]), call("a"), call("b"))
        items = [Q, item, user(result("a"))]
        found = [message for each in items for message in messages_of(each)]
        given_in = [Sent(message) for message in found]
        again = arguments(FORMAT, given_in, Writing(), "drop")

        assert same(again["messages"], [Q, assistant(*item["content"][:3]), items[2]])

    def test_an_id_that_was_mended_is_the_calls_and_the_results(self) -> None:
        called = assistant(thinking(), {**call("a.b"), "caller": {"type": "direct"}})
        messages, _ = send(Q, called, user(result("a.b", [text("r", **EPHEMERAL)])))

        (thought, use), (answer,) = messages[1]["content"], messages[2]["content"]
        assert use["id"] == answer["tool_use_id"] != "a.b"
        assert {**use, "id": "a.b"} == called["content"][1]
        assert (thought, answer["content"]) == (thinking(), [text("r", **EPHEMERAL)])

    def test_a_whole_reply_given_as_a_message_loses_what_only_replies_have(self) -> None:
        reply = {**assistant(text("hi")), "type": "message", "id": "msg_1", "usage": {}}

        assert send(Q, reply) == ([Q, assistant(text("hi"))], [])
        assert exactly(messages_of(reply)) == {"messages": [reply]}

    def test_blocks_on_the_wrong_side_stand_on_their_own(self) -> None:
        messages, losses = send(Q, user(call("a")), assistant(result("a")))

        assert (messages, losses) == ([Q, assistant(call("a")), user(result("a"))], [])


class TestMended:
    @pytest.mark.parametrize("blank", ["", " \n"])
    def test_blank_texts_are_left_out(self, blank: str) -> None:
        messages, losses = send(Q, assistant(text(blank), text("t")), user(text("u")))

        assert messages == [Q, assistant(text("t")), user(text("u"))]
        assert losses == ["text"] * bool(blank)

    def test_a_message_of_nothing_is_left_out(self) -> None:
        assert send(Q, assistant(), user(text("u"))) == ([Q, user(text("u"))], [])

    def test_thinking_without_its_signature_is_left_out(self) -> None:
        messages, losses = send(Q, assistant(thinking(""), text("t")), user(text("u")))

        assert messages[1] == assistant(text("t"))
        assert losses == ["thinking"]

    def test_thinking_at_the_end_is_left_out(self) -> None:
        messages, losses = send(Q, assistant(text("t"), thinking()), user(text("u")))

        assert messages[1] == assistant(text("t"))
        assert losses == ["thinking"]

    def test_a_turn_of_thinking_alone_is_left_out(self) -> None:
        redacted = {"type": "redacted_thinking", "data": "RQ=="}

        assert send(Q, assistant(thinking(), redacted)) == ([Q], ["redacted_thinking", "thinking"])

    def test_thinking_behind_a_call_goes_before_it(self) -> None:
        messages, losses = send(Q, assistant(thinking(), call(), thinking("UzI=")), user(result()))

        assert messages[1] == assistant(thinking(), thinking("UzI="), call())
        assert losses == []

    def test_what_was_said_before_thinking_goes_behind_it(self) -> None:
        said = Message("assistant", "Wait.")
        messages, _ = send(Q, said, assistant(thinking(), text("t"), call()), user(result()))

        assert messages[1] == assistant(thinking(), text("Wait."), text("t"), call())

    def test_results_come_first(self) -> None:
        messages, _ = send(Q, assistant(call()), user(text("u"), result()))

        assert messages[2] == user(result(), text("u"))

    def test_an_error_says_something(self) -> None:
        messages, losses = send(Q, assistant(call()), user(result(content="", is_error=True)))

        assert messages[2]["content"][0]["content"] != ""
        assert losses == ["tool_result"]

    def test_what_a_result_cannot_hold_is_left_out(self) -> None:
        messages, losses = send(Q, assistant(call()), user(result(content=[text(" "), call("b")])))

        assert messages[2]["content"][0]["content"] == ""
        assert losses == ["tool_result"]

    def test_a_servers_call_that_was_cut_off_is_left_out(self) -> None:
        messages, losses = send(Q, assistant(text("t"), server_call()), user(text("u")))

        assert messages[1] == assistant(text("t"))
        assert losses == ["server_tool_use"]

    def test_a_servers_call_goes_on_in_a_later_turn(self) -> None:
        paused = assistant(text("t"), server_call())
        items = [Q, assistant(server_call("srvtoolu_0"), call()), user(result()), paused]

        assert send(*items) == (items, [])

    def test_a_servers_result_without_its_call_is_left_out(self) -> None:
        messages, losses = send(Q, assistant(server_result(), text("t")))

        assert messages[1] == assistant(text("t"))
        assert losses == ["web_search_tool_result"]

    def test_a_servers_second_result_of_a_call_is_left_out(self) -> None:
        once = assistant(server_call(), server_result(), text("t"))
        messages, losses = send(Q, once, user(text("u")), assistant(server_result(), text("v")))

        assert messages == [Q, once, user(text("u")), assistant(text("v"))]
        assert losses == ["web_search_tool_result"]

    def test_an_answer_that_was_picked_twice_has_other_ids(self) -> None:
        searched = assistant(server_call(), server_result(), text("t"))
        messages, losses = send(Q, searched, user(text("u")), searched, user(text("v")))

        again = [server_call("srvtoolu_1_2"), server_result("srvtoolu_1_2"), text("t")]
        assert messages == [Q, searched, user(text("u")), assistant(*again), user(text("v"))]
        assert losses == []

    def test_the_last_answer_does_not_end_with_space(self) -> None:
        assert send(Q, assistant(text("t \n"))) == ([Q, assistant(text("t"))], ["text"])
        assert send(Q, Message("assistant", "t "))[0][1]["content"] == "t"

    @pytest.mark.parametrize("model", ["claude-opus-4-8", "us.anthropic.claude-sonnet-5-5"])
    def test_the_user_speaks_last_where_the_model_goes_on_with_nothing_begun(
        self, model: str
    ) -> None:
        messages, losses = send(Q, assistant(text("t ")), model=model)

        assert messages == [Q, assistant(text("t ")), {"role": "user", "content": GO_ON}]
        assert losses == ["message"]

    @pytest.mark.parametrize("model", [None, "claude-sonnet-4-5-20250929", "glm-4.6"])
    def test_the_last_answer_goes_on_where_the_model_may_take_it(self, model: str | None) -> None:
        writing = Writing(model=model)
        messages = [*messages_of(Q), *messages_of(assistant(text("t")))]

        assert sent(messages, writing)["messages"] == [Q, assistant(text("t"))]
        assert writing.losses == []

    def test_a_paused_turn_goes_on_as_it_is(self) -> None:
        items = [Q, assistant(text("t"), server_call(), server_result())]

        assert send(*items, model="claude-opus-4-8") == (items, [])

    def test_only_the_last_cache_points_are_kept(self) -> None:
        marked = [user(text(f"{n}", **EPHEMERAL)) for n in range(6)]
        fragment = {"system": [text("s", **EPHEMERAL)]}
        request, losses = whole(fragment, *marked)

        cached = ["cache_control" in each["content"][0] for each in request["messages"]]
        assert cached == [False, False, False, True, True, True]
        assert request["system"] == fragment["system"]
        assert losses == ["cache_control"] * 3

    def test_thinking_has_no_cache_point(self) -> None:
        messages, losses = send(Q, assistant({**thinking(), **EPHEMERAL}, text("t")))

        assert messages[1] == assistant(thinking(), text("t"))
        assert losses == ["cache_control"]


class TestSystem:
    def test_a_prompt_of_blocks_keeps_its_cache_points(self) -> None:
        fragment = {"system": [text("one", **EPHEMERAL), text("two")]}

        assert whole(fragment, Q)[0] == {**fragment, "messages": [Q]}

    def test_a_prompt_and_instructions_are_one(self) -> None:
        fragment = {"system": [text("one", **EPHEMERAL)]}
        request, _ = whole(fragment, Message("system", "two"), Q)

        assert request["system"] == [*fragment["system"], text("two")]

    def test_blank_prompts_are_left_out(self) -> None:
        assert whole({"system": " "}, {"system": []}, Q)[0] == {"messages": [Q]}

    def test_a_system_message_between_the_others_stays_there(self) -> None:
        note = system(text("Be brief."), {"type": "tool_addition", "tool": {"name": "f"}})
        items = [Q, note, assistant(text("t")), user(text("u")), system(text("Now."))]

        assert send(*items) == (items, [])

    def test_one_that_cannot_stand_there_is_in_the_prompt(self) -> None:
        addition = {"type": "tool_addition", "tool": {"name": "f"}}
        request, losses = whole(Q, assistant(text("t")), system(text("Be brief."), addition))

        assert request["system"] == [text("Be brief.")]
        assert request["messages"] == [Q, assistant(text("t"))]
        assert losses == ["system", "tool_addition"]

    def test_one_before_the_users_next_words_is_in_the_prompt(self) -> None:
        request, losses = whole(Q, system(text("a")), user(text("u")))

        assert request == {"system": [text("a")], "messages": [Q, user(text("u"))]}
        assert losses == ["system"]

    def test_two_become_one(self) -> None:
        request, losses = whole(Q, system(text("a")), system(text("b")), assistant(text("t")))

        assert request["messages"][1] == system(text("a"), text("b"))
        assert losses == []

    @pytest.mark.parametrize("model", ["claude-opus-4-1-20250805", "claude-sonnet-4-0"])
    def test_models_that_take_none_get_it_in_the_prompt(self, model: str) -> None:
        request, losses = whole(Q, system(text("a")), model=model)

        assert (request["system"], request["messages"], losses) == ([text("a")], [Q], ["system"])

    def test_what_only_a_system_message_can_set_is_sent(self) -> None:
        note = {"role": "system", "output_config": {"effort": "low"}}
        request = sent(messages_of(Q, note))

        assert request == {"messages": [Q, note]}

    def test_developers_speak_in_the_prompt(self) -> None:
        developer = parts("developer", TextPart(text="one"), TextPart(text="two"))

        assert whole(developer, Q)[0]["system"] == "one\n\ntwo"


class TestTranslated:
    def test_a_turn_of_another_api(self) -> None:
        given_in = [
            parts("user", TextPart(text="q"), MediaPart(kind="image", attachment="png")),
            parts(
                "assistant",
                ThinkingPart(text="hm", encrypted="E"),
                TextPart(text="t"),
                ToolCallPart(id="a", name="f", arguments='{"x": 1}', signature="G"),
            ),
            parts("tool", ToolResultPart(call_id="a", parts=(TextPart(text="r"),), is_error=True)),
            parts("assistant", RefusalPart(text="No.")),
        ]
        messages, losses = send(*given_in)

        data = base64.b64encode(PNG).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        assert messages == [
            user(text("q"), {"type": "image", "source": source}),
            assistant(text("t"), call()),
            user(result(is_error=True)),
            {"role": "assistant", "content": "No."},
        ]
        assert losses == ["thinking", "signature"]

    def test_thinking_of_the_same_api_goes_back_from_parts(self) -> None:
        (message,) = messages_of(assistant(thinking(), text("t")))
        kept = FORMAT.read(assistant(thinking(), text("t")), keep=True).parts
        signed, unsigned = parts("assistant", *kept), parts("assistant", *message.parts)

        assert send(Q, signed) == ([Q, assistant(thinking(), text("t"))], [])
        assert send(Q, unsigned)[1] == ["thinking"]

    @pytest.mark.parametrize(
        ("part", "source"),
        [
            (
                MediaPart(kind="image", url="https://x/y.png", media_type="image/png"),
                {"type": "url", "url": "https://x/y.png"},
            ),
            (
                MediaPart(kind="image", url="data:image/png;base64,iVBORw0KGgo="),
                {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            ),
            (
                MediaPart(kind="image", data=b"\xff\xd8\xffx", media_type="image/png"),
                {"type": "base64", "media_type": "image/jpeg", "data": "/9j/eA=="},
            ),
            (
                MediaPart(kind="document", data=PDF),
                {
                    "type": "base64",
                    "media_type": "application/pdf",
                    "data": base64.b64encode(PDF).decode(),
                },
            ),
            (
                MediaPart(kind="document", url="https://x/y.pdf"),
                {"type": "url", "url": "https://x/y.pdf"},
            ),
            (
                MediaPart(kind="document", data=b"a,b", media_type="text/csv", name="t.csv"),
                {"type": "text", "media_type": "text/plain", "data": "a,b"},
            ),
            (MediaPart(kind="document", file_id="file_1"), {"type": "file", "file_id": "file_1"}),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_media_that_the_api_takes(self, part: MediaPart, source: dict[str, Any]) -> None:
        ((message,), losses) = send(parts("user", part))

        (block,) = message["content"]
        assert (block["type"], block["source"]) == (part.kind, source)
        assert block.get("title") == part.name
        assert losses == []

    @pytest.mark.parametrize(
        "part",
        [
            MediaPart(kind="audio", data=b"x", media_type="audio/wav"),
            MediaPart(kind="video", url="https://x/y.mp4"),
            MediaPart(kind="image", data=b"II*\0", media_type="image/tiff"),
            MediaPart(kind="image", file_id="file-abc"),
            MediaPart(kind="image", url="gs://x/y.png"),
            MediaPart(kind="image", url="data:image/png;base64,!!"),
            MediaPart(kind="document", data=b"\xff\0", media_type="text/plain"),
            MediaPart(kind="document", data=b"?"),
            MediaPart(kind="document", data=b""),
        ],
        ids=lambda part: str(part)[:60],
    )
    def test_media_that_it_does_not_take_is_named(self, part: MediaPart) -> None:
        ((message,), losses) = send(parts("user", TextPart(text="q"), part))

        assert message["content"] == "q"
        assert losses == ["media"]

    def test_an_image_of_the_models_is_named(self) -> None:
        drawn = parts("assistant", TextPart(text="t"), MediaPart(kind="image", data=PNG))

        assert send(Q, drawn)[1] == ["media"]

    def test_an_image_in_a_result_is_sent(self) -> None:
        shot = ToolResultPart(call_id="a", parts=(MediaPart(kind="image", data=PNG),))
        messages, losses = send(Q, assistant(call()), parts("tool", shot))

        assert messages[2]["content"][0]["content"][0]["type"] == "image"
        assert losses == []

    @pytest.mark.parametrize(
        ("part", "what"),
        [
            (ToolCallPart(id="a", name="f", arguments="{}", kind="server"), "tool_call"),
            (ToolResultPart(call_id="a", kind="server"), "tool_result"),
            (NativePart(native=Native("openai.responses", '{"type": "x"}')), "x"),
            (NativePart(native=Native("openai.chat", '["x"]')), "list"),
        ],
    )
    def test_what_only_another_api_has_is_named(self, part: Part, what: str) -> None:
        messages, losses = send(Q, parts("assistant", TextPart(text="t"), part))

        assert messages[1] == {"role": "assistant", "content": "t"}
        assert losses == [what]

    def test_a_custom_tools_text_is_sent_as_an_object(self) -> None:
        custom = ToolCallPart(id="a", name="sh", arguments="ls -l", kind="custom")
        done = ToolResultPart(call_id="a", parts=(TextPart(text="r"),), kind="custom")
        messages, losses = send(Q, parts("assistant", custom), parts("tool", done))

        assert messages[1]["content"][0]["input"] == {"arguments": "ls -l"}
        assert losses == ["tool_call"]

    def test_a_name_is_named(self) -> None:
        messages, losses = send(Message("user", "q", "Ann Lee"))

        assert (messages, losses) == ([{"role": "user", "content": "q"}], ["name"])

    def test_parts_stand_on_the_side_that_may_have_them(self) -> None:
        mixed = parts(
            "user",
            TextPart(text="u"),
            ToolCallPart(id="a", name="f", arguments="{}"),
            ToolResultPart(call_id="a", parts=(TextPart(text="r"),)),
        )
        messages, _ = send(mixed)

        assert [each["role"] for each in messages][-2:] == ["assistant", "user"]


anything = st.text(st.characters(exclude_categories=[]), max_size=6)
blank = st.sampled_from(["", " \n"])
media = st.builds(
    MediaPart,
    kind=st.sampled_from(["image", "audio", "video", "document"]),
    media_type=st.none() | st.sampled_from(["image/png", "image/tiff", "text/plain"]),
    data=st.sampled_from([PNG, PDF, b"text", b"\xff", b""]),
) | st.builds(
    MediaPart,
    kind=st.sampled_from(["image", "document"]),
    url=st.sampled_from(["https://x/y", "gs://x", "data:image/png;base64,aGk="]),
)
ids = st.none() | st.sampled_from(["a", "b", "a.b", "", "x" * 300])
native_parts = st.sampled_from(
    [
        *FORMAT.read(
            assistant(
                thinking(),
                thinking(""),
                server_call(),
                server_result(),
                {"type": "redacted_thinking"},
            ),
            keep=True,
        ).parts,
        NativePart(native=Native("openai.responses", '{"type": "y"}')),
    ]
)
simple = st.builds(TextPart, text=anything | blank) | media
neutral = (
    simple
    | native_parts
    | st.builds(RefusalPart, text=anything)
    | st.builds(ThinkingPart, text=anything, signature=st.none() | anything)
    | st.builds(
        ToolCallPart,
        id=ids,
        name=st.sampled_from(["f", "a.b", ""]),
        arguments=st.sampled_from(["{}", "", "[", '{"x": 1}']),
        kind=st.sampled_from(["function", "custom", "server"]),
    )
    | st.builds(
        ToolResultPart,
        call_id=ids,
        parts=st.lists(simple, max_size=2).map(tuple),
        is_error=st.booleans(),
        kind=st.sampled_from(["function", "server"]),
    )
)
roles = st.sampled_from(["user", "assistant", "system", "developer", "tool", "narrator"])
of_parts = st.builds(
    lambda role, given_parts, name: Message.of(role, given_parts, name=name),
    roles,
    st.lists(neutral, max_size=4),
    st.none() | anything,
)
own = st.sampled_from(
    [
        Q,
        assistant(thinking(), text("t"), call("a")),
        user(result("a")),
        user(text("u"), result("b", is_error=True, content="")),
        assistant(call("b"), text("after"), thinking()),
        assistant(server_call(), server_result(), text("t", **EPHEMERAL)),
        assistant(server_call("srvtoolu_2")),
        system(text("s"), {"type": "tool_addition", "tool": {}}),
        {"system": [text("p", **EPHEMERAL)]},
    ]
).map(lambda item: messages_of(item)[0])
plain = st.builds(
    Message,
    st.just("assistant"),
    st.none() | anything,
    tool_calls=st.lists(st.builds(ToolCall, ids, st.just("f"), st.just("{}")), max_size=2).map(
        tuple
    ),
) | st.builds(Message, st.sampled_from(["user", "system"]), st.none() | anything)


class TestAnything:
    @given(st.lists(of_parts | own | plain, max_size=6), st.sampled_from(["error", "drop"]))
    def test_the_api_takes_whatever_a_context_holds(
        self, messages: list[Message], open_calls: Any
    ) -> None:
        given_in = [Sent(message, f"{at}") for at, message in enumerate(messages)]
        request = arguments(FORMAT, given_in, Writing(), open_calls)

        if request["messages"]:
            assert problems(API, request) == []
        json.dumps(request, ensure_ascii=False).encode()

    @given(st.lists(of_parts, max_size=4))
    def test_every_part_crosses_or_is_named(self, messages: list[Message]) -> None:
        writing = Writing()
        request = sent(messages, writing)
        lost = {loss.what for loss in writing.losses}
        shown = json.dumps(request)

        for part in each_part(messages):
            assert crosses(part, shown) or lost & names_of(part), part

    @given(st.lists(of_parts | own | plain, max_size=4))
    def test_exactly_what_is_there_can_be_sent(self, messages: list[Message]) -> None:
        exactly(messages)
        to_anthropic(messages)
        to_anthropic(messages, exact=True)


def each_part(messages: Sequence[Message]) -> Iterator[Part]:
    for message in messages:
        for part in message.parts:
            yield part
            if isinstance(part, ToolResultPart):
                yield from part.parts


def crosses(part: Part, shown: str) -> bool:
    match part:
        case TextPart() | RefusalPart():
            said = part.text.strip()
            mended_text = "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in said)
            return not said or json.dumps(mended_text)[1:-1] in shown
        case MediaPart():
            return '"source"' in shown
        case ThinkingPart():
            return part.native is not None and '"thinking"' in shown
        case ToolCallPart():
            return "tool_use" in shown
        case ToolResultPart():
            return "tool_result" in shown
    return False


def names_of(part: Part) -> set[str]:
    if isinstance(part, NativePart):
        return {part.kind}
    also = {"web_search_tool_result", "server_tool_use", "redacted_thinking", "text"}
    return {part.type, "tool_result", "tool_call", *also}


@pytest.mark.parametrize("api", [each for each in APIS if each != API])
def test_what_was_really_sent_to_others_is_taken(api: str) -> None:
    if api not in FORMATS:
        pytest.skip(f"there is no format of {api} yet")
    path = exchanges.path()
    if not path.is_file():
        pytest.skip(f"no exchanges at {path}; ASYNCTRACT_TRANSCRIPTS names their folder")
    key = {"openai.responses": "input", "google.generate_content": "contents"}.get(api, "messages")
    refused, tried = {}, 0
    for exchange in exchanges.read(path):
        items = exchange.request.get(key)
        if exchange.api != api or not isinstance(items, list):
            continue
        made = FORMATS[api].contents(copy.deepcopy(items))
        request = sent(rendered(made))
        tried += 1
        if request["messages"] and (wrong := problems(API, request)):
            refused[exchange.id] = wrong
    print(f"\n{api}: {tried - len(refused)}/{tried}")

    assert tried > 0
    assert refused == {}
