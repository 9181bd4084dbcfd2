"""An item of generateContent as parts: a pure view, whatever the item holds."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tract.formats.common.media import attached, kind_of_media
from tract.formats.common.values import json_text, optional, required
from tract.formats.deltas import mended
from tract.formats.format import Json, Reading
from tract.formats.google_genai.kinds import (
    data_of,
    field,
    is_fragment,
    native_of,
)
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["CODE", "read", "said_by"]

CODE = "code_execution"
"""The name that calls of the API's own interpreter have here; there they have none."""

_AMISS = (AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What a part raises that is not of the shape that its field promises."""
_ROLES = {None: "user", "model": "assistant", "function": "tool"}
_RESULTS = ("output", "result")
"""Keys under which a function's response is its whole result."""


def read(item: Json, *, keep: bool = False) -> Reading:
    """Return an item as parts; with *keep*, each has its own JSON."""
    if is_fragment(item):
        return Reading("system", _parts(field(item, "systemInstruction"), keep))
    role, parts = item.get("role"), _content(item, keep)
    if role in (None, "user") and parts and all(map(_is_result, parts)):
        return Reading("tool", parts)
    if not isinstance(role, str | None) or (role or "").startswith("$"):  # those are not an API's
        role = "user"
    return Reading(_ROLES.get(role, role or "user"), parts)


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResultPart) and part.kind != "server"


def _content(item: Json, keep: bool) -> tuple[Part, ...]:
    parts = item.get("parts")
    if isinstance(parts, list):
        return tuple(_part(part, keep) for part in parts)
    says_more = parts is not None or item.keys() - {"role", "parts"}
    return (NativePart(native=native_of(item)),) if says_more else ()


def _parts(given: Any, keep: bool) -> tuple[Part, ...]:
    """Return the parts of a system instruction: a text, a content, a part, or a list of those."""
    if isinstance(given, list):
        return tuple(part for each in given for part in _parts(each, keep))
    if isinstance(given, dict) and "parts" in given:
        return _content(given, keep)
    return (_part({"text": given} if isinstance(given, str) else given, keep),)


def _part(part: Any, keep: bool) -> Part:
    try:
        (kind,) = data_of(part) or [""]
        made = _READERS[kind](part, field(part, kind)) if kind else _unfilled(part)
    except _AMISS:
        made = None
    if made is None:
        return NativePart(native=native_of(part))
    return replace(made, native=native_of(part)) if keep else made


def _unfilled(part: Json) -> Part | None:
    """Return a part that is only a signature, as streams may have it."""
    signature = optional(field(part, "thoughtSignature"))
    alone = {key for key, value in part.items() if value is not None} <= _SIGNED
    return ThinkingPart(signature=signature) if signature and alone else None


_SIGNED = {"thoughtSignature", "thought_signature", "thought"}


def _text(part: Json, text: Any) -> Part:
    signature = optional(field(part, "thoughtSignature"))
    if part.get("thought") is True or (signature and text == ""):
        return ThinkingPart(text=required(text), signature=signature)
    return TextPart(text=required(text))


def _inline(part: Json, blob: Json) -> Part | None:
    if part.get("thought") is True:
        return None
    media_type = required(field(blob, "mimeType"))
    found = attached(blob["data"]) or {"data": _decoded(required(blob["data"]))}
    name = optional(field(blob, "displayName"))
    kind = kind_of_media(media_type)
    return MediaPart(**{**found, "kind": kind, "media_type": media_type, "name": name})


def _file(part: Json, file: Json) -> Part:
    uri, media_type = required(field(file, "fileUri")), optional(field(file, "mimeType"))
    name = optional(field(file, "displayName"))
    public = uri.startswith(("https://", "http://")) and ".googleapis.com/v1" not in uri
    place: dict[str, Any] = {"url": uri} if public else {"file_id": uri}
    return MediaPart(
        kind=kind_of_media(media_type or ""), media_type=media_type, name=name, **place
    )


def _call(part: Json, call: Json) -> Part:
    return ToolCallPart(
        id=optional(call.get("id")),
        name=required(call["name"]),
        arguments=_arguments(call.get("args")),
        signature=optional(field(part, "thoughtSignature")),
    )


def _result(part: Json, result: Json) -> Part:
    response = result.get("response")
    text, failed = said_by(response)
    parts: tuple[Part, ...] = () if text is None else (TextPart(text=mended(text)),)
    shown = result.get("parts")
    parts += tuple(_part(each, keep=False) for each in shown) if shown is not None else ()
    return ToolResultPart(
        call_id=optional(result.get("id")),
        parts=parts,
        name=optional(result.get("name")),
        is_error=failed,
    )


def said_by(response: Any) -> tuple[str | None, bool]:
    """Return the text of a function's response, and True if it is that of an error.

    "Use 'output' key to specify function output and 'error' key to specify error details (if any).
    If 'output' and 'error' keys are not specified, then whole 'response' is treated as function
    output."
    """
    if response is None:
        return None, False
    if not isinstance(response, dict):
        raise TypeError("not an object")
    only = next(iter(response)) if len(response) == 1 else None
    if only is not None and isinstance(response[only], str) and only in (*_RESULTS, "error"):
        return response[only], only == "error"
    return json_text(response) if response else None, "error" in response


def _code(part: Json, code: Json) -> Part:
    given = {key: code[key] for key in ("language", "code") if key in code}
    return ToolCallPart(
        id=optional(code.get("id")),
        name=CODE,
        arguments=json_text(given),
        kind="server",
        signature=optional(field(part, "thoughtSignature")),
    )


def _code_result(part: Json, result: Json) -> Part:
    output = optional(result.get("output"))
    return ToolResultPart(
        call_id=optional(result.get("id")),
        parts=() if output is None else (TextPart(text=output),),
        name=CODE,
        is_error=result.get("outcome") not in (None, "OUTCOME_OK"),
        kind="server",
    )


def _server_call(part: Json, call: Json) -> Part:
    return ToolCallPart(
        id=optional(call.get("id")),
        name=required(field(call, "toolType")),
        arguments=_arguments(call.get("args")),
        kind="server",
        signature=optional(field(part, "thoughtSignature")),
    )


def _server_result(part: Json, result: Json) -> Part:
    response = result.get("response")
    return ToolResultPart(
        call_id=optional(result.get("id")),
        parts=() if response is None else (TextPart(text=json_text(response)),),
        name=required(field(result, "toolType")),
        kind="server",
    )


_READERS: dict[str, Callable[[Json, Any], Part | None]] = {
    "codeExecutionResult": _code_result,
    "executableCode": _code,
    "fileData": _file,
    "functionCall": _call,
    "functionResponse": _result,
    "inlineData": _inline,
    "text": _text,
    "toolCall": _server_call,
    "toolResponse": _server_result,
}


def _arguments(args: Any) -> str:
    if not isinstance(args, dict | None):
        raise TypeError("not an object")
    return json_text(args or {})


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
