"""What the parts of generateContent are in neutral terms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.google_items import FORMAT, messages_of
from tract import from_google
from tract.history.media import Reference
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

SIGNATURE = "c2lnbmVk"
SHA256 = "0" * 64

PARTS: list[tuple[dict[str, Any], Part]] = [
    ({"text": "Hi"}, TextPart(text="Hi")),
    ({"text": "Hi", "thoughtSignature": SIGNATURE}, TextPart(text="Hi")),
    ({"text": "Hm", "thought": True}, ThinkingPart(text="Hm")),
    ({"text": "", "thoughtSignature": SIGNATURE}, ThinkingPart(signature=SIGNATURE)),
    ({"thoughtSignature": SIGNATURE}, ThinkingPart(signature=SIGNATURE)),
    (
        {"functionCall": {"name": "f", "args": {"b": 1, "a": "é"}}, "thoughtSignature": SIGNATURE},
        ToolCallPart(id=None, name="f", arguments='{"b":1,"a":"é"}', signature=SIGNATURE),
    ),
    (
        {"function_call": {"name": "f", "id": "1"}, "thought_signature": SIGNATURE},
        ToolCallPart(id="1", name="f", arguments="{}", signature=SIGNATURE),
    ),
    (
        {"functionResponse": {"name": "f", "id": "1", "response": {"output": "ok"}}},
        ToolResultPart(call_id="1", name="f", parts=(TextPart(text="ok"),)),
    ),
    (
        {"functionResponse": {"name": "f", "response": {"error": "no"}}},
        ToolResultPart(call_id=None, name="f", parts=(TextPart(text="no"),), is_error=True),
    ),
    (
        {"functionResponse": {"name": "f", "response": {"output": {"a": 1}, "n": 2}}},
        ToolResultPart(call_id=None, name="f", parts=(TextPart(text='{"output":{"a":1},"n":2}'),)),
    ),
    (
        {
            "functionResponse": {
                "name": "f",
                "response": {},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
            }
        },
        ToolResultPart(
            call_id=None,
            name="f",
            parts=(MediaPart(kind="image", media_type="image/png", data=bytes(3)),),
        ),
    ),
    (
        {"inlineData": {"mimeType": "audio/wav", "data": "__4=", "displayName": "a.wav"}},
        MediaPart(kind="audio", media_type="audio/wav", data=b"\xff\xfe", name="a.wav"),
    ),
    (
        {
            "inline_data": {
                "mime_type": "image/png",
                "data": Reference(SHA256, 9, "", "url", 3, 4).to_json(),
            }
        },
        MediaPart(kind="image", media_type="image/png", attachment=SHA256, width=3, height=4),
    ),
    (
        {
            "fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"},
            "videoMetadata": {"fps": 2},
        },
        MediaPart(kind="video", media_type="video/mp4", url="https://youtu.be/x"),
    ),
    (
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
        MediaPart(
            kind="document", file_id="https://generativelanguage.googleapis.com/v1beta/files/x"
        ),
    ),
    (
        {"file_data": {"file_uri": "gs://bucket/a.pdf", "mime_type": "application/pdf"}},
        MediaPart(kind="document", media_type="application/pdf", file_id="gs://bucket/a.pdf"),
    ),
    (
        {"executableCode": {"language": "PYTHON", "code": "1", "id": "c"}},
        ToolCallPart(
            id="c",
            name="code_execution",
            arguments='{"language":"PYTHON","code":"1"}',
            kind="server",
        ),
    ),
    (
        {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no"}},
        ToolResultPart(
            call_id=None,
            name="code_execution",
            parts=(TextPart(text="no"),),
            is_error=True,
            kind="server",
        ),
    ),
    (
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["a"]}, "id": "t"}},
        ToolCallPart(
            id="t", name="GOOGLE_SEARCH_WEB", arguments='{"queries":["a"]}', kind="server"
        ),
    ),
    (
        {"toolResponse": {"tool_type": "FILE_SEARCH", "id": "t", "response": {"a": 1}}},
        ToolResultPart(
            call_id="t", name="FILE_SEARCH", parts=(TextPart(text='{"a":1}'),), kind="server"
        ),
    ),
]


@pytest.mark.parametrize(
    ("part", "wanted"),
    PARTS,
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_a_part_is_read(part: dict[str, Any], wanted: Part) -> None:
    assert FORMAT.read({"role": "model", "parts": [part]}).parts == (wanted,)


@pytest.mark.parametrize(
    "part",
    [
        {"text": "Hi", "inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"text": 7},
        {"inlineData": {"mimeType": "image/png", "data": "?"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thought": True},
        {"inlineData": []},
        {"functionCall": {"args": {}}},
        {"functionCall": {"name": "f", "args": []}},
        {"functionResponse": {"name": "f", "response": "ok"}},
        {"toolCall": {}},
        {"thought": True},
        {"thoughtSignature": SIGNATURE, "hologram": 1},
        {},
    ],
    ids=json.dumps,
)
def test_a_part_that_is_not_what_it_promises_is_native(part: dict[str, Any]) -> None:
    (found,) = FORMAT.read({"role": "model", "parts": [part]}).parts

    assert isinstance(found, NativePart)
    assert found.native.item == part


@pytest.mark.parametrize(
    ("item", "role"),
    [
        ({"role": "user", "parts": [{"text": "a"}]}, "user"),
        ({"role": "model", "parts": [{"text": "a"}]}, "assistant"),
        ({"parts": [{"text": "a"}]}, "user"),
        ({"role": "user", "parts": [{"functionResponse": {"name": "f"}}]}, "tool"),
        ({"role": "function", "parts": [{"functionResponse": {"name": "f"}}]}, "tool"),
        ({"role": "user", "parts": [{"functionResponse": {}}, {"text": "a"}]}, "user"),
        ({"systemInstruction": {"parts": [{"text": "a"}]}}, "system"),
        ({"system_instruction": "a"}, "system"),
        ({"role": "wizard", "parts": []}, "wizard"),
        ({"role": 7, "parts": []}, "user"),
        ({"role": "$tools", "parts": []}, "user"),
    ],
    ids=json.dumps,
)
def test_roles_are_read(item: dict[str, Any], role: str) -> None:
    assert FORMAT.read(item).role == role


@pytest.mark.parametrize(
    "instruction",
    [
        "Be brief.",
        {"parts": [{"text": "Be brief."}]},
        {"text": "Be brief."},
        [{"text": "Be brief."}],
        ["Be brief."],
        [{"parts": [{"text": "Be brief."}]}],
    ],
    ids=json.dumps,
)
def test_a_system_instruction_is_read_in_all_forms_that_the_sdk_takes(instruction: Any) -> None:
    (content,) = from_google([], system_instruction=instruction)
    (message,) = messages_of({"systemInstruction": instruction})

    assert (message.role, message.content) == ("system", "Be brief.")
    assert (content.model_dump()["content_type"] == "instruction") == isinstance(instruction, str)


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"role": "user", "parts": [{"text": "a"}]}, "dialogue"),
        ({"role": "model", "parts": [{"text": "a"}]}, "dialogue"),
        (
            {"role": "model", "parts": [{"functionCall": {"id": "1", "name": "f", "args": {}}}]},
            "tool_io",
        ),
        (
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "1", "name": "f", "response": {"error": "a"}}}
                ],
            },
            "tool_io",
        ),
        ({"role": "user", "parts": [{"text": ""}]}, "native"),
        ({"role": "user", "parts": [{"text": "\ud800"}]}, "native"),
        ({"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}, "native"),
        ({"parts": [{"text": "a"}]}, "native"),
        ({"role": "model", "parts": [{"text": "a", "thoughtSignature": SIGNATURE}]}, "native"),
        ({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}, "native"),
        ({"role": "model", "parts": [{"functionCall": {"id": "1", "name": "f"}}]}, "native"),
        (
            {
                "role": "user",
                "parts": [{"functionResponse": {"id": "1", "name": "f", "response": {"a": "b"}}}],
            },
            "native",
        ),
    ],
    ids=json.dumps,
)
def test_short_contents_are_for_what_says_no_more(item: dict[str, Any], kind: str) -> None:
    (content,) = FORMAT.contents([item])

    assert content.model_dump()["content_type"] == kind
