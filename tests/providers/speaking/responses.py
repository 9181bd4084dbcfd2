"""The Responses API, as a server speaks it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from providers.answers import Answer, Body, Seal, Speaker, exact, pieces, tokens
from providers.exchanges import Event
from providers.rules import items
from providers.speaking.chat import error


def _output(answer: Answer, number: int) -> list[Body]:
    output: list[Body] = []
    if answer.thinking:
        sealed = base64.b64encode(f"{number}: {answer.thinking}".encode()).decode()
        summary = [{"type": "summary_text", "text": answer.thinking}]
        item: Body = {"id": f"rs_{number}", "summary": summary, "encrypted_content": sealed}
        output.append({"type": "reasoning", **item})
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        message: Body = {"id": f"msg_{number}", "role": "assistant", "status": "completed"}
        output.append({"type": "message", **message, "content": [part]})
    for place, call in enumerate(answer.calls):
        called = {"id": f"fc_{number}_{place}", "call_id": f"call_{number}_{place}"}
        given = {"name": call.name, "arguments": json.dumps(call.arguments), "status": "completed"}
        output.append({"type": "function_call", **called, **given})
    return output


def _whole(answer: Answer, number: int, request: Body) -> Body:
    output = _output(answer, number)
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_778_535_251,
        "status": "incomplete" if answer.cut_off else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if answer.cut_off else None,
        "instructions": request.get("instructions"),
        "metadata": {},
        "model": request["model"],
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": request.get("tools", []),
        "top_p": 1.0,
        "usage": _usage(tokens(exact(request["input"])), tokens(exact(output))),
    }


def _compacted(answer: Answer, number: int, request: Body) -> Body:
    kept = [item for item in items(request["input"]) if item.get("role") == "user"]
    sealed = base64.b64encode(f"{number}: {answer.text}".encode()).decode()
    output = [*kept, {"type": "compaction", "id": f"cmp_{number}", "encrypted_content": sealed}]
    return {
        "id": f"resp_{number}",
        "object": "response.compaction",
        "created_at": 1_778_535_251,
        "output": output,
        "usage": _usage(tokens(exact(request["input"])), tokens(answer.text)),
    }


def _usage(given: int, made: int) -> Body:
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }


def _events(whole: Body) -> Iterator[Event]:
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    found: list[tuple[str, Body]] = [("response.created", {"response": started})]
    found.append(("response.in_progress", {"response": started}))
    for index, item in enumerate(whole["output"]):
        found += [(kind, {"output_index": index, **fields}) for kind, fields in _item(item)]
    found.append(("response.completed", {"response": whole}))
    for number, (kind, fields) in zip(count(), found, strict=False):
        yield Event(kind, {"type": kind, "sequence_number": number, **fields})


def _item(item: Body) -> Iterator[tuple[str, Body]]:
    emptied: dict[str, Body] = {"message": {"content": []}, "function_call": {"arguments": ""}}
    opened = {**item, **emptied.get(item["type"], {"summary": []})}
    if "status" in item:
        opened["status"] = "in_progress"
    yield "response.output_item.added", {"item": opened}
    within: Body = {"item_id": item["id"]}
    match item["type"]:
        case "message":
            yield from _parts(item["content"], within, "content_index")
        case "reasoning":
            yield from _parts(item["summary"], within, "summary_index")
        case "function_call":
            named = "response.function_call_arguments"
            for piece in pieces(item["arguments"]):
                yield f"{named}.delta", {**within, "delta": piece}
            yield f"{named}.done", {**within, "arguments": item["arguments"]}
    yield "response.output_item.done", {"item": item}


def _parts(parts: list[Body], within: Body, key: str) -> Iterator[tuple[str, Body]]:
    spoken: dict[str, Any] = {"logprobs": []} if key == "content_index" else {}
    part_name, text_name = {
        "content_index": ("response.content_part", "response.output_text"),
        "summary_index": ("response.reasoning_summary_part", "response.reasoning_summary_text"),
    }[key]
    for index, part in enumerate(parts):
        here = {**within, key: index}
        yield f"{part_name}.added", {**here, "part": {**part, "text": ""}}
        for piece in pieces(part["text"]):
            yield f"{text_name}.delta", {**here, "delta": piece, **spoken}
        yield f"{text_name}.done", {**here, "text": part["text"], **spoken}
        yield f"{part_name}.done", {**here, "part": part}


def _signed(listed: list[Any]) -> set[str]:
    found = [item for item in listed if item.get("type") == "reasoning"]
    return {exact([item["id"], item["encrypted_content"], item["summary"]]) for item in found}


def _called(listed: list[Any]) -> set[str]:
    return {item["call_id"] for item in listed if item.get("type") == "function_call"}


def _seals(whole: Body) -> list[Seal]:
    calls = frozenset(_called(whole["output"]))
    return [Seal(calls, value) for value in _signed(whole["output"])]


def _sent(request: Body) -> tuple[set[str], set[str]]:
    listed = [dict(item) for item in items(request["input"])]
    return _called(listed), _signed(listed)


SPEAKER = Speaker(
    api="openai.responses",
    base="/v1",
    whole=_whole,
    events=_events,
    seals=_seals,
    sent=_sent,
    error=error,
)
COMPACTION = replace(SPEAKER, api="openai.responses.compact", whole=_compacted)
