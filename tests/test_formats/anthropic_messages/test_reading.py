"""Items as parts, which is how other APIs and the counters see them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from support.anthropic_items import FORMAT
from tract.history.media import take_out
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def read(*blocks: dict[str, Any], role: str = "assistant") -> tuple[Part, ...]:
    return FORMAT.read({"role": role, "content": list(blocks)}).parts


def source(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "document", "title": "T", "source": {"type": kind, **fields}}


def image(data: Any) -> dict[str, Any]:
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": data},
    }


def document(**fields: Any) -> MediaPart:
    return MediaPart(kind="document", name="T", **fields)


def of_text(text: str) -> MediaPart:
    return document(media_type="text/plain", data=text.encode())


A = {"type": "text", "text": "a"}
CASES: list[tuple[str, dict[str, Any], Part]] = [
    ("text", {"type": "text", "text": "hi", "citations": [{"x": 1}]}, TextPart(text="hi")),
    (
        "thinking",
        {"type": "thinking", "thinking": "hm", "signature": "S"},
        ThinkingPart(text="hm", signature="S"),
    ),
    (
        "thinking that is not displayed",
        {"type": "thinking", "thinking": "", "signature": "S"},
        ThinkingPart(signature="S"),
    ),
    (
        "thinking that was cut off",
        {"type": "thinking", "thinking": "hm", "signature": ""},
        ThinkingPart(text="hm"),
    ),
    ("redacted", {"type": "redacted_thinking", "data": "E"}, ThinkingPart(encrypted="E")),
    (
        "call",
        {"type": "tool_use", "id": "a", "name": "f", "input": {"b": 1, "a": "é"}},
        ToolCallPart(id="a", name="f", arguments='{"b":1,"a":"é"}'),
    ),
    (
        "server's call",
        {"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}},
        ToolCallPart(id="a", name="web_search", arguments="{}", kind="server"),
    ),
    (
        "MCP call",
        {"type": "mcp_tool_use", "id": "a", "name": "f", "server_name": "s", "input": {}},
        ToolCallPart(id="a", name="f", arguments="{}", kind="server"),
    ),
    (
        "result",
        {"type": "tool_result", "tool_use_id": "a", "content": "r", "is_error": True},
        ToolResultPart(call_id="a", parts=(TextPart(text="r"),), is_error=True),
    ),
    ("result of nothing", {"type": "tool_result", "tool_use_id": "a"}, ToolResultPart(call_id="a")),
    (
        "result of an image",
        {"type": "tool_result", "tool_use_id": "a", "content": [image("aGk="), A]},
        ToolResultPart(
            call_id="a",
            parts=(
                MediaPart(kind="image", media_type="image/png", data=b"hi"),
                TextPart(text="a"),
            ),
        ),
    ),
    (
        "MCP result",
        {"type": "mcp_tool_result", "tool_use_id": "a", "is_error": False, "content": [A]},
        ToolResultPart(call_id="a", parts=(TextPart(text="a"),), kind="server"),
    ),
    ("PDF by URL", source("url", url="https://x/y.pdf"), document(url="https://x/y.pdf")),
    ("PDF by file", source("file", file_id="file_1"), document(file_id="file_1")),
    ("text document", source("text", media_type="text/plain", data="é"), of_text("é")),
    ("document of blocks", source("content", content=[A, A]), of_text("a\n\na")),
    ("document of a text", source("content", content="a"), of_text("a")),
    (
        "search result",
        {"type": "search_result", "title": "T", "source": "https://x", "content": [A]},
        TextPart(text="T\nhttps://x\na"),
    ),
    ("compaction", {"type": "compaction", "content": "So far"}, TextPart(text="So far")),
]


@pytest.mark.parametrize(("block", "part"), [each[1:] for each in CASES], ids=[c[0] for c in CASES])
def test_a_block_is_one_part(block: dict[str, Any], part: Part) -> None:
    assert read(block) == (part,)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "container_upload", "file_id": "file_1"},
        {"type": "compaction", "content": None},
        {"type": "hologram"},
        {"type": "text"},
        {"type": "text", "text": 7},
        {"type": "image", "source": "https://x"},
        {"type": "tool_use", "id": "a", "name": "f"},
        image("not base64!"),
        source("content", content=[A, image("aGk=")]),
        {},
    ],
    ids=str,
)
def test_what_is_of_no_known_shape_is_a_native_part(block: dict[str, Any]) -> None:
    (part,) = read(block)

    assert isinstance(part, NativePart)
    assert part.native.api == "anthropic.messages"
    assert part.native.item == block


def test_a_servers_result_shows_what_failed() -> None:
    failed = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    block = {"type": "web_search_tool_result", "tool_use_id": "a", "content": failed}
    (part,) = read(block)

    assert isinstance(part, ToolResultPart)
    assert (part.kind, part.is_error) == ("server", True)


def test_media_that_was_taken_out_is_an_attachment() -> None:
    item = {"role": "user", "content": [image(base64.b64encode(PNG).decode())]}
    taken = take_out(item, lambda data: (640, 480))
    ((sha256, data),) = taken.media.items()

    assert data == PNG
    assert FORMAT.read(taken.item).parts == (
        MediaPart(kind="image", media_type="image/png", attachment=sha256, width=640, height=480),
    )


def test_the_item_is_not_changed() -> None:
    item = {"role": "user", "content": [A, image("aGk="), {"type": "tool_result", "content": [A]}]}
    before = json.dumps(item)
    FORMAT.read(item, keep=True)

    assert json.dumps(item) == before


class TestRoles:
    def test_a_message_of_results_alone_is_a_tools(self) -> None:
        results = [{"type": "tool_result", "tool_use_id": each, "content": "r"} for each in "ab"]

        assert FORMAT.read({"role": "user", "content": results}).role == "tool"

    def test_a_message_with_results_and_text_is_the_users(self) -> None:
        blocks = [{"type": "tool_result", "tool_use_id": "a"}, A]

        assert FORMAT.read({"role": "user", "content": blocks}).role == "user"

    @pytest.mark.parametrize("role", ["user", "assistant", "system", "narrator"])
    def test_any_other_message_has_the_role_it_says(self, role: str) -> None:
        reading = FORMAT.read({"role": role, "content": "hi"})

        assert reading == (role, (TextPart(text="hi"),), None)

    def test_a_system_prompt_is_the_systems(self) -> None:
        assert FORMAT.read({"system": [A]}) == ("system", (TextPart(text="a"),), None)
        assert FORMAT.read({"system": "a"}) == ("system", (TextPart(text="a"),), None)

    def test_a_message_of_nothing_has_no_parts(self) -> None:
        assert FORMAT.read({"role": "user", "content": []}).parts == ()
        assert FORMAT.read({"role": "user", "content": ""}).parts == ()

    def test_a_system_message_without_text_keeps_what_it_sets(self) -> None:
        item = {"role": "system", "output_config": {"effort": "low"}}
        (part,) = FORMAT.read(item).parts

        assert isinstance(part, NativePart)
        assert part.native.item == item


def test_lone_surrogates_become_visible_text_in_the_parts_alone() -> None:
    block = {"type": "text", "text": "a\ud800"}
    (part,) = FORMAT.read({"role": "user", "content": [block]}, keep=True).parts

    assert isinstance(part, TextPart)
    assert part.text == "a\ufffd"
    assert part.native is not None
    assert part.native.item == block
