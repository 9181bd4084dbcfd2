from __future__ import annotations

from typing import Any

import pytest

from tract import Message, ToolCall
from tract.engine.compile.pages import joined, joins
from tract.engine.contents.custom import custom_text
from tract.engine.contents.rendering import marked, render

CALL = Message("assistant", None, None, (ToolCall("1", "f", "{}"),))
RESULT = Message("tool", "r", tool_call_id="1")
TEXT = Message("assistant", "a")


def tool(direction: str, payload: Any, **fields: Any) -> dict[str, Any]:
    plain = {"tool_name": "f", "direction": direction, "payload": payload}
    return {"call_id": "1", "status": None, **plain, **fields}


@pytest.mark.parametrize(
    ("content_type", "fields", "message"),
    [
        ("instruction", {"text": "x"}, Message("system", "x")),
        ("dialogue", {"role": "user", "text": "x", "name": "A"}, Message("user", "x", "A")),
        ("reasoning", {"text": "x"}, Message("assistant", "x")),
        ("artifact", {"content": "x", "artifact_type": "code"}, Message("assistant", "x")),
        ("output", {"text": "x"}, Message("assistant", "x")),
        ("freeform", {"payload": "é"}, Message("assistant", "é")),
        ("freeform", {"payload": {"b": "é", "a": 1}}, Message("assistant", '{"a":1,"b":"é"}')),
        ("freeform", {"payload": None}, Message("assistant", "null")),
        (
            "tool_io",
            tool("call", "{ }"),
            Message("assistant", None, None, (ToolCall("1", "f", "{ }"),)),
        ),
        (
            "tool_io",
            tool("call", {"a": 1}, call_id=None),
            Message("assistant", None, None, (ToolCall(None, "f", '{"a":1}'),)),
        ),
        ("tool_io", tool("result", "r"), Message("tool", "r", None, (), "1", "f")),
        (
            "tool_io",
            tool("result", [1], status="error"),
            Message("tool", "[1]", None, (), "1", "f", True),
        ),
    ],
)
def test_a_content_has_this_message(
    content_type: str, fields: dict[str, Any], message: Message
) -> None:
    assert render(content_type, fields) == message


@pytest.mark.parametrize(
    ("content_type", "fields", "message"),
    [
        ("instruction", {"text": "x"}, Message("user", "x")),
        ("dialogue", {"role": "system", "text": "x", "name": "A"}, Message("user", "x", "A")),
        ("tool_io", tool("call", {"a": 1}), Message("user", 'f({"a":1})')),
        ("tool_io", tool("result", "r"), Message("user", "r")),
    ],
)
def test_a_role_can_be_overridden(
    content_type: str, fields: dict[str, Any], message: Message
) -> None:
    assert render(content_type, fields, "user") == message


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"text": "t", "content": "c"}, "t"),
        ({"text": 1, "content": "c"}, "c"),
        ({"text": "", "content": "c"}, ""),
        ({"content_type": "x", "b": 1, "a": None}, '{"a":null,"b":1}'),
    ],
)
def test_a_custom_content_has_this_text(fields: dict[str, Any], text: str) -> None:
    assert custom_text(fields) == text


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (TEXT, TEXT, True),
        (TEXT, Message("user", "u"), False),
        (TEXT, Message("assistant", "a", "Ann"), False),
        (Message("user", "u", "Ann"), Message("user", "v", "Ann"), True),
        (TEXT, CALL, True),
        (Message("assistant", "a", "Ann"), CALL, True),
        (CALL, CALL, True),
        (CALL, TEXT, False),
        (CALL, RESULT, False),
        (RESULT, RESULT, False),
        (TEXT, Message("assistant", "and", None, CALL.tool_calls), False),
    ],
)
def test_neighbours_join_or_not(before: Message, after: Message, expected: bool) -> None:
    assert joins(before, after) is expected


def test_texts_are_joined_by_a_blank_line_and_calls_follow() -> None:
    group = [Message("assistant", "a", "Ann"), Message("assistant", "", "Ann"), CALL, CALL]

    assert joined(group) == Message("assistant", "a\n\n", "Ann", CALL.tool_calls * 2)


def test_calls_alone_have_no_content() -> None:
    assert joined([CALL, CALL]).content is None


def test_a_message_without_text_takes_no_mark() -> None:
    assert marked(CALL) == CALL
    assert marked(TEXT).content == "a [edited]"
