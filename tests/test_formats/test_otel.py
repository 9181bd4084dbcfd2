"""Messages as OpenTelemetry's conventions describe them: a role and typed parts."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from support.pictures import png
from tract import AsyncTract, CompiledContext, MessageContent
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

PNG = png(2, 3)
ENCODED = b64encode(PNG).decode()


async def compiled(*messages: tuple[str, list[Part]]) -> CompiledContext:
    async with AsyncTract.open() as tract:
        for role, parts in messages:
            await tract.commit(MessageContent(role=role, parts=tuple(parts)))
        return await tract.compile()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (TextPart(text="Hi"), {"type": "text", "content": "Hi"}),
        (ThinkingPart(text="Hm"), {"type": "reasoning", "content": "Hm"}),
        (RefusalPart(text="No"), {"type": "refusal", "content": "No"}),
        (
            ToolCallPart(id="1", name="look", arguments='{"at": 2}'),
            {"type": "tool_call", "id": "1", "name": "look", "arguments": {"at": 2}},
        ),
        (
            ToolCallPart(id=None, name="run", arguments="ls -l", kind="custom"),
            {"type": "tool_call", "id": None, "name": "run", "arguments": "ls -l"},
        ),
        (
            ToolCallPart(id="2", name="web_search", arguments="{}", kind="server"),
            {
                "type": "server_tool_call",
                "id": "2",
                "name": "web_search",
                "server_tool_call": {"type": "web_search", "arguments": {}},
            },
        ),
        (
            NativePart(native=Native("openai.responses", '{"type": "new_thing", "a": 1}')),
            {
                "type": "new_thing",
                "api": "openai.responses",
                "content": {"type": "new_thing", "a": 1},
            },
        ),
    ],
)
async def test_what_a_model_says(part: Part, expected: dict[str, Any]) -> None:
    context = await compiled(("assistant", [part]))

    assert context.to_otel() == [{"role": "assistant", "parts": [expected]}]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            MediaPart(kind="image", media_type="image/png", data=PNG),
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ENCODED},
        ),
        (
            MediaPart(kind="image", url="https://example.org/a.png"),
            {
                "type": "uri",
                "modality": "image",
                "mime_type": None,
                "uri": "https://example.org/a.png",
            },
        ),
        (
            MediaPart(kind="document", media_type="application/pdf", file_id="file-1"),
            {
                "type": "file",
                "modality": "document",
                "mime_type": "application/pdf",
                "file_id": "file-1",
            },
        ),
    ],
)
async def test_what_a_user_shows(part: Part, expected: dict[str, Any]) -> None:
    context = await compiled(("user", [TextPart(text="See:"), part]))

    assert context.to_otel() == [
        {"role": "user", "parts": [{"type": "text", "content": "See:"}, expected]}
    ]


async def test_what_a_tool_returns() -> None:
    shown = MediaPart(kind="image", media_type="image/png", data=PNG)
    results: list[Part] = [
        ToolResultPart(call_id="1", parts=(TextPart(text="3"), TextPart(text="4"))),
        ToolResultPart(call_id="2", parts=(TextPart(text="See:"), shown)),
        ToolResultPart(call_id="3", parts=(TextPart(text="failed"),), is_error=True),
        ToolResultPart(call_id="4", name="web_search", parts=(TextPart(text="x"),), kind="server"),
    ]
    calls: list[Part] = [
        ToolCallPart(id=each.call_id, name="look", arguments="{}", kind=each.kind)
        for each in results
        if isinstance(each, ToolResultPart)
    ]
    context = await compiled(("assistant", calls), ("tool", results))
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ENCODED}

    assert context.to_otel()[1]["parts"] == [
        {"type": "tool_call_response", "id": "1", "response": "3\n\n4"},
        {
            "type": "tool_call_response",
            "id": "2",
            "response": [{"type": "text", "content": "See:"}, blob],
        },
        {"type": "tool_call_response", "id": "3", "response": "failed", "is_error": True},
        {
            "type": "server_tool_call_response",
            "id": "4",
            "server_tool_call_response": {"type": "web_search", "response": "x"},
        },
    ]


async def test_a_providers_own_items_are_read_like_any_other() -> None:
    async with AsyncTract.open() as tract:
        await tract.record(
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "tool_use", "id": "1", "name": "look", "input": {"at": 2}},
                ],
                "type": "message",
                "id": "m",
                "model": "claude",
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }
        )
        context = await tract.compile()

    assert context.to_otel() == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm"},
                {"type": "tool_call", "id": "1", "name": "look", "arguments": {"at": 2}},
            ],
        }
    ]


async def test_an_empty_context_has_no_messages() -> None:
    assert (await compiled()).to_otel() == []
