"""Plain Chat Completions messages: what is sent is valid, what is read is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from openai.types.chat import (
    ChatCompletionMessage,
    ChatCompletionMessageParam,
    ParsedChatCompletionMessage,
)
from openai.types.chat.chat_completion_message_function_tool_call import (
    ChatCompletionMessageFunctionToolCall,
    Function,
)
from pydantic import TypeAdapter

from support.rendered import shown
from tract import (
    ContentValidationError,
    DialogueContent,
    InstructionContent,
    Message,
    NativeContent,
    ToolCall,
    ToolIOContent,
    ToolsContent,
    TractError,
    from_openai,
    to_openai,
)
from tract.history.canonical import canonical_json

TRANSCRIPTS = Path(__file__).parents[2].parent / "shared" / "data" / "airline.jsonl"
OFFICIAL = TypeAdapter(list[ChatCompletionMessageParam])


def check_official(messages: list[dict[str, Any]]) -> None:
    """Validate against the official types; their iterables only validate when they are read."""
    for message in OFFICIAL.validate_python(messages, strict=True):
        if message["role"] == "assistant":
            list(message.get("tool_calls", ()))


def call(call_id: str | None = "a", name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def calls(*made: ToolCall, content: str | None = None) -> Message:
    return Message("assistant", content, tool_calls=made)


def result(call_id: str | None = None, tool: str | None = "f") -> Message:
    return Message("tool", "done", tool_call_id=call_id, tool_name=tool)


def plain_call(**changes: Any) -> dict[str, Any]:
    made = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return made | changes


ids = st.none() | st.sampled_from(["a", "a.b", "a:b", "call_1", "call_2", ""])
tools = st.sampled_from(["f", "g"])
tool_calls = st.builds(ToolCall, ids, tools, st.sampled_from(["", "{}", '{"x": 1}', "[", "NaN"]))
texts = st.none() | st.sampled_from(["", " ", "hello"])
any_messages = st.lists(
    st.builds(
        Message,
        st.sampled_from(["system", "user"]),
        texts,
        st.none() | st.just("ann"),
    )
    | st.builds(
        Message,
        st.just("assistant"),
        texts,
        tool_calls=st.lists(tool_calls, max_size=3).map(tuple),
    )
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


class TestSending:
    def test_plain_messages_keep_role_content_and_name(self) -> None:
        sent = to_openai([Message("system", "s"), Message("user", "u", "ann")])

        assert sent == [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u", "name": "ann"},
        ]

    def test_calls_without_text_have_content_none(self) -> None:
        sent = to_openai([calls(call(arguments='{ "x":1}'))])

        function = {"name": "f", "arguments": '{ "x":1}'}
        made = [{"id": "a", "type": "function", "function": function}]
        assert sent == [{"role": "assistant", "content": None, "tool_calls": made}]

    def test_results_are_sent_without_a_name(self) -> None:
        sent = to_openai([Message("tool", "done", "f", tool_call_id="a", tool_name="f")])

        assert sent == [{"role": "tool", "content": "done", "tool_call_id": "a"}]

    def test_a_message_without_content_or_calls_is_sent_as_empty_text(self) -> None:
        assert to_openai([Message("assistant")]) == [{"role": "assistant", "content": ""}]

    def test_parallel_calls_in_messages_of_their_own_are_sent_as_one(self) -> None:
        sent = to_openai([Message("assistant", "t"), calls(call("a")), calls(call("b"))])

        assert [message["content"] for message in sent] == ["t"]
        assert [made["id"] for made in sent[0]["tool_calls"]] == ["a", "b"]

    def test_calls_with_text_stay_a_message_of_their_own(self) -> None:
        sent = to_openai([Message("assistant", "t"), calls(call(), content="u")])

        assert [message["content"] for message in sent] == ["t", "u"]

    def test_calls_after_a_result_stay_a_message_of_their_own(self) -> None:
        sent = to_openai([calls(call("a")), result("a"), calls(call("b")), result("b")])

        assert [message["role"] for message in sent] == ["assistant", "tool"] * 2

    def test_what_is_sent_is_the_callers_to_change(self) -> None:
        messages = [calls(call())]
        to_openai(messages)[0]["tool_calls"].clear()

        assert len(to_openai(messages)[0]["tool_calls"]) == 1

    @given(any_messages)
    def test_any_messages_are_valid_by_the_official_types(self, messages: list[Message]) -> None:
        check_official(to_openai(messages))


def sent_ids(messages: list[Message]) -> list[str]:
    """Return the ids of calls and results as they are sent, in order."""
    found = []
    for message in to_openai(messages):
        found += [made["id"] for made in message.get("tool_calls", ())]
        found += [message["tool_call_id"]] if message["role"] == "tool" else []
    return found


class TestMadeUpIds:
    def test_are_numbered_in_order(self) -> None:
        assert sent_ids([calls(call(None), call(None))]) == ["call_1", "call_2"]

    def test_leave_out_ids_that_any_message_has(self) -> None:
        messages = [calls(call(None), call("call_2")), result("call_1"), calls(call(None))]

        assert sent_ids(messages) == ["call_3", "call_2", "call_1", "call_4"]

    def test_results_answer_the_oldest_call_of_their_tool(self) -> None:
        made = calls(call(None, "f"), call(None, "g"), call(None, "g"))
        messages = [made, result(tool="g"), result(tool="g"), result(tool="f")]

        assert sent_ids(messages)[3:] == ["call_2", "call_3", "call_1"]

    def test_results_of_no_called_tool_answer_the_oldest_call(self) -> None:
        messages = [calls(call(None, "f"), call(None, "g")), result(tool=None), result(tool="h")]

        assert sent_ids(messages)[2:] == ["call_1", "call_2"]

    def test_results_without_a_call_before_them_get_their_own(self) -> None:
        messages = [result(), calls(call(None)), result(), result()]

        assert sent_ids(messages) == ["call_1", "call_2", "call_2", "call_3"]

    def test_do_not_answer_calls_that_have_an_id(self) -> None:
        assert sent_ids([calls(call("a")), result()]) == ["a", "call_1"]

    @given(any_messages)
    def test_are_unique_among_calls(self, messages: list[Message]) -> None:
        given_ids = [made.id for message in messages for made in message.tool_calls]
        sent = [
            made["id"] for message in to_openai(messages) for made in message.get("tool_calls", ())
        ]
        made_up = [new for new, old in zip(sent, given_ids, strict=True) if old is None]

        assert len(set(made_up)) == len(made_up)
        assert not set(made_up) & {old for old in given_ids if old is not None}

    @given(any_messages)
    def test_given_ids_that_tell_calls_apart_are_kept(self, messages: list[Message]) -> None:
        given_ids = [made.id for message in messages for made in message.tool_calls]
        named = [old for old in given_ids if old is not None]
        assume(all(named) and len(set(named)) == len(named))
        sent = [
            made["id"] for message in to_openai(messages) for made in message.get("tool_calls", ())
        ]

        kept = [new for new, old in zip(sent, given_ids, strict=True) if old is not None]
        assert kept == named


class TestReading:
    def test_a_system_message_becomes_an_instruction(self) -> None:
        assert from_openai([{"role": "system", "content": "s"}]) == [InstructionContent(text="s")]

    def test_a_named_system_message_keeps_its_name(self) -> None:
        contents = from_openai([{"role": "system", "content": "s", "name": "n"}])

        assert contents == [DialogueContent(role="system", text="s", name="n")]

    @pytest.mark.parametrize("role", ["user", "assistant"])
    def test_what_is_said_becomes_dialogue(self, role: Any) -> None:
        contents = from_openai([{"role": role, "content": "", "name": "n"}])

        assert contents == [DialogueContent(role=role, text="", name="n")]

    @pytest.mark.parametrize("text", ["", "text"])
    def test_text_with_calls_comes_before_them(self, text: str) -> None:
        made = [plain_call(), plain_call(id="b")]
        contents = from_openai([{"role": "assistant", "content": text, "tool_calls": made}])

        assert contents == [
            DialogueContent(role="assistant", text=text),
            ToolIOContent(tool_name="f", direction="call", payload="{}", call_id="a"),
            ToolIOContent(tool_name="f", direction="call", payload="{}", call_id="b"),
        ]

    def test_calls_alone_give_no_dialogue(self) -> None:
        calling = {"role": "assistant", "content": None, "tool_calls": [plain_call()]}
        contents = from_openai([{"role": "user", "content": "q"}, calling])

        assert contents[1:] == [
            ToolIOContent(tool_name="f", direction="call", payload="{}", call_id="a")
        ]

    @pytest.mark.parametrize("before", [[], [{"role": "assistant", "content": "t"}]])
    def test_calls_that_would_join_what_is_before_them_are_kept_as_they_are(
        self, before: list[dict[str, Any]]
    ) -> None:
        """At the beginning of a list nobody knows what is before them."""
        calling = {"role": "assistant", "content": None, "tool_calls": [plain_call()]}

        assert from_openai([*before, calling])[-1] == NativeContent(api="openai.chat", item=calling)

    def test_calls_without_the_key_content_are_kept_as_they_are(self) -> None:
        calling = {"role": "assistant", "tool_calls": [plain_call()]}
        contents = from_openai([{"role": "user", "content": "q"}, calling])

        assert contents[1:] == [NativeContent(api="openai.chat", item=calling)]

    def test_arguments_are_kept_to_the_byte(self) -> None:
        arguments = '{ "b":1,\n"a": "\\u00e9é" }'
        made = plain_call(function={"name": "f", "arguments": arguments})
        contents = from_openai([{"role": "assistant", "content": "", "tool_calls": [made]}])

        assert contents[1] == ToolIOContent(
            tool_name="f", direction="call", payload=arguments, call_id="a"
        )

    def test_a_result_takes_its_tool_from_its_name_its_call_or_nothing(self) -> None:
        answer = {"role": "tool", "content": "42"}
        contents = from_openai(
            [
                {"role": "assistant", "tool_calls": [plain_call()]},
                answer | {"tool_call_id": "a", "name": "own"},
                answer | {"tool_call_id": "a"},
                answer | {"tool_call_id": "b"},
            ]
        )

        assert contents[1:] == [
            ToolIOContent(tool_name=name, direction="result", payload="42", call_id=call_id)
            for name, call_id in [("own", "a"), ("f", "a"), ("tool", "b")]
        ]

    def test_a_result_takes_its_tool_from_the_latest_call_of_a_reused_id(self) -> None:
        later = plain_call(function={"name": "g", "arguments": "{}"})
        contents = from_openai(
            [
                {"role": "assistant", "tool_calls": [plain_call()]},
                {"role": "assistant", "tool_calls": [later]},
                {"role": "tool", "content": "", "tool_call_id": "a"},
            ]
        )

        assert contents[-1] == ToolIOContent(
            tool_name="g", direction="result", payload="", call_id="a"
        )

    def test_what_says_nothing_is_dropped_from_the_sdks_own_messages(self) -> None:
        silent: dict[str, Any] = {
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
        }
        reply = ChatCompletionMessage(role="assistant", content="t", tool_calls=None, **silent)

        assert from_openai([reply]) == [DialogueContent(role="assistant", text="t")]

    def test_the_sdks_own_messages_are_read(self) -> None:
        function = Function(name="f", arguments="{}")
        made = ChatCompletionMessageFunctionToolCall(id="a", type="function", function=function)
        reply = ChatCompletionMessage(role="assistant", content=None, tool_calls=[made])

        assert from_openai([{"role": "user", "content": "q"}, reply])[1:] == [
            ToolIOContent(tool_name="f", direction="call", payload="{}", call_id="a")
        ]

    def test_what_the_sdk_parsed_of_a_reply_is_not_sent_back(self) -> None:
        reply = ParsedChatCompletionMessage[dict[str, int]](
            role="assistant", content='{"n":1}', parsed={"n": 1}
        )

        assert from_openai([reply]) == [DialogueContent(role="assistant", text='{"n":1}')]

    def test_the_sdks_own_calls_are_read_in_a_dict(self) -> None:
        function = Function(name="f", arguments="{}")
        made = ChatCompletionMessageFunctionToolCall(id="a", type="function", function=function)

        assert len(from_openai([{"role": "assistant", "tool_calls": [made]}])) == 1

    def test_members_of_string_enums_are_read_as_their_value(self) -> None:
        class Role(str, Enum):  # noqa: UP042  # the older shape, whose str() is not its value
            ASKING = "user"

        message = {"role": Role.ASKING, "content": "t"}

        assert from_openai([message]) == [DialogueContent(role="user", text="t")]

    @pytest.mark.skipif(not TRANSCRIPTS.exists(), reason="the real transcripts are not here")
    def test_real_conversations_are_kept_whole(self) -> None:
        conversations = [
            json.loads(line)["messages"] for line in TRANSCRIPTS.read_text("utf-8").splitlines()
        ]

        assert len(conversations) == 100
        for messages in conversations:
            assert from_openai(messages) == [
                content for message in messages for content in expected(message)
            ]


def expected(message: dict[str, Any]) -> Iterator[Any]:
    """Give the contents of one message of the real transcripts."""
    if message["role"] == "system":
        yield InstructionContent(text=message["content"])
    elif message["role"] == "tool":
        yield ToolIOContent(
            tool_name=message["name"],
            direction="result",
            payload=message["content"],
            call_id=message["tool_call_id"],
        )
    elif message["content"] is not None:
        yield DialogueContent(role=message["role"], text=message["content"])
    for made in message.get("tool_calls", ()):
        yield ToolIOContent(
            tool_name=made["function"]["name"],
            direction="call",
            payload=made["function"]["arguments"],
            call_id=made["id"],
        )


class Unreadable(Mapping[str, Any]):
    """A mapping that fails when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise OSError(key)

    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")

    def __len__(self) -> int:
        return 1


class UnreadableList(list[Any]):
    """A list that fails when it is read."""

    def __iter__(self) -> Iterator[Any]:
        raise OSError("gone")


USER = {"role": "user", "content": "u"}
CALLING = {"role": "assistant", "content": None}


RESULT = {"role": "tool", "content": "x", "tool_call_id": "a"}


class TestKeeping:
    """Whatever a message holds, it comes back equal."""

    @pytest.mark.parametrize(
        "message",
        [
            {},
            {"content": "u"},
            USER | {"role": None},
            USER | {"role": "developer"},
            USER | {"role": "function", "name": "f"},
            USER | {"role": "\ud800"},
            USER | {"role": "bot"},
            {"role": "user"},
            USER | {"content": None},
            USER | {"content": 3},
            USER | {"content": []},
            USER | {"content": [{"type": "text", "text": "hi"}]},
            USER | {"content": [{"type": "text"}, "text", None]},
            USER | {"content": "a\ud800"},
            USER | {"name": "\udfff"},
            USER | {"name": 3},
            USER | {"name": None},
            USER | {"weird": None},
            USER | {"we ird": {"a": [1.5, True]}},
            USER | {"tool_calls": [plain_call()]},
            CALLING,
            CALLING | {"tool_calls": []},
            CALLING | {"function_call": {"name": "f", "arguments": "{}"}},
            CALLING | {"audio": {"id": "x"}},
            CALLING | {"refusal": "no"},
            CALLING | {"annotations": [1]},
            CALLING | {"content": "t", "refusal": None, "annotations": [], "audio": None},
            CALLING | {"content": "t", "reasoning_content": None},
            CALLING | {"content": "t", "reasoning_content": "thought"},
            CALLING | {"tool_calls": [plain_call()], "name": "n"},
            CALLING | {"tool_calls": plain_call()},
            RESULT | {"content": None},
            RESULT | {"content": [{"type": "text", "text": "42"}]},
            {"role": "tool", "content": "x"},
        ],
    )
    def test_a_message_that_is_not_plain_comes_back(self, message: Any) -> None:
        assert there_and_back([USER, message, USER]) == [USER, message, USER]

    @pytest.mark.parametrize(
        "made",
        [
            None,
            plain_call(type="custom", custom={"name": "f", "input": "ls"}),
            {"id": "a", "function": {}},
            plain_call(id=None),
            plain_call(id=""),
            plain_call(id="\ud800"),
            plain_call(index=0),
            plain_call(function=None),
            plain_call(type={"odd": 1}),
            plain_call(function={"name": "f"}),
            plain_call(function={"name": "f", "arguments": {}}),
            plain_call(function={"name": "f", "arguments": "\ud800"}),
            plain_call(function={"name": 1, "arguments": ""}),
            plain_call(function={"name": "f", "arguments": "", "strict": True}),
            plain_call(extra_content={"google": {"thought_signature": "c2ln"}}),
        ],
    )
    @pytest.mark.parametrize("content", [None, "t"])
    def test_a_call_that_is_not_plain_comes_back(self, made: Any, content: str | None) -> None:
        message = CALLING | {"content": content, "tool_calls": [plain_call(), made]}

        assert there_and_back([USER, message]) == [USER, message]

    def test_a_refusal_of_the_sdk_is_kept(self) -> None:
        reply = ChatCompletionMessage(role="assistant", content=None, refusal="no")

        assert there_and_back([reply]) == [CALLING | {"refusal": "no"}]

    def test_of_a_results_name_only_the_tool_is_kept(self) -> None:
        """The API has no such field; what else a dialect has there, it does not need back."""
        assert there_and_back([USER, RESULT | {"name": "f"}]) == [USER, RESULT]

    def test_tools_come_before_the_messages(self) -> None:
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]

        assert from_openai([USER], tools=tools) == [
            ToolsContent(api="openai.chat", tools=tools),
            DialogueContent(role="user", text="u"),
        ]


def there_and_back(messages: Any) -> list[Any]:
    """Return what is sent of messages that were committed one by one."""
    return to_openai(shown(from_openai(messages)), exact=True)


class TestRefusing:
    @pytest.mark.parametrize(
        ("message", "path", "advice"),
        [
            ("hello", "", "Convert it to a dict"),
            (None, "", "Convert it to a dict"),
            (Unreadable(), "", "string keys"),
            ({1: 2}, "", "string keys"),
            (USER | {"content": {3: 4}}, ".content", "string keys"),
            (USER | {"content": float("nan")}, ".content", "not a JSON number"),
            (USER | {"content": [1, b"x"]}, ".content[1]", "not a JSON value"),
            (USER | {"content": {"we ird": {1}}}, ".content['we ird']", "not a JSON value"),
            (USER | {"content": 10**5000}, ".content", "too many digits"),
            (CALLING | {"tool_calls": UnreadableList()}, ".tool_calls", "could not be read"),
            (CALLING | {"audio": ChatCompletionMessage}, ".audio", "not a JSON value"),
        ],
    )
    def test_what_json_cannot_hold_is_named_with_advice(
        self, message: Any, path: str, advice: str
    ) -> None:
        with pytest.raises(ContentValidationError) as caught:
            from_openai([USER, message])

        assert caught.value.path == f"messages[1]{path}"
        assert advice in caught.value.problem

    def test_a_message_that_contains_itself_is_refused(self) -> None:
        message: dict[str, Any] = dict(USER)
        message["content"] = [message]

        with pytest.raises(ContentValidationError, match="contains itself"):
            from_openai([message])

    @pytest.mark.parametrize(
        "messages", [None, 3, "text", b"text", USER, iter([USER]), {USER["role"]}]
    )
    def test_what_is_no_list_is_refused(self, messages: Any) -> None:
        with pytest.raises(ContentValidationError, match="must be a list of messages") as caught:
            from_openai(messages)

        assert caught.value.path == "messages"


any_text = st.text(st.characters(exclude_categories=()))
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text | st.integers(), inner),
    max_leaves=8,
)
near_functions = st.fixed_dictionaries(
    {}, optional={"name": any_text | junk, "arguments": any_text | junk, "extra": junk}
)
near_calls = st.fixed_dictionaries(
    {},
    optional={
        "id": any_text | junk,
        "type": st.just("function") | junk,
        "function": near_functions | junk,
        "index": junk,
    },
)
near_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer"]) | junk},
    optional={
        "content": any_text | junk,
        "name": any_text | junk,
        "tool_calls": st.lists(near_calls | junk, max_size=3) | junk,
        "tool_call_id": any_text | junk,
        "function_call": junk,
        "refusal": junk,
        "annotations": junk,
        "audio": junk,
        "extra": junk,
    },
)


class TestJunk:
    @given(junk | st.lists(near_messages | junk, max_size=4))
    def test_nothing_but_the_librarys_errors_comes_out(self, messages: Any) -> None:
        try:
            contents = from_openai(messages)
        except TractError as error:
            str(error).encode()
        else:
            for content in contents:
                canonical_json(content.model_dump(), surrogates=True)
            json.dumps(to_openai(shown(contents)))
