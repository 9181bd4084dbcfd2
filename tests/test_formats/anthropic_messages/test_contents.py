"""Which contents items become, and the tools of a request."""

from __future__ import annotations

from typing import Any

import pytest

from support.anthropic_items import FORMAT, exactly, rendered, same
from tract import DialogueContent, InstructionContent, NativeContent, ToolIOContent, from_anthropic
from tract.formats.format import Tool, Writing
from tract.formats.sending import write_tools
from tract.models.content import ToolsContent

API = "anthropic.messages"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer"}}}


def called(**fields: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.0}, **fields}
    return {"role": "assistant", "content": [block]}


def answered(content: Any, **fields: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": "a", "content": content, **fields}
    return {"role": "user", "content": [block]}


class TestShort:
    def test_plain_texts_calls_and_results_are_short(self) -> None:
        items = [
            {"role": "user", "content": "q"},
            called(),
            answered("no", is_error=True),
            {"role": "assistant", "content": ""},
        ]
        contents = from_anthropic(items, system="Be brief.")

        assert contents == [
            InstructionContent(text="Be brief."),
            DialogueContent(role="user", text="q"),
            ToolIOContent(tool_name="f", direction="call", payload={"x": 1.0}, call_id="a"),
            ToolIOContent(
                tool_name="f", direction="result", payload="no", status="error", call_id="a"
            ),
            DialogueContent(role="assistant", text=""),
        ]
        again = exactly(rendered(contents))
        assert same(again, {"system": "Be brief.", "messages": items})

    @pytest.mark.parametrize(
        "item",
        [
            {"role": "user", "content": [{"type": "text", "text": "q"}]},
            {"role": "user", "content": "q", "id": "msg_1"},
            {"role": "user", "content": "\ud800"},
            {"role": "system", "content": "q"},
            {"role": "user", "content": None},
            called(cache_control={"type": "ephemeral"}),
            called(input={"x": "\ud800"}),
            called(id=7),
            answered("of a call that is not there"),
        ],
        ids=ascii,
    )
    def test_what_says_more_is_kept_as_it_is(self, item: dict[str, Any]) -> None:
        assert FORMAT.contents([item]) == [NativeContent(api=API, item=item)]

    @pytest.mark.parametrize(
        "item",
        [answered([{"type": "text", "text": "r"}]), answered("r", is_error=False), answered(None)],
        ids=str,
    )
    def test_a_result_that_says_more_is_kept_as_it_is(self, item: dict[str, Any]) -> None:
        assert FORMAT.contents([called(), item])[1] == NativeContent(api=API, item=item)

    def test_a_system_prompt_of_blocks_is_kept_as_it_is(self) -> None:
        blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]

        assert from_anthropic([], system=blocks) == [
            NativeContent(api=API, item={"system": blocks})
        ]

    def test_the_order_is_that_of_the_request(self) -> None:
        contents = from_anthropic(
            [{"role": "user", "content": "q"}], system="s", tools=[{"name": "f"}]
        )

        assert [type(content) for content in contents] == [
            InstructionContent,
            ToolsContent,
            DialogueContent,
        ]


class TestTools:
    def test_a_function_is_read(self) -> None:
        tool = {"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True}

        assert list(FORMAT.read_tool(tool)) == [Tool("f", "d", SCHEMA, True)]
        assert list(FORMAT.read_tool({**tool, "type": "custom"})) == [Tool("f", "d", SCHEMA, True)]

    def test_a_tool_of_the_apis_own_is_not_a_function(self) -> None:
        assert list(FORMAT.read_tool({"type": "web_search_20250305", "name": "web_search"})) == []

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
                "openai.responses",
                {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA},
            ),
            (
                "google.generate_content",
                {
                    "functionDeclarations": [
                        {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA}
                    ]
                },
            ),
        ],
    )
    def test_functions_of_other_apis_are_written(self, api: str, tool: dict[str, Any]) -> None:
        writing = Writing()

        assert write_tools(FORMAT, [tool], api, writing) == {
            "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}]
        }
        assert writing.losses == []

    def test_a_name_is_fitted_as_in_calls(self) -> None:
        tool = {"type": "function", "name": "a.b", "parameters": {}}
        (written,) = write_tools(FORMAT, [tool], "openai.responses", Writing())["tools"]

        assert written["name"].startswith("a_b_")
        assert written["input_schema"] == {"type": "object"}

    def test_what_only_another_api_has_is_named(self) -> None:
        writing = Writing()

        assert write_tools(FORMAT, [{"type": "file_search"}], "openai.responses", writing) == {}
        assert [loss.what for loss in writing.losses] == ["tool"]

    def test_no_tools_are_no_argument(self) -> None:
        assert write_tools(FORMAT, [], API, Writing()) == {}
