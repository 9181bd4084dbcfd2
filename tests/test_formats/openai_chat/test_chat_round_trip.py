"""Every message that the SDK's types allow comes back equal, and every reply goes in again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionMessage,
    ChatCompletionMessageParam,
    ChatCompletionToolUnionParam,
)

from support.effort import effort
from support.rendered import shown
from support.sdk_types import cases, values
from tract import ToolsContent, from_openai, to_openai
from tract.formats.format import Sent, Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import write_tools
from tract.history.media import put_back, take_out

CHAT = FORMATS["openai.chat"]
MESSAGES = cases(ChatCompletionMessageParam)
REPLIES = cases(ChatCompletionMessage)
TOOLS = cases(ChatCompletionToolUnionParam)

Json = dict[str, Any]


def there_and_back(messages: list[Json]) -> list[Any]:
    """Return what is sent of messages that were committed one by one."""
    return to_openai(shown(from_openai(messages)), exact=True)


def test_each_member_of_each_union_of_a_request_comes_back() -> None:
    for before in ([], [{"role": "user", "content": "q"}], [{"role": "assistant", "content": "a"}]):
        for message in MESSAGES.values:
            assert there_and_back([*before, message]) == [*before, message]

    names = sorted(MESSAGES.members)
    print(f"{len(MESSAGES.values)} messages show {len(names)} union members: {', '.join(names)}")
    assert {f"ChatCompletion{role}MessageParam" for role in ROLES} <= MESSAGES.members
    assert PARTS <= MESSAGES.members


ROLES = ("Developer", "System", "User", "Assistant", "Tool", "Function")
PARTS = {
    "ChatCompletionContentPartImageParam",
    "ChatCompletionContentPartInputAudioParam",
    "ChatCompletionContentPartRefusalParam",
    "ChatCompletionContentPartTextParam",
    "ChatCompletionMessageCustomToolCallParam",
    "ChatCompletionMessageFunctionToolCallParam",
    "File",
}


def test_all_messages_come_back_in_one_list() -> None:
    assert there_and_back(MESSAGES.values) == MESSAGES.values


@given(st.lists(values(ChatCompletionMessageParam), max_size=5))
def test_any_messages_come_back(messages: list[Json]) -> None:
    assert there_and_back(messages) == messages


@pytest.mark.long
@settings(max_examples=effort(800, 3000), deadline=None)
@given(st.lists(values(ChatCompletionMessageParam), max_size=12))
def test_many_messages_come_back(messages: list[Json]) -> None:
    assert there_and_back(messages) == messages


@given(st.lists(values(ChatCompletionMessageParam), max_size=5))
def test_a_context_of_any_messages_can_be_sent(messages: list[Json]) -> None:
    sent = to_openai(shown(from_openai(messages)))

    assert all(message["role"] in ALL_ROLES for message in sent)


ALL_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


@pytest.mark.parametrize("keep", [False, True])
def test_each_message_has_a_reading(keep: bool) -> None:
    for message in MESSAGES.values:
        reading = CHAT.read(message, keep=keep)
        assert reading.role == ("tool" if message["role"] == "function" else message["role"])


@given(values(ChatCompletionMessage))
def test_any_reply_gives_an_item_that_comes_back(message: Json) -> None:
    whole = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    reply = CHAT.reply(whole)

    assert reply is not None
    assert there_and_back(reply.items) == reply.items


def test_each_member_of_each_union_of_a_reply_comes_back() -> None:
    for message in cases(ChatCompletion).values:
        reply = CHAT.reply(message)
        assert reply is not None
        assert there_and_back(reply.items) == reply.items


def test_each_tool_comes_back() -> None:
    (content,) = from_openai([], tools=TOOLS.values)
    assert isinstance(content, ToolsContent)

    written = write_tools(CHAT, content.tools, content.api, Writing(exact=True))

    assert written == {"tools": TOOLS.values}
    print(f"{len(TOOLS.values)} tools show {len(TOOLS.members)} union members")


def test_media_that_were_taken_out_come_back_to_the_byte() -> None:
    encoded = "QUJD" * 500
    message = {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
            {"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{encoded}"}},
            {"type": "image_url", "image_url": {"url": "https://a.b/c"}, "$attachment": "mine"},
        ],
    }
    taken = take_out(message)

    (sent,) = CHAT.write(
        [Sent(each) for each in shown(CHAT.contents([taken.item]))],
        Writing(exact=True, load=taken.media.__getitem__),
    )["messages"]

    assert len(taken.media) == 1
    assert sent == message == put_back(taken.item, taken.media.__getitem__)
