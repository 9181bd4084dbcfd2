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
from tract.history.media import take_out
from tract.parts import TextPart, ToolCallPart
from tract.protocols import Message

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
        request |= FORMAT.write_tools(tools, exchange.api, writing)
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
