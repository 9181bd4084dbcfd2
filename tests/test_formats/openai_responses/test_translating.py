"""What was recorded of other APIs, sent to this one: each text and each call crosses."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from providers import exchanges
from providers.exchanges import Exchange
from providers.validators import problems
from support.responses_items import FORMAT, rendered, sent
from tract.formats.format import Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import write_tools
from tract.history.media import take_out
from tract.protocols import Message
from tract.protocols.parts import MediaPart, TextPart, ToolCallPart

pytestmark = pytest.mark.measured

API = "openai.responses"
FRAGMENTS = {
    "anthropic.messages": ("system",),
    "google.generate_content": ("systemInstruction", "system_instruction"),
    "openai.chat": (),
}


def items_of(exchange: Exchange) -> list[dict[str, Any]]:
    """Return the items of a request and of its answer."""
    request = copy.deepcopy(exchange.request)
    before = [{key: request[key]} for key in FRAGMENTS[exchange.api] if key in request]
    reply = FORMATS[exchange.api].reply(exchange.reply or {})
    after = reply.items if reply is not None else []
    return [*before, *(request.get("messages") or request.get("contents") or ()), *after]


def written(exchange: Exchange, writing: Writing) -> tuple[list[Message], dict[str, Any]]:
    """Return the messages of an exchange, and the request that they become here."""
    source = FORMATS[exchange.api]
    media: dict[str, bytes] = {}
    stored = []
    for item in items_of(exchange):
        taken = take_out(item)
        media |= taken.media
        stored.append(taken.item)
    writing.load = media.__getitem__
    messages = rendered(source.contents(stored))
    request = sent(messages, writing)
    tools = exchange.request.get("tools")
    if isinstance(tools, list):
        request |= write_tools(FORMAT, tools, exchange.api, writing)
    return messages, request


@pytest.mark.long
@pytest.mark.parametrize("api", sorted(FRAGMENTS))
def test_what_others_were_asked_is_accepted_and_says_the_same(api: str) -> None:
    path = exchanges.path()
    if api not in FORMATS:
        pytest.skip(f"there is no format of {api} yet")
    if not path.is_file():
        pytest.skip(f"no exchanges at {path}; ASYNCTRACT_TRANSCRIPTS names their folder")
    tried, failed = 0, []
    for exchange in exchanges.read(path):
        if exchange.api != api:
            continue
        tried += 1
        writing = Writing()
        messages, request = written(exchange, writing)
        said = json.dumps(request, ensure_ascii=False)
        if problems(API, request) or any(plain(text) not in said for text in texts(messages)):
            failed.append(exchange.id)
    print(f"\n{api}: {tried - len(failed)}/{tried}")

    assert tried > 0
    assert failed == []


def texts(messages: list[Message]) -> list[str]:
    """Return the texts and the arguments in messages."""
    found = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, TextPart):
                found.append(part.text)
            elif isinstance(part, ToolCallPart) and part.kind != "server":
                found.append(part.arguments)
    return found


def plain(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


OFFICE = "application/vnd.openxmlformats-officedocument."


@pytest.mark.parametrize(
    ("media_type", "name", "sent_as"),
    [
        (f"{OFFICE}wordprocessingml.document", "document.docx", None),
        (f"{OFFICE}spreadsheetml.sheet", "document.xlsx", None),
        ("text/csv", "document.csv", None),
        ("text/x-python", "document.txt", "text/plain"),
    ],
)
def test_files_that_the_api_takes_go_out_as_what_they_are(
    media_type: str, name: str, sent_as: str | None
) -> None:
    part = MediaPart(kind="document", data=b"a,b", media_type=media_type)
    request = sent([Message.of("user", (part,))])

    [block] = request["input"][0]["content"]
    assert block["filename"] == name
    assert block["file_data"] == f"data:{sent_as or media_type};base64,YSxi"
    assert problems(API, request) == []


def test_a_call_whose_program_is_not_there_is_sent_as_one_of_the_models_own() -> None:
    caller = {"type": "program", "caller_id": "call_prog_1"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "r"}
    program = {"type": "program", "id": "p", "call_id": "call_prog_1", "code": "f()"}
    program["fingerprint"] = "c2ln"
    made = [{**call, "caller": caller}, {**output, "caller": caller}]

    assert sent(rendered(FORMAT.contents(made)))["input"] == [call, output]
    assert sent(rendered(FORMAT.contents([program, *made])))["input"] == [program, *made]


@pytest.mark.parametrize(
    ("model", "kept"), [("openai.gpt-oss-120b", True), ("openai.gpt-5.5", False)]
)
def test_ids_of_open_weights_go_back_to_them(model: str, kept: bool) -> None:
    thought = {"type": "reasoning", "id": "msg_1", "summary": [], "content": []}
    said = {"type": "message", "role": "assistant", "content": "Hi."}
    request = sent(rendered(FORMAT.contents([thought, said])), Writing(model=model))

    assert (request["input"] == [thought, said]) is kept
