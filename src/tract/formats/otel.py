"""Messages as OpenTelemetry's conventions for generative AI describe them.

Source of the format: version 0.1.0 of the GenAI semantic conventions,
https://github.com/open-telemetry/semantic-conventions-genai, `gen-ai-input-messages.json`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any

from tract.formats.sending import parts_of
from tract.protocols import Message
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["otel_messages"]

_Json = dict[str, Any]
_Load = Callable[[str], bytes]


def otel_messages(messages: Iterable[Message], load: _Load) -> list[_Json]:
    """Return messages with a role and parts each; *load* returns the bytes of an attachment."""
    return [_message(message, load) for message in messages]


def _message(message: Message, load: _Load) -> _Json:
    parts = [_part(part, load) for part in parts_of(message)]
    named = {} if message.name is None else {"name": message.name}
    return {"role": message.role, "parts": parts, **named}


def _part(part: Part, load: _Load) -> _Json:
    match part:
        case TextPart():
            return {"type": "text", "content": part.text}
        case ThinkingPart():
            return {"type": "reasoning", "content": part.text}
        case RefusalPart():
            return {"type": "refusal", "content": part.text}
        case MediaPart():
            return _medium(part, load)
        case ToolCallPart():
            return _call(part)
        case ToolResultPart():
            return _result(part, load)
        case NativePart():
            return {"type": part.kind, "api": part.native.api, "content": part.native.item}


def _medium(part: MediaPart, load: _Load) -> _Json:
    kind = {"modality": part.kind, "mime_type": part.media_type}
    if part.url is not None:
        return {"type": "uri", "uri": part.url, **kind}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id, **kind}
    data = part.data if part.attachment is None else load(part.attachment)
    return {"type": "blob", "content": b64encode(data or b"").decode(), **kind}


def _call(part: ToolCallPart) -> _Json:
    arguments = _parsed(part.arguments)
    if part.kind == "server":
        details = {"type": part.name, "arguments": arguments}
        return {
            "type": "server_tool_call",
            "id": part.id,
            "name": part.name,
            "server_tool_call": details,
        }
    return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": arguments}


def _result(part: ToolResultPart, load: _Load) -> _Json:
    response: Any = part.text
    if any(not isinstance(each, TextPart) for each in part.parts):
        response = [_part(each, load) for each in part.parts]
    failed = {"is_error": True} if part.is_error else {}
    if part.kind == "server":
        details = {"type": part.name or "unknown", "response": response}
        given = {"type": "server_tool_call_response", "server_tool_call_response": details}
    else:
        given = {"type": "tool_call_response", "response": response}
    return {**given, "id": part.call_id, **failed}


def _parsed(arguments: str) -> Any:
    """Return the value of arguments that are JSON, and others, as a model may write, as they are."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
