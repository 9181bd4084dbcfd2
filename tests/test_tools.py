"""Tool definitions in a history: what sets them, what takes them away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tract import AsyncTract, TiktokenCounter

TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


@pytest.mark.parametrize("compiled_before", [False, True], ids=["at once", "step by step"])
async def test_an_edit_that_turns_a_text_into_tools_sets_them(
    compiled_before: bool, target: Path | str
) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=TiktokenCounter()) as tract:
        entry = await tract.user("for now")
        await tract.user("stays")
        if compiled_before:
            await tract.compile()
        await tract.tools(TOOLS, operation="edit", edit_target=entry.commit_hash)
        contexts = [await tract.compile()]
    async with AsyncTract.open(target, tract_id="t", tokenizer=TiktokenCounter()) as tract:
        contexts.append(await tract.compile())

    for context in contexts:
        assert context.tools == TOOLS
        assert context.tool_tokens > 0
        assert context.request("openai.chat")["tools"] == TOOLS
        assert [message.content for message in context.messages] == ["stays"]


async def test_an_edit_that_turns_tools_into_a_text_takes_them_away(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=TiktokenCounter()) as tract:
        entry = await tract.tools(TOOLS)
        assert (await tract.compile()).tools == TOOLS
        await tract.user("no more", operation="edit", edit_target=entry.commit_hash)
        context = await tract.compile()

    assert context.tools == []
    assert context.tool_tokens == 0
    assert [message.content for message in context.messages] == ["no more"]


@pytest.mark.parametrize(
    ("api", "tool"),
    [
        ("openai.chat", TOOLS[0]),
        ("openai.responses", {"type": "function", "name": "f", "parameters": {}}),
        ("openai.responses", {"type": "web_search"}),
        ("anthropic.messages", {"name": "f", "input_schema": {"type": "object"}}),
        ("google.generate_content", {"functionDeclarations": [{"name": "f"}]}),
    ],
)
async def test_a_tool_that_is_there_twice_is_sent_once(api: str, tool: dict[str, Any]) -> None:
    async with AsyncTract.open() as tract:
        await tract.tools([tool])
        once = (await tract.compile()).request(api)
        await tract.tools([tool, tool], api=api)
        context = await tract.compile()

        assert context.tools == [tool, tool]
        assert context.request(api) == once
        assert [loss.what for loss in context.losses] == ["tool"]
        assert context.request(api, open_calls="keep") != once
