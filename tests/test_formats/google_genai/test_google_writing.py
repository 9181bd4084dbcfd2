"""What a request of generateContent sends of anything that a context holds."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from providers.validators import problems
from support.google_items import API, FORMAT, messages_of, rendered, rest, same, sent
from support.sdk_types import cases, values
from tract import AsyncTract, from_google, to_google
from tract.formats.format import GO_ON, Sent, Writing
from tract.formats.google_genai.conversation import OPENING, UNSIGNED
from tract.formats.sending import arguments, write_tools
from tract.history.media import put_back, take_out
from tract.models.content import DialogueContent, InstructionContent, ToolIOContent
from tract.protocols import Loss, Message, ToolCall
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

GEMINI_3 = "gemini-3-pro-preview"
SIGNATURE = base64.b64encode(b"a signature??>>").decode()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
ASKED: dict[str, Any] = {"role": "user", "parts": [{"text": "Is it cold?"}]}


def refused(messages: Sequence[Message], model: str = GEMINI_3) -> list[str]:
    """Return what the API refuses of the request that sends *messages*."""
    body = rest(sent(messages, Writing(model=model)))
    return problems(API, body, model=model) if body["contents"] else []


def call(name: str, *, id: str | None = None, signed: bool = True) -> dict[str, Any]:
    named = {} if id is None else {"id": id}
    part = {"functionCall": {**named, "name": name, "args": {"city": "Oslo"}}}
    return part | ({"thoughtSignature": SIGNATURE} if signed else {})


def response(name: str, *, id: str | None = None, text: str = "-3") -> dict[str, Any]:
    named = {} if id is None else {"id": id}
    return {"functionResponse": {**named, "name": name, "response": {"output": text}}}


def model(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def foreign(api: str, item: dict[str, Any]) -> Native:
    return Native(api, json.dumps(item))


# -- What came from the API goes out as it came ---------------------------------------------------


def test_a_tool_loop_goes_out_as_it_came() -> None:
    items = [
        ASKED,
        model(
            {"text": "Let me see.", "thought": True}, call("weather"), call("time", signed=False)
        ),
        user(response("weather"), response("time")),
        model({"text": "It is."}, {"text": "", "thoughtSignature": SIGNATURE}),
        user({"text": "And tomorrow?"}),
    ]
    writing = Writing(model=GEMINI_3)

    assert same(sent(messages_of(*items), writing), {"contents": items})
    assert writing.losses == []


def test_a_call_without_an_id_is_sent_without_one_even_if_its_result_moved() -> None:
    items = [ASKED, model(call("weather")), user({"text": "Hurry."}), user(response("weather"))]

    again = sent(messages_of(*items))["contents"]

    assert same(again, [ASKED, model(call("weather")), user(response("weather")), items[2]])


def test_a_response_has_no_id_if_its_call_has_none() -> None:
    result = ToolIOContent(tool_name="weather", direction="result", payload="-3")
    messages = [*messages_of(ASKED, model(call("weather"))), *rendered([result])]

    assert same(sent(messages)["contents"][1:], [model(call("weather")), user(response("weather"))])


def test_a_part_that_is_only_a_signature_is_sent_as_an_empty_text() -> None:
    items = [ASKED, model({"text": "a"}, {"thoughtSignature": SIGNATURE}), ASKED]

    again = sent(messages_of(*items))["contents"]

    assert again[1] == model({"text": "a"}, {"text": "", "thoughtSignature": SIGNATURE})


def test_nulls_are_not_sent() -> None:
    items = [user({"text": "Hi", "fileData": None}, {"fileData": {"fileUri": "gs://a", "x": None}})]

    assert sent(messages_of(*items))["contents"] == [
        user({"text": "Hi"}, {"fileData": {"fileUri": "gs://a"}})
    ]


def test_calls_are_the_models_and_responses_the_users_whoever_has_them() -> None:
    items = [
        user({"text": "Go."}, call("f", id="1")),
        model(response("f", id="1"), {"text": "So."}),
    ]

    again = sent(messages_of(*items))["contents"]

    assert again[:3] == [
        user({"text": "Go."}),
        model(call("f", id="1")),
        user(response("f", id="1")),
    ]
    assert again[3] == model({"text": "So."})


def test_blank_texts_of_a_system_instruction_are_left_out() -> None:
    fragment = {"systemInstruction": {"parts": [{"text": ""}, {"text": "Be brief."}]}}

    again = sent(messages_of(fragment, ASKED))

    assert again["config"] == {"system_instruction": {"parts": [{"text": "Be brief."}]}}
    blank = {"systemInstruction": {"parts": [{"text": " "}]}}
    assert sent(messages_of(blank, ASKED)) == {"contents": [ASKED]}


def test_snake_case_goes_out_as_it_came() -> None:
    called = {"function_call": {"name": "f", "args": {}, "id": "1"}, "thought_signature": SIGNATURE}
    answered = {"function_response": {"name": "f", "response": {"any": [1]}, "id": "1"}}
    items = [ASKED, model(called), user(answered)]
    messages = messages_of(*items)

    assert same(sent(messages), {"contents": items})
    assert messages[1].tool_calls == (ToolCall("1", "f", "{}"),)
    assert messages[2].tool_call_id == "1"


def test_media_that_were_taken_out_are_put_back_to_the_byte() -> None:
    data = bytes(range(256)) * 8
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        blob = {"inlineData": {"mimeType": "image/png", "data": encode(data).decode()}}
        taken = take_out(user(blob))
        (message,) = messages_of(taken.item)
        (part,) = message.parts

        assert isinstance(part, MediaPart)
        assert part.attachment is not None
        writing = Writing(load=taken.media.__getitem__)
        assert same(sent([message], writing), {"contents": [user(blob)]})
        assert put_back(taken.item, taken.media.__getitem__) == user(blob)


def test_a_role_of_older_releases_is_the_users() -> None:
    answered = {"role": "function", "parts": [response("f")]}

    again = sent(messages_of(ASKED, model(call("f")), answered))["contents"]

    assert again[2] == user(response("f"))


# -- Order, pairs, sides --------------------------------------------------------------------------


def test_responses_stand_behind_their_calls_in_the_order_of_those() -> None:
    items = [
        ASKED,
        model(call("weather", id="a"), call("time", id="b", signed=False)),
        user(response("time", id="b")),
        user({"text": "Well?"}, response("weather", id="a")),
    ]

    again = sent(messages_of(*items))["contents"]

    assert again[2:] == [
        user(response("weather", id="a"), response("time", id="b")),
        user({"text": "Well?"}),
    ]
    assert refused(messages_of(*items)) == []


def test_what_else_the_user_says_with_a_response_stands_behind_it() -> None:
    items = [ASKED, model(call("f")), user(response("f"), {"text": "And?"})]

    assert sent(messages_of(*items))["contents"][2:] == [
        user(response("f")),
        user({"text": "And?"}),
    ]


def test_calls_of_one_step_become_one_content() -> None:
    contents = [
        DialogueContent(role="user", text="Look up both."),
        DialogueContent(role="assistant", text="Yes."),
        ToolIOContent(tool_name="a", direction="call", payload={"n": 1}, call_id="1"),
        ToolIOContent(tool_name="b", direction="call", payload="{}", call_id="2"),
        ToolIOContent(tool_name="b", direction="result", payload="B", call_id="2"),
        ToolIOContent(tool_name="a", direction="result", payload="no", call_id="1", status="error"),
    ]
    messages = rendered(contents)

    again = sent(messages, Writing(model=GEMINI_3))["contents"]

    first = {"functionCall": {"id": "1", "name": "a", "args": {"n": 1}}}
    second = {"functionCall": {"id": "2", "name": "b", "args": {}}}
    assert again[1:] == [
        model({"text": "Yes."}, first | {"thoughtSignature": UNSIGNED}, second),
        user(
            {"functionResponse": {"id": "1", "name": "a", "response": {"error": "no"}}},
            {"functionResponse": {"id": "2", "name": "b", "response": {"output": "B"}}},
        ),
    ]
    assert refused(messages) == []


def test_an_open_call_gets_a_result_that_says_so() -> None:
    writing = Writing(model=GEMINI_3)

    again = sent(messages_of(ASKED, model(call("f"))), writing)["contents"]

    (answered,) = again[2]["parts"]
    assert again[1] == model(call("f"))
    assert answered["functionResponse"]["name"] == "f"
    assert "error" in answered["functionResponse"]["response"]
    assert [loss.what for loss in writing.losses] == ["tool_call"]


def test_a_conversation_that_begins_with_calls_gets_a_users_turn_before_them() -> None:
    writing = Writing(model=GEMINI_3)

    again = sent(messages_of(model(call("f")), user(response("f"))), writing)["contents"]

    assert again == [user({"text": OPENING}), model(call("f")), user(response("f"))]
    assert [loss.what for loss in writing.losses] == ["message"]


def test_a_conversation_that_ends_with_the_model_gets_a_users_turn_behind_it() -> None:
    writing = Writing()

    again = sent(messages_of(ASKED, model({"text": "It is."})), writing)["contents"]

    assert again == [ASKED, model({"text": "It is."}), user({"text": GO_ON})]
    assert [loss.what for loss in writing.losses] == ["message"]


def test_system_messages_become_the_system_instruction_wherever_they_stand() -> None:
    fragment = {"systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"}}
    writing = Writing()
    messages = [*messages_of(fragment, ASKED), Message("developer", "Be kind.")]

    again = sent(messages, writing)

    assert again["config"] == {
        "system_instruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    }
    assert [loss.what for loss in writing.losses] == ["system"]
    alone = sent(messages_of(fragment, ASKED))
    assert alone["config"]["system_instruction"] == fragment["systemInstruction"]


def test_texts_of_system_messages_are_joined() -> None:
    contents = [InstructionContent(text="Be brief."), InstructionContent(text="Be kind.")]

    assert to_google(rendered(contents)) == {
        "contents": [],
        "config": {"system_instruction": "Be brief.\n\nBe kind."},
    }


# -- Signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_name", "own", "wanted"),
    [
        (GEMINI_3, True, True),
        ("models/gemini-3.5-flash", True, True),
        ("gemini-2.5-flash", True, False),
        (None, True, False),
        (GEMINI_3, False, True),
        ("gemini-2.5-flash", False, False),
        (None, False, True),
    ],
)
def test_a_call_without_a_signature_gets_the_apis_word_for_that_where_one_is_wanted(
    model_name: str | None, own: bool, wanted: bool
) -> None:
    plain = call("f", id="1", signed=False)
    ours = [*messages_of(ASKED, {**model(plain), "x": 1}, user(response("f", id="1")))]
    if not own:
        ours[1] = Message("assistant", None, None, (ToolCall("1", "f", '{"city":"Oslo"}'),))
    writing = Writing(model=model_name)

    again = sent(ours, writing)["contents"][1]["parts"]

    assert again == [plain | ({"thoughtSignature": UNSIGNED} if wanted else {})]
    assert [loss.what for loss in writing.losses] == (["signature"] if wanted else [])
    assert base64.b64decode(UNSIGNED) == b"skip_thought_signature_validator"


def test_a_signature_that_another_api_passed_on_goes_back() -> None:
    """Google's API for OpenAI's clients gives calls the very same signatures."""
    part = ToolCallPart(id="1", name="f", arguments="{}", signature=SIGNATURE)
    result = ToolResultPart(call_id="1", name="f", parts=(TextPart(text="ok"),))
    messages = [
        Message("user", "Go."),
        Message.of("assistant", (part,), native=foreign("openai.chat", {"role": "assistant"})),
        Message.of("tool", (result,)),
    ]
    writing = Writing(model=GEMINI_3)

    # No format of that name is registered here, so the parts are the message's own.
    again = sent([replace(each, native=None) for each in messages], writing)["contents"]

    assert again[1]["parts"][0]["thoughtSignature"] == SIGNATURE
    assert writing.losses == []


def test_a_signature_that_was_cut_is_not_sent() -> None:
    part = call("f", id="1") | {"thoughtSignature": SIGNATURE[:-1]}
    writing = Writing(model=GEMINI_3)
    items = [ASKED, model(part), user(response("f", id="1"))]

    again = sent(messages_of(*items), writing)["contents"]

    assert again[1]["parts"][0]["thoughtSignature"] == UNSIGNED
    assert [loss.what for loss in writing.losses] == ["signature", "signature"]


def test_the_next_call_is_signed_if_the_one_that_was_is_left_out() -> None:
    items = [
        ASKED,
        model(call("a", id="1"), call("b", id="2", signed=False)),
        user(response("b", id="2")),
    ]
    writing = Writing(model=GEMINI_3)
    messages = messages_of(*items)
    open_ones = sent(messages, Writing(model=GEMINI_3))
    dropped = arguments_dropping(messages, writing)

    assert len(open_ones["contents"][1]["parts"]) == 2
    assert dropped["contents"][1]["parts"] == [
        call("b", id="2", signed=False) | {"thoughtSignature": UNSIGNED}
    ]


def arguments_dropping(messages: Sequence[Message], writing: Writing) -> dict[str, Any]:
    return arguments(FORMAT, [Sent(each) for each in messages], writing, "drop")


def test_thinking_of_other_apis_is_left_out_and_named() -> None:
    thought = ThinkingPart(text="Hm.", signature="sig")
    writing = Writing()

    again = sent(
        [Message("user", "Hi"), Message.of("assistant", (thought, TextPart(text="Hello.")))],
        writing,
    )

    assert again["contents"][1] == model({"text": "Hello."})
    assert Loss("1", "thinking", "only the API that made it takes it back") in writing.losses


# -- Parts of other APIs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (TextPart(text="Hi"), {"text": "Hi"}),
        (RefusalPart(text="No."), {"text": "No."}),
        (
            MediaPart(kind="image", data=PNG),
            {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}},
        ),
        (
            MediaPart(kind="audio", media_type="audio/wav", data=b"abc"),
            {"inlineData": {"mimeType": "audio/wav", "data": "YWJj"}},
        ),
        (
            MediaPart(kind="document", url="data:application/pdf;base64,YWJj"),
            {"inlineData": {"mimeType": "application/pdf", "data": "YWJj"}},
        ),
        (
            MediaPart(kind="image", url="https://x.example/a.png?b=1"),
            {"fileData": {"fileUri": "https://x.example/a.png?b=1", "mimeType": "image/png"}},
        ),
        (
            MediaPart(kind="video", file_id="gs://bucket/a", media_type="video/mp4"),
            {"fileData": {"fileUri": "gs://bucket/a", "mimeType": "video/mp4"}},
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.type,
)
def test_a_part_of_another_api_is_translated(part: Part, wanted: dict[str, Any]) -> None:
    writing = Writing()

    assert sent([Message.of("user", (part,))], writing) == {"contents": [user(wanted)]}
    assert writing.losses == []


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (MediaPart(kind="image", file_id="file-abc"), "media"),
        (MediaPart(kind="image", attachment="0" * 64), "media"),
        (MediaPart(kind="document", data=b"abc"), "media"),
        (MediaPart(kind="image", url="data:image/png;base64,?"), "media"),
        (MediaPart(kind="image", url="ftp://x"), "media"),
        (NativePart(native=foreign("openai.responses", {"type": "compaction"})), "compaction"),
        (ToolCallPart(id="1", name="web", arguments="{}", kind="server"), "tool_call"),
        (ToolResultPart(call_id="1", name="web", kind="server"), "tool_result"),
        (ThinkingPart(encrypted="abc"), "thinking"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_counterpart_is_left_out_and_named(part: Part, what: str) -> None:
    writing = Writing()

    again = sent([Message.of("user", (part, TextPart(text="Hi")))], writing)

    assert again["contents"][-1] == user({"text": "Hi"})
    assert [(loss.commit_hash, loss.what) for loss in writing.losses] == [("0", what)]


@pytest.mark.parametrize("given_text", ["[1]", '{"a":', "NaN", '{"a": NaN}', '"\\ud800"'])
def test_arguments_that_are_not_an_object_are_sent_as_a_text(given_text: str) -> None:
    writing = Writing(model="gemini-2.5-pro")
    messages = [
        Message("user", "Go."),
        Message("assistant", None, None, (ToolCall("1", "f", given_text),)),
        Message("tool", "ok", tool_call_id="1", tool_name="f"),
    ]

    again = sent(messages, writing)["contents"]

    assert again[1]["parts"][0]["functionCall"]["args"] == {"arguments": given_text}
    assert [loss.what for loss in writing.losses] == ["tool_call"]


@pytest.mark.parametrize("model_name", [GEMINI_3, "gemini-2.5-flash", None])
def test_media_in_a_result_are_in_the_response_or_behind_it(model_name: str | None) -> None:
    shown = MediaPart(kind="image", data=PNG, media_type="image/png")
    result = ToolResultPart(call_id="1", name="f", parts=(TextPart(text="Look:"), shown))
    messages = [
        Message("user", "Go."),
        Message("assistant", None, None, (ToolCall("1", "f", "{}"),)),
        Message.of("tool", (result,)),
    ]

    again = sent(messages, Writing(model=model_name))["contents"]

    blob = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}}
    answered = {"id": "1", "name": "f", "response": {"output": "Look:"}}
    if model_name == "gemini-2.5-flash":
        assert again[2:] == [user({"functionResponse": answered}), user(blob)]
    else:
        assert again[2:] == [user({"functionResponse": {**answered, "parts": [blob]}})]


@pytest.mark.parametrize("name", ["read file", "2nd", "é", "", "x" * 65, "-a"])
def test_names_of_tools_fit_and_agree(name: str) -> None:
    messages = [
        Message("user", "Go."),
        Message("assistant", None, None, (ToolCall("1", name, "{}"),)),
        Message("tool", "ok", tool_call_id="1", tool_name=name),
    ]
    tool = {"type": "function", "function": {"name": name, "parameters": {}}}
    declared = write_tools(FORMAT, [tool], "openai.chat", Writing())["config"]["tools"]

    body = rest(FORMAT.request(sent(messages), {"config": {"tools": declared}}))

    called = body["contents"][1]["parts"][0]["functionCall"]["name"]
    assert called == declared[0]["functionDeclarations"][0]["name"]
    assert problems(API, body, model=GEMINI_3) == []


# -- Tools ----------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize(
    ("api", "tool"),
    [
        (
            "openai.chat",
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": SCHEMA},
            },
        ),
        (
            "openai.chat",
            {"function": {"name": "f", "description": "d", "parameters": SCHEMA}},
        ),
        (
            "openai.responses",
            {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA},
        ),
        ("anthropic.messages", {"name": "f", "description": "d", "input_schema": SCHEMA}),
    ],
)
def test_functions_of_other_apis_are_declared(api: str, tool: dict[str, Any]) -> None:
    writing = Writing()
    declared = {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA}

    assert write_tools(FORMAT, [tool], api, writing) == {
        "config": {"tools": [{"functionDeclarations": [declared]}]}
    }
    assert writing.losses == []


def test_tools_that_only_another_api_has_are_named() -> None:
    writing = Writing()
    tools: list[dict[str, Any]] = [{"type": "web_search"}]
    tools.append({"type": "function", "name": "f", "strict": True})

    made = write_tools(FORMAT, tools, "openai.responses", writing)

    assert len(made["config"]["tools"][0]["functionDeclarations"]) == 1
    assert [loss.what for loss in writing.losses] == ["tool", "tool"]
    assert write_tools(FORMAT, [{"type": "web_search"}], "openai.responses", writing) == {}
    assert write_tools(FORMAT, [], API, writing) == {}


def test_a_function_that_is_declared_twice_is_sent_once() -> None:
    tools = [{"name": "f", "input_schema": SCHEMA}, {"name": "f", "input_schema": {}}]

    made = write_tools(FORMAT, tools, "anthropic.messages", Writing())

    declared = {"name": "f", "parametersJsonSchema": SCHEMA}
    assert made == {"config": {"tools": [{"functionDeclarations": [declared]}]}}


def test_declared_functions_are_read_in_both_kinds_of_schema() -> None:
    own = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
    for declared in ({"parameters": own}, {"parametersJsonSchema": SCHEMA}):
        tool = {"functionDeclarations": [{"name": "f", "description": "d", **declared}]}
        (function,) = FORMAT.read_tool(tool)
        assert (function.name, function.description) == ("f", "d")
        assert function.parameters == SCHEMA
    assert FORMAT.read_tool({"googleSearch": {}}) == []


def test_a_request_holds_the_system_instruction_and_the_tools() -> None:
    given_arguments: dict[str, Any] = {
        "contents": [],
        "config": {"system_instruction": "Be brief."},
    }
    tools: dict[str, Any] = {"config": {"tools": [{"googleSearch": {}}]}}

    assert FORMAT.request(given_arguments, tools) == {
        "contents": [],
        "config": {"system_instruction": "Be brief.", "tools": [{"googleSearch": {}}]},
    }
    assert FORMAT.request({"contents": []}, {}) == {"contents": []}


# -- Anything -------------------------------------------------------------------------------------

texts = st.sampled_from(["", " ", "Hi", "é\n"])
ids = st.sampled_from([None, "1", "2", "a b", "x" * 70])
names = st.sampled_from(["f", "g", "read file", "2nd"])
media = st.sampled_from(
    [
        MediaPart(kind="image", data=PNG),
        MediaPart(kind="image", file_id="file-1"),
        MediaPart(kind="audio", url="https://x.example/a"),
        MediaPart(kind="document", data=b"?"),
    ]
)
plain_parts = st.builds(TextPart, text=texts) | media | st.builds(RefusalPart, text=texts)
calls = st.builds(
    ToolCallPart,
    id=ids,
    name=names,
    arguments=st.sampled_from(["", "{}", '{"a": 1}', "[", "3"]),
    kind=st.sampled_from(["function", "custom", "server"]),
    signature=st.sampled_from([None, SIGNATURE, "?"]),
)
results = st.builds(
    ToolResultPart,
    call_id=ids,
    parts=st.lists(plain_parts, max_size=2).map(tuple),
    name=st.none() | names,
    is_error=st.booleans(),
    kind=st.sampled_from(["function", "custom", "server"]),
)
thinking = st.builds(ThinkingPart, text=texts, signature=st.sampled_from([None, SIGNATURE]))
native = st.just(NativePart(native=foreign("anthropic.messages", {"type": "compaction"})))
own_items = st.sampled_from(
    [
        model(call("f", id="1"), call("g", id="2", signed=False)),
        model(call("f")),
        model({"text": "", "thoughtSignature": SIGNATURE}),
        model({"thoughtSignature": SIGNATURE}),
        model({"text": "Hm.", "thought": True}),
        model(),
        model({}),
        user(response("f", id="1")),
        user(response("g"), {"text": "Hi"}),
        user({"text": ""}),
        user(call("f", id="1")),
        {"role": "function", "parts": [response("f")]},
        {"parts": [{"text": "Hi"}]},
        {"role": "wizard", "parts": [{"text": "Hi"}]},
        {"systemInstruction": {"parts": [{"text": ""}]}},
        {"systemInstruction": "Be brief."},
    ]
)
anything = st.one_of(
    st.builds(
        lambda role, parts: Message.of(role, parts),
        st.sampled_from(["user", "assistant", "tool", "system", "developer", "wizard"]),
        st.lists(plain_parts | calls | results | thinking | native, max_size=4),
    ),
    own_items.map(lambda item: messages_of(copy.deepcopy(item))[0]),
    st.builds(Message, st.sampled_from(["user", "assistant", "system"]), texts),
)


def test_a_result_goes_to_the_call_of_its_id_before_one_of_its_name() -> None:
    items = [model(call("f")), model(call("f", id="1"), call("g", id="2", signed=False))]
    messages = [messages_of(copy.deepcopy(item))[0] for item in items]
    early = Message("tool", "-3", tool_call_id="1", tool_name="f")

    assert refused([early, *messages], GEMINI_3) == []


@given(st.lists(anything, max_size=6), st.sampled_from([GEMINI_3, "gemini-2.5-flash"]))
def test_nothing_is_sent_that_the_api_refuses(messages: list[Message], model_name: str) -> None:
    assert refused(messages, model_name) == []


@pytest.mark.parametrize("content", [types.Content, types.ContentDict])
def test_no_content_of_any_type_is_sent_in_a_form_that_the_api_refuses(content: Any) -> None:
    for value in cases(content).values:
        assert refused(messages_of(ASKED, value)) == [], value


@given(st.lists(values(types.ContentDict), max_size=3))
def test_no_list_of_contents_is_sent_in_a_form_that_the_api_refuses(items: list[Any]) -> None:
    assert refused(messages_of(*items)) == []


async def test_a_context_gives_all_that_a_call_takes() -> None:
    tools = [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}]
    contents = from_google(
        [ASKED, model(call("f")), user(response("f"))],
        system_instruction="Be brief.",
        tools=[*tools, {"googleSearch": {}}],
    )
    async with AsyncTract.open() as tract:
        for content in contents:
            await tract.commit(content)
        context = await tract.compile()

        assert context.request(API) == {
            "contents": [ASKED, model(call("f")), user(response("f"))],
            "config": {
                "system_instruction": "Be brief.",
                "tools": [*tools, {"googleSearch": {}}],
            },
        }
        assert context.losses == []
        assert "tools" not in context.to_google()["config"]
