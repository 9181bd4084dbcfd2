"""Messages of any origin as the input of a request that the API takes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from providers.validators import problems
from support.responses_items import FORMAT, exactly, messages_of, rendered, sent
from tract import AsyncTract, to_responses
from tract.formats.format import Writing
from tract.formats.sending import write_tools
from tract.models.content import (
    DialogueContent,
    InstructionContent,
    NativeContent,
    ToolIOContent,
)
from tract.protocols import Message
from tract.protocols.parts import (
    MediaPart,
    Native,
    NativePart,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

pytestmark = pytest.mark.measured

API = "openai.responses"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
ENCODED = "data:image/png;base64," + base64.b64encode(PNG).decode()
HELLO = {"role": "user", "content": "Hello"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}


def of_parts(role: str, *parts: Any) -> Message:
    return Message.of(role, parts)


def written(*messages: Message, model: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """Return an accepted request of messages, and what it loses."""
    writing = Writing(model=model)
    request = sent(messages, writing)
    assert problems(API, request) == []
    return request, [loss.what for loss in writing.losses]


def test_system_messages_are_instructions_at_the_beginning_and_items_later() -> None:
    messages = rendered(
        [
            InstructionContent(text="Be brief."),
            DialogueContent(role="system", text="Be kind."),
            DialogueContent(role="user", text="Hello"),
            DialogueContent(role="system", text="Be quick."),
        ]
    )
    expected = {
        "instructions": "Be brief.\n\nBe kind.",
        "input": [HELLO, {"role": "system", "content": "Be quick."}],
    }
    assert written(*messages) == (expected, [])
    assert exactly(messages) == expected


def test_a_system_message_that_came_as_an_item_stays_one() -> None:
    item = {"role": "system", "content": "Be brief."}
    (instruction,) = rendered([InstructionContent(text="Be kind.")])
    request, _ = written(*messages_of(item, HELLO))
    assert request == {"input": [item, HELLO]}
    request, _ = written(instruction, *messages_of(item, HELLO))
    assert request == {"instructions": "Be kind.", "input": [item, HELLO]}


def test_a_request_of_instructions_alone_has_input() -> None:
    request, losses = written(*rendered([InstructionContent(text="Tell me a joke.")]))
    assert request == {"input": [{"role": "system", "content": "Tell me a joke."}]}
    assert losses == ["system"]


def test_texts_calls_and_results_are_items_each() -> None:
    messages = rendered(
        [
            DialogueContent(role="user", text="Hello", name="ann"),
            DialogueContent(role="assistant", text="Wait."),
            ToolIOContent(tool_name="f", direction="call", payload="{}", call_id="call_1"),
            ToolIOContent(
                tool_name="f", direction="result", payload="42", call_id="call_1", status="error"
            ),
        ]
    )
    request, losses = written(*messages)
    assert request == {"input": [HELLO, {"role": "assistant", "content": "Wait."}, CALL, OUTPUT]}
    assert losses == ["name", "is_error"]


def test_each_part_crosses_or_is_named() -> None:
    other = Native("anthropic.messages", '{"type":"container_upload"}')
    thought = ThinkingPart(text="Hm", signature="sig")
    user = of_parts(
        "user",
        TextPart(text="Look"),
        MediaPart(kind="image", data=PNG, detail="low"),
        MediaPart(kind="image", url="https://example.org/a.png"),
        MediaPart(kind="document", data=b"%PDF-1.7", name="a.pdf"),
        MediaPart(kind="document", data=b"a,b", media_type="text/csv"),
        MediaPart(kind="image", file_id="file-1"),
        MediaPart(kind="audio", data=b"RIFF"),
        MediaPart(kind="document", file_id="file_011"),
        NativePart(native=other),
    )
    assistant = of_parts(
        "assistant",
        thought,
        TextPart(text="So"),
        ToolCallPart(id="s", name="web_search", arguments="{}", kind="server"),
        ToolResultPart(call_id="s", kind="server"),
        ToolCallPart(id="call_1", name="f", arguments="{}", signature="sig"),
        ToolCallPart(id="call_2", name="sh", arguments="ls", kind="custom"),
    )
    answers = of_parts(
        "user",
        ToolResultPart(
            call_id="call_1", parts=(TextPart(text="a"), MediaPart(kind="image", data=PNG))
        ),
        ToolResultPart(call_id="call_2", parts=(TextPart(text="b"),), kind="custom"),
        TextPart(text="Go on"),
    )
    said = of_parts("assistant", RefusalPart(text="No."), MediaPart(kind="image", data=PNG))

    request, losses = written(user, assistant, answers, said)

    text = base64.b64encode(b"a,b").decode()
    assert request["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": ENCODED, "detail": "low"},
                {
                    "type": "input_image",
                    "image_url": "https://example.org/a.png",
                    "detail": "auto",
                },
                {
                    "type": "input_file",
                    "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,JVBERi0xLjc=",
                },
                {
                    "type": "input_file",
                    "filename": "document.csv",
                    "file_data": f"data:text/csv;base64,{text}",
                },
                {"type": "input_image", "file_id": "file-1", "detail": "auto"},
            ],
        },
        {"role": "assistant", "content": "So"},
        CALL,
        {"type": "custom_tool_call", "call_id": "call_2", "name": "sh", "input": "ls"},
        {
            **OUTPUT,
            "output": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": ENCODED, "detail": "auto"},
            ],
        },
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "b"},
        {"role": "user", "content": "Go on"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    assert losses == [
        "media",
        "media",
        "container_upload",
        "thinking",
        "tool_call",
        "tool_result",
        "signature",
        "media",
    ]


def test_roles_that_the_api_does_not_have_become_the_users() -> None:
    request, losses = written(of_parts("critic", TextPart(text="Hello")))
    assert request == {"input": [HELLO]}
    assert losses == ["role"]


def test_blank_texts_are_left_out() -> None:
    empty = rendered([DialogueContent(role="assistant", text="")])
    assert written(*messages_of(HELLO), *empty) == ({"input": [HELLO]}, [])


def test_a_late_result_stands_behind_its_call_as_it_came() -> None:
    call = {**CALL, "id": "fc_1", "status": "completed"}
    request, losses = written(*messages_of(THOUGHT, call, HELLO, OUTPUT))
    assert request == {"input": [THOUGHT, call, OUTPUT, HELLO]}
    assert losses == []


def test_ids_that_do_not_fit_are_mended_and_the_rest_stays() -> None:
    longer = "call_" + "x" * 80
    call = {**CALL, "id": "fc_1", "call_id": longer, "status": "completed"}
    answer = {**OUTPUT, "call_id": longer, "id": "fco_1"}
    request, _ = written(*messages_of(HELLO, call, answer))
    mended = request["input"][1]["call_id"]
    assert len(mended) <= 64
    assert request["input"][1:] == [{**call, "call_id": mended}, {**answer, "call_id": mended}]


@pytest.mark.parametrize("how", ["error", "drop"])
@pytest.mark.parametrize(
    "call",
    [
        {**CALL, "id": "fc_1"},
        {"type": "custom_tool_call", "call_id": "c", "name": "sh", "input": "ls", "id": "ctc_1"},
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
        {"type": "apply_patch_call", "call_id": "c", "operation": {}, "status": "completed"},
        {"type": "tool_search_call", "call_id": "c", "arguments": {}, "execution": "client"},
        {"type": "computer_call", "call_id": "c", "pending_safety_checks": []},
    ],
    ids=lambda call: call["type"],
)
def test_a_call_without_its_result_is_answered_or_left_out(call: Any, how: Any) -> None:
    messages = messages_of(HELLO, THOUGHT, call)
    request: dict[str, Any] = {**to_responses(messages, open_calls=how)}
    assert problems(API, request) == []
    is_kept = how == "error" and call["type"] != "computer_call"
    assert len(request["input"]) == (4 if is_kept else 1)
    if is_kept:
        assert request["input"][2] == call
    assert to_responses(messages, open_calls="keep") == {"input": [HELLO, THOUGHT, call]}


def test_results_are_of_the_kind_that_their_call_asks_for() -> None:
    shell = {"type": "shell_call", "call_id": "call_1", "action": {"commands": ["ls"]}}
    plain = rendered(
        [ToolIOContent(tool_name="x", direction="result", payload="a b", call_id="call_1")]
    )
    custom = {"type": "custom_tool_call", "call_id": "call_1", "name": "sh", "input": "ls"}

    request, _ = written(*messages_of(HELLO, shell), *plain)
    outcome = {"type": "exit", "exit_code": 0}
    assert request["input"][2] == {
        "type": "shell_call_output",
        "call_id": "call_1",
        "output": [{"stdout": "a b", "stderr": "", "outcome": outcome}],
    }
    request, _ = written(*messages_of(HELLO, custom), *plain)
    assert request["input"][2]["type"] == "custom_tool_call_output"
    request, _ = written(*messages_of(HELLO, custom, OUTPUT))
    assert request["input"][2] == {**OUTPUT, "type": "custom_tool_call_output"}


def test_a_screenshot_answers_a_call_of_the_computer() -> None:
    call = {"type": "computer_call", "call_id": "call_1", "pending_safety_checks": []}
    shot = of_parts(
        "tool", ToolResultPart(call_id="call_1", parts=(MediaPart(kind="image", data=PNG),))
    )
    request, _ = written(*messages_of(HELLO, call), shot)
    assert request["input"][2] == {
        "type": "computer_call_output",
        "call_id": "call_1",
        "output": {"type": "computer_screenshot", "image_url": ENCODED},
    }


def test_thinking_that_leads_to_nothing_is_left_out() -> None:
    again = {**THOUGHT, "id": "rs_2"}
    request, losses = written(*messages_of(THOUGHT, again, HELLO, THOUGHT))
    assert request == {"input": [HELLO]}
    assert set(losses) == {"thinking"}


def test_thinking_goes_to_its_own_family_of_models_only() -> None:
    thought = {**THOUGHT, "id": "5d1b6f0c-0000-4000-8000-000000000000"}
    said = {
        "type": "message",
        "id": "0e2b6f0c-0000-4000-8000-000000000000",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "So", "annotations": []}],
    }
    messages = messages_of(HELLO, thought, said)
    bare = {key: value for key, value in said.items() if key != "id"}
    assert written(*messages, model="gpt-5.4") == ({"input": [HELLO, bare]}, ["thinking"])
    assert sent(messages, Writing(model="deepseek-chat")) == {"input": [HELLO, thought, said]}
    assert sent(messages) == {"input": [HELLO, thought, said]}


def test_items_that_repeat_are_sent_once() -> None:
    said = {"type": "message", "id": "msg_1", "role": "assistant", "content": "So"}
    reference = {"type": "item_reference", "id": "msg_1"}
    elsewhere = {"type": "item_reference", "id": "msg_2"}
    request, losses = written(
        *messages_of(THOUGHT, said, reference, elsewhere, HELLO, THOUGHT, said)
    )
    bare = {key: value for key, value in said.items() if key != "id"}
    assert request == {"input": [THOUGHT, said, elsewhere, HELLO, bare]}
    assert losses == ["item_reference", "thinking"]


def test_blocks_fit_the_role_that_they_are_shown_in() -> None:
    typed = {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    answer = {
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
    }
    (as_assistant,) = rendered(FORMAT.contents([typed]), role="assistant")
    (as_user,) = rendered(FORMAT.contents([answer]), role="user")
    easy = {"input": [{"role": "assistant", "content": "Hello"}]}
    assert written(as_assistant) == (easy, [])
    assert written(as_user) == ({"input": [HELLO]}, [])
    assert written(*messages_of({**typed, "role": "assistant"})) == ({"input": [answer]}, [])
    assert written(*messages_of({**answer, "role": "user"})) == ({"input": [typed]}, [])


def test_what_a_reply_alone_has_is_not_sent() -> None:
    search = {"type": "tool_search_call", "id": "tsc_1", "execution": "server", "arguments": {}}
    running = {"type": "web_search_call", "id": "ws_1", "status": "searching"}
    request, losses = written(*messages_of(HELLO, {**search, "created_by": "x"}, running))
    assert request == {"input": [HELLO, search]}
    assert losses == ["tool_call"]


def test_an_item_of_a_later_release_is_sent_as_it_came() -> None:
    item = {"type": "hologram", "depth": 3}
    assert sent(messages_of(item, HELLO)) == {"input": [item, HELLO]}


def test_an_edited_text_keeps_its_blocks() -> None:
    said = {
        "role": "assistant",
        "content": [{"type": "output_text", "text": "So", "annotations": [{"type": "x"}]}],
    }
    (message,) = messages_of(said)
    kept = FORMAT.read(said, keep=True).parts
    edited = Message.of(message.role, (*kept, TextPart(text=" [edited]")))
    request, _ = written(edited)
    assert request["input"][0]["content"] == [
        said["content"][0],
        {"type": "output_text", "text": " [edited]", "annotations": []},
    ]


def test_tools_of_other_apis_become_functions_that_are_not_strict() -> None:
    schema = {"type": "object", "properties": {}}
    writing = Writing()
    chat: list[dict[str, Any]] = [
        {"type": "function", "function": {"name": "f.g", "parameters": schema, "strict": True}},
        {"type": "custom", "custom": {"name": "sh", "format": {"type": "text"}}},
    ]
    anthropic: list[dict[str, Any]] = [
        {"name": "f", "description": "F", "input_schema": schema},
        {"type": "bash_20250124"},
    ]

    found = write_tools(FORMAT, chat, "openai.chat", writing)["tools"]
    assert found[0]["name"].startswith("f_g_")
    assert found[0] | {"name": "f"} == {
        "type": "function",
        "name": "f",
        "parameters": schema,
        "strict": True,
    }
    assert found[1] == {"type": "custom", "name": "sh", "format": {"type": "text"}}
    assert write_tools(FORMAT, anthropic, "anthropic.messages", writing) == {
        "tools": [
            {
                "type": "function",
                "name": "f",
                "description": "F",
                "parameters": schema,
                "strict": False,
            }
        ]
    }
    assert [loss.what for loss in writing.losses] == ["tool"]
    assert write_tools(FORMAT, [], "openai.chat", writing) == {}


def test_functions_of_a_namespace_are_functions() -> None:
    inner: list[dict[str, Any]] = [
        {"type": "function", "name": name, "parameters": {}} for name in ("f", "g")
    ]
    found = FORMAT.read_tool({"type": "namespace", "name": "n", "tools": inner})
    assert [tool.name for tool in found] == ["f", "g"]


def test_a_call_that_holds_its_result_is_sent_once() -> None:
    item = {"type": "mcp_call", "id": "mcp_1", "name": "ask", "arguments": "{}", "output": "42"}
    reading = FORMAT.read(item, keep=True)
    assert len(reading.parts) == 2
    assert written(Message.of(reading.role, reading.parts), *messages_of(HELLO))[0] == {
        "input": [item, HELLO]
    }


def test_instructions_between_items_stay_instructions() -> None:
    messages = messages_of(HELLO, {"instructions": "Be brief."})
    expected = {"instructions": "Be brief.", "input": [HELLO]}
    assert exactly(messages) == expected
    assert written(*messages) == (expected, [])


def test_media_that_the_api_cannot_find_are_named() -> None:
    lost = [
        {"type": "input_image", "detail": "auto"},
        {"type": "input_image", "image_url": "data:image/svg+xml;base64,AAAA"},
        {"type": "input_file", "file_data": "?"},
    ]
    bare = {"type": "input_file", "filename": "a.pdf", "file_data": "JVBERi0xLjc="}
    request, losses = written(*messages_of({"role": "user", "content": [*lost, bare]}))
    mended = {**bare, "file_data": "data:application/pdf;base64,JVBERi0xLjc="}
    assert request == {"input": [{"role": "user", "content": [mended]}]}
    assert losses == ["media"] * 3


async def test_a_context_gives_all_that_a_call_takes() -> None:
    data = "data:image/png;base64," + base64.b64encode(PNG * 40).decode()
    image = {"role": "user", "content": [{"type": "input_image", "image_url": data}]}
    async with AsyncTract.open() as tract:
        await tract.commit(InstructionContent(text="Be brief."))
        await tract.commit(NativeContent(api=API, item=image))
        await tract.commit(NativeContent(api=API, item=CALL))
        context = await tract.compile()
        request = context.request(API)
        assert context.losses[0].what == "tool_call"

    assert problems(API, request) == []
    assert request["instructions"] == "Be brief."
    assert request["input"][:2] == [image, CALL]
