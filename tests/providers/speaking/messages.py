"""Anthropic's Messages API, as a server speaks it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from providers.answers import Answer, Body, Seal, Speaker, exact, pieces, tokens
from providers.anthropic_blocks import THINKING
from providers.anthropic_messages import current_loop, turns
from providers.exchanges import Event


def _content(answer: Answer, number: int, request: Body) -> list[Body]:
    content: list[Body] = []
    if request.get("compaction"):
        return [{"type": "compaction", "content": answer.text or None, "signature": "c2ln"}]
    if answer.thinking:
        signature = base64.b64encode(f"signature {number}: {answer.thinking}".encode()).decode()
        block = {"type": "thinking", "thinking": answer.thinking, "signature": signature}
        content.append(block)
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    for place, call in enumerate(answer.calls):
        called = {"id": f"toolu_{number}_{place}", "name": call.name, "input": call.arguments}
        content.append({"type": "tool_use", **called})
    return content


def _whole(answer: Answer, number: int, request: Body) -> Body:
    content = _content(answer, number, request)
    reason = "max_tokens" if answer.cut_off else "tool_use" if answer.calls else "end_turn"
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": "compaction" if request.get("compaction") else reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens(exact(request["messages"])),
            "output_tokens": tokens(exact(content)),
        },
    }


def _events(whole: Body) -> Iterator[Event]:
    started = {**whole, "content": [], "stop_reason": None}
    started["usage"] = {**whole["usage"], "output_tokens": 1}
    yield _event("message_start", message=started)
    yield _event("ping")
    for index, block in enumerate(whole["content"]):
        emptied, deltas = _apart(block)
        yield _event("content_block_start", index=index, content_block=emptied)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": whole["usage"]["output_tokens"]}
    yield _event("message_delta", delta=ended, usage=usage)
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> Event:
    return Event(kind, {"type": kind, **fields})


def _apart(block: Body) -> tuple[Body, list[Body]]:
    """Return a block as it starts, and what is then added to it."""
    match block["type"]:
        case "thinking":
            deltas: list[Body] = [
                {"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])
            ]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use":
            given = ("", *pieces(json.dumps(block["input"])))
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in given]
            return {**block, "input": {}}, deltas
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    return {**block, "text": ""}, deltas


def _seals(whole: Body) -> list[Seal]:
    calls = frozenset(b["id"] for b in whole["content"] if b["type"] == "tool_use")
    return [Seal(calls, exact(block)) for block in whole["content"] if block["type"] in THINKING]


def _sent(request: Body) -> tuple[set[str], set[str]]:
    # "You may omit thinking blocks from prior assistant turns", not from the current tool loop.
    looped = [block for turn in current_loop(request) for _, block in turn.of("tool_use")]
    signed = [block for turn in turns(request) for _, block in turn.of(*THINKING)]
    return {block["id"] for block in looped}, {exact(block) for block in signed}


def _error(message: str) -> Body:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


SPEAKER = Speaker(
    api="anthropic.messages",
    base="",
    whole=_whole,
    events=_events,
    seals=_seals,
    sent=_sent,
    error=_error,
)
