"""Items as the parts that every other API sees."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from support.responses_items import FORMAT, exactly, messages_of, rendered, same
from tract import ContentValidationError, from_responses
from tract.history.media import take_out
from tract.models.content import (
    DialogueContent,
    InstructionContent,
    NativeContent,
    ToolIOContent,
    ToolsContent,
)
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

pytestmark = pytest.mark.measured

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "42"}


def parts_of(item: dict[str, Any]) -> tuple[Any, ...]:
    return FORMAT.read(item).parts


def test_messages_say_who_speaks_and_what() -> None:
    easy = {"role": "developer", "content": "Be brief."}
    typed = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    said = {
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "No", "annotations": [], "logprobs": []},
            {"type": "refusal", "refusal": "I will not."},
        ],
    }
    assert FORMAT.read(easy) == ("developer", (TextPart(text="Be brief."),), None)
    assert FORMAT.read(typed) == ("user", (TextPart(text="Hi"),), None)
    assert parts_of(said) == (TextPart(text="No"), RefusalPart(text="I will not."))


def test_media_are_bytes_attachments_urls_or_files() -> None:
    data = "data:image/png;base64," + base64.b64encode(PNG).decode()
    blocks = [
        {"type": "input_image", "image_url": data, "detail": "low"},
        {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "auto"},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,AAAA",
        },
        {"type": "input_file", "file_url": "https://example.org/a.pdf"},
    ]
    item = {"role": "user", "content": blocks}
    taken = take_out(item, lambda _: (2, 3))
    (sha256,) = taken.media

    assert parts_of(item) == (
        MediaPart(kind="image", media_type="image/png", data=PNG, detail="low"),
        MediaPart(kind="image", url="https://example.org/a.png", detail="auto"),
        MediaPart(kind="image", file_id="file-1", detail="auto"),
        MediaPart(kind="document", media_type="application/pdf", data=bytes(3), name="a.pdf"),
        MediaPart(kind="document", url="https://example.org/a.pdf"),
    )
    assert parts_of(taken.item)[0] == MediaPart(
        kind="image", media_type="image/png", attachment=sha256, detail="low", width=2, height=3
    )


def test_a_result_that_is_an_image_is_a_medium_not_a_text() -> None:
    encoded = base64.b64encode(PNG).decode()
    for output in (
        [{"type": "input_image", "image_url": f"data:image/png;base64,{encoded}"}],
        f"data:image/png;base64,{encoded}",
    ):
        item = take_out({**OUTPUT, "output": output}).item
        (result,) = parts_of(item)
        assert [part.kind for part in result.parts] == ["image"]
        assert result.text == ""


def test_calls_and_their_results_go_by_call_id() -> None:
    call = {**CALL, "id": "fc_1", "status": "completed"}
    custom = {"type": "custom_tool_call", "call_id": "call_2", "name": "sh", "input": "ls"}
    answer = {"type": "custom_tool_call_output", "call_id": "call_2", "output": "a b"}

    assert FORMAT.read(call) == (
        "assistant",
        (ToolCallPart(id="call_1", name="f", arguments='{"a": 1}'),),
        None,
    )
    assert FORMAT.read(OUTPUT) == (
        "tool",
        (ToolResultPart(call_id="call_1", parts=(TextPart(text="42"),)),),
        None,
    )
    assert parts_of(custom) == (
        ToolCallPart(id="call_2", name="sh", arguments="ls", kind="custom"),
    )
    assert parts_of(answer)[0].kind == "custom"


def test_thinking_has_its_text_and_what_is_encrypted() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": t} for t in ("One", "Two")],
        "encrypted_content": "gAAAA",
    }
    whole = {**item, "content": [{"type": "reasoning_text", "text": "All of it"}]}

    assert parts_of(item) == (ThinkingPart(text="One\n\nTwo", encrypted="gAAAA", id="rs_1"),)
    assert parts_of(whole)[0].text == "All of it"


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        ({"type": "shell_call", "action": {"commands": ["ls"]}}, "shell", '{"commands": ["ls"]}'),
        ({"type": "computer_call", "action": {"type": "wait"}}, "computer", '{"type": "wait"}'),
        ({"type": "apply_patch_call", "operation": {"path": "a"}}, "apply_patch", '{"path": "a"}'),
        ({"type": "tool_search_call", "arguments": {"q": 1}}, "tool_search", '{"q": 1}'),
    ],
)
def test_calls_of_tools_that_the_caller_runs_want_results(
    item: dict[str, Any], name: str, arguments: str
) -> None:
    (call,) = parts_of({**item, "call_id": "call_1"})
    assert (call.id, call.name, call.arguments) == ("call_1", name, arguments)
    assert call.kind == "function"


def test_tools_that_the_provider_runs_show_their_results() -> None:
    code = {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "code": "print(1)",
        "outputs": [{"type": "logs", "logs": "1"}, {"type": "image", "url": "https://e.org/a"}],
    }
    image = {
        "type": "image_generation_call",
        "id": "ig_1",
        "result": base64.b64encode(PNG).decode(),
    }
    search = {"type": "tool_search_call", "id": "tsc_1", "execution": "server", "arguments": {}}
    failed = {"type": "mcp_call", "id": "m", "name": "ask", "arguments": "{}", "status": "failed"}

    call, result = parts_of(code)
    assert (call.kind, call.name, call.arguments) == (
        "server",
        "code_interpreter",
        '{"code": "print(1)"}',
    )
    assert result.parts == (TextPart(text="1"), MediaPart(kind="image", url="https://e.org/a"))
    assert parts_of(image)[1].parts == (MediaPart(kind="image", data=PNG),)
    assert parts_of(take_out(image).item)[1].parts[0].attachment is not None
    assert [part.kind for part in parts_of(search)] == ["server"]
    assert parts_of(failed)[1].is_error is True


@pytest.mark.parametrize(
    ("item", "role"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "assistant"),
        ({"id": "msg_1"}, "assistant"),
        ({"type": "compaction", "encrypted_content": "x"}, "assistant"),
        ({"type": "mcp_approval_response", "approve": True}, "user"),
        ({"type": "additional_tools", "role": "developer", "tools": []}, "developer"),
        ({"type": 7}, "assistant"),
        ({}, "assistant"),
    ],
)
def test_what_only_this_api_has_is_native(item: dict[str, Any], role: str) -> None:
    reading = FORMAT.read(item)
    (part,) = reading.parts
    assert reading.role == role
    assert isinstance(part, NativePart)
    assert part.native.item == item


@pytest.mark.parametrize("odd", [None, 7, [], {}, [None, 7, "x", {}], {"a": {}}])
def test_no_value_is_too_odd_to_be_read(odd: Any) -> None:
    kinds = [None, "message", "reasoning", "function_call", "function_call_output", "mcp_call"]
    kinds += ["computer_call_output", "shell_call_output", "code_interpreter_call", "shell_call"]
    keys = ["role", "content", "output", "arguments", "call_id", "name", "summary", "outputs", "id"]
    for kind in kinds:
        for key in keys:
            item = {"type": kind, key: odd}
            FORMAT.read(item)
            assert same(exactly(messages_of(item)), {"input": [item]})


def test_short_contents_say_the_same() -> None:
    contents = from_responses(
        [{"role": "user", "content": "Hi"}, CALL, OUTPUT, {"role": "assistant", "content": "42"}],
        instructions="Be brief.",
        tools=[{"type": "function", "name": "f"}],
    )
    assert [type(content) for content in contents] == [
        InstructionContent,
        ToolsContent,
        DialogueContent,
        ToolIOContent,
        ToolIOContent,
        DialogueContent,
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ""},
        {"role": "user", "content": "a \ud800"},
        {"type": "message", "role": "user", "content": "Hi"},
        {**CALL, "id": "fc_1"},
        OUTPUT,
        {"instructions": None},
        {"instructions": [{"role": "user", "content": "Hi"}]},
    ],
)
def test_what_a_short_content_cannot_say_stays_as_it_came(item: dict[str, Any]) -> None:
    contents = FORMAT.contents([item])
    assert contents == [NativeContent(api="openai.responses", item=item)]
    again = exactly(rendered(contents))
    assert same(again, {**item, "input": []} if "instructions" in item else {"input": [item]})


def test_a_string_is_what_the_user_says() -> None:
    assert from_responses("Hi") == [DialogueContent(role="user", text="Hi")]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ([{"role": "user", "content": "a"}, 7], "input[1]"),
        ([{"role": "user", "content": [{"image_url": b"x"}]}], "input[0].content[0].image_url"),
        ([{"role": "user", "content": float("nan")}], "input[0].content"),
        ({"role": "user"}, "input"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_path(given: Any, path: str) -> None:
    with pytest.raises(ContentValidationError) as error:
        from_responses(given)
    assert error.value.path == path
