"""Answers of generateContent: whole ones, and what streams have built."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tract.formats.common.values import json_text, string
from tract.formats.deltas import mended
from tract.formats.format import Json, Reply
from tract.formats.google_genai.kinds import DATA, field, key_of, known_keys
from tract.protocols.parts import ToolCallPart

__all__ = ["first_candidate", "is_reply", "part_as_sent", "streamed_reply", "whole_reply"]


def is_reply(given: Mapping[str, Any]) -> bool:
    """Return True if *given* is an answer, or an event of one."""
    whole = dict(given)
    if isinstance(field(whole, "candidates"), list):
        return True
    if "type" in whole or "object" in whole:
        return False
    return any(isinstance(field(whole, key), dict) for key in ("promptFeedback", "usageMetadata"))


def first_candidate(reply: Json) -> Json:
    """Return the first candidate; `{}` if there is none."""
    found = reply.get("candidates")
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, dict) else {}


def whole_reply(reply: Json) -> Reply | None:
    """Return a whole answer, or None if it is not this API's."""
    if not is_reply(reply):
        return None
    candidate = first_candidate(reply)
    content = candidate.get("content")
    item = _as_sent(content) if isinstance(content, dict) else {}
    reason = string(field(candidate, "finishReason")) or block_reason(reply)
    usage = field(reply, "usageMetadata")
    return _reply(
        item,
        reason,
        usage=_set(copy.deepcopy(usage)) if isinstance(usage, dict) else None,
        model=string(field(reply, "modelVersion")),
        response_id=string(field(reply, "responseId")),
    )


def streamed_reply(root: Json) -> Reply:
    """Return the reply that a stream's deltas have built."""
    item: Json = {}
    unfinished: list[ToolCallPart] = []
    if "role" in root or "parts" in root:
        item["role"] = root.get("role") or "model"
    if "parts" in root:
        still_open = root.get("open")
        parts = copy.deepcopy(root["parts"])
        if still_open is not None:
            unfinished.append(_cut_off(parts.pop(still_open)))
        item["parts"] = [_whole_part(part) for part in parts]
    reply = _reply(
        item,
        string(root.get("reason")),
        usage=root.get("usage"),
        model=string(root.get("model")),
        response_id=string(root.get("id")),
    )
    unknown = dict.fromkeys([*(root.get("unknown") or ()), *reply.unknown])
    return reply._replace(unfinished=tuple(unfinished), unknown=tuple(unknown))


def block_reason(reply: Json) -> str | None:
    """Return why the API blocked a prompt, if it did."""
    feedback = field(reply, "promptFeedback")
    return string(field(feedback, "blockReason")) if isinstance(feedback, dict) else None


def part_as_sent(part: Any) -> Any:
    """Return a new part without the fields that are not set."""
    if not isinstance(part, dict):
        return copy.deepcopy(part)
    made = {key: copy.deepcopy(value) for key, value in part.items() if value is not None}
    for name in DATA:
        key = key_of(made, name)
        if key is not None and isinstance(made[key], dict):
            made[key] = _set(made[key])
    return made


def _as_sent(content: Json) -> Json:
    """Return a content as it goes into the next request."""
    item: Json = _set(copy.deepcopy(content))
    if isinstance(item.get("parts"), list):
        item["parts"] = [part_as_sent(part) for part in item["parts"]]
    return {"role": "model", **item} if item else {}


def _reply(
    item: Json,
    reason: str | None,
    *,
    usage: Json | None,
    model: str | None,
    response_id: str | None,
) -> Reply:
    if not item and reason is not None:
        item = {"role": "model", "parts": []}
    parts = item.get("parts")
    return Reply(
        items=[item] if item else [],
        usage=usage,
        model=model,
        response_id=response_id,
        finish_reason=reason,
        unknown=tuple(_unknown(parts if isinstance(parts, list) else [])),
    )


def _unknown(parts: list[Any]) -> dict[str, None]:
    known = {key for part in parts if isinstance(part, dict) for key in known_keys(part)}
    return {
        key: None
        for part in parts
        for key in (part if isinstance(part, dict) else [type(part).__name__])
        if key not in known
    }


def _cut_off(part: Json) -> ToolCallPart:
    call = field(part, "functionCall") or {}
    return ToolCallPart(
        id=string(call.get("id")),
        name=string(call.get("name")) or "",
        arguments=json_text(call.get("args") or {}),
        signature=string(field(part, "thoughtSignature")),
    )


def _whole_part(part: Any) -> Any:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": mended(part["text"])}
    return part


def _set(given: Json) -> Json:
    return {key: value for key, value in given.items() if value is not None}
