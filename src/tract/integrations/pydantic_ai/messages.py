"""The messages that a model gets of an entry, for any API: prompts, tools, thinking, media."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, TypeAlias, cast

from pydantic_core import from_json

from tract.protocols import Message, ToolCall
from tract.protocols.parts import (
    MediaPart,
    Native,
    NativePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["messages_of"]

_API = "pydantic_ai"
_ANTHROPIC = "anthropic.messages"
_RESPONSES = "openai.responses"

_Json: TypeAlias = dict[str, Any]
_Kind: TypeAlias = Literal["image", "audio", "video", "document"]


def messages_of(text: str, native: Native) -> list[Message]:
    """Return the messages of an entry, given as JSON; the first of them carries *native*."""
    message = from_json(text)["message"]
    parts = message.get("parts") or []
    if message["kind"] == "response":
        made = [_response(parts)]
    else:
        made = [_request(part) for part in parts if part["part_kind"] not in _UNSAID]
    first, *rest = made or [Message("user")]
    return [_carrying(first, native), *rest]


def _carrying(message: Message, native: Native) -> Message:
    """Return a message with *native*, as `replace` does, in a tenth of the time."""
    return Message(
        message.role,
        message.content,
        message.name,
        message.tool_calls,
        message.tool_call_id,
        message.tool_name,
        message.is_error,
        message.given,
        native,
    )


_UNSAID = frozenset(
    {
        "tool-availability-delta",
        "capability-load-delta",
        "model-settings-delta",
        "instruction-digest",
        "instruction-baseline",
    }
)
"""Parts of requests that are notes of the framework, which no model gets."""

_UNKNOWN = (AttributeError, LookupError, TypeError)
"""What reading a part raises that a later release has given another form."""


def _request(part: _Json) -> Message:
    try:
        return _told(part)
    except _UNKNOWN:
        return Message.of("user", (_native(part),))


def _told(part: _Json) -> Message:
    kind = part["part_kind"]
    if kind in ("system-prompt", "instruction", "instruction-delta") and _is_text(part):
        return Message("system", part["content"])
    if kind == "tool-return" or (kind == "retry-prompt" and part.get("tool_name")):
        return _result(part, is_error=part.get("outcome", "failed") != "success")
    if kind in ("user-prompt", "retry-prompt", "retry-feedback", "compaction", "speech"):
        return _said("user", [*_user_parts(_content(part))])
    return Message.of("user", (_native(part),))


def _response(parts: Sequence[_Json]) -> Message:
    made = tuple(_made(part) for part in _together(parts))
    texts = [part for part in made if isinstance(part, TextPart)]
    calls = [part for part in made if isinstance(part, ToolCallPart) and _is_plain(part)]
    if len(texts) > 1 or made != (*texts, *calls):
        return Message.of("assistant", made)
    text = texts[0].text if texts else None if calls else ""
    plain = tuple(ToolCall(call.id, call.name, call.arguments) for call in calls)
    return Message("assistant", text, tool_calls=plain)


def _together(parts: Sequence[_Json]) -> Iterator[_Json]:
    """Yield parts; those that one reasoning item of OpenAI became are one again."""
    for _, group in groupby(parts, _reasoning_id):
        first, *others = group
        if others and _reasoning_id(first) is not None:
            texts = [part["content"] for part in (first, *others)]
            signatures = [part.get("signature") for part in (first, *others)]
            signature = next(filter(None, signatures), None)
            content = "\n\n".join(texts)
            yield {**first, "content": content, "signature": signature, "summary": texts}
        else:
            yield from (first, *others)


def _reasoning_id(part: _Json) -> str | None:
    is_reasoning = part["part_kind"] == "thinking" and part.get("provider_name") == "openai"
    return part.get("id") if is_reasoning else None


def _made(part: _Json) -> Part:
    make = _PARTS.get(part["part_kind"], _native)
    try:
        return make(part)
    except _UNKNOWN:
        return _native(part)


def _text(part: _Json) -> Part:
    return TextPart(text=part["content"])


def _speech(part: _Json) -> Part:
    return TextPart(text=part.get("transcript") or "")


def _thinking(part: _Json) -> Part:
    text, signature = part["content"], part.get("signature")
    name, id_ = part.get("provider_name"), part.get("id")
    if name == "anthropic" and signature is not None:
        redacted = id_ == "redacted_thinking"
        block = (
            {"type": "redacted_thinking", "data": signature}
            if redacted
            else {"type": "thinking", "thinking": text, "signature": signature}
        )
        own = Native(_ANTHROPIC, json.dumps(block, ensure_ascii=False))
        if redacted:
            return ThinkingPart(text=text, encrypted=signature, native=own)
        return ThinkingPart(text=text, signature=signature, native=own)
    if name == "openai" and id_ is not None and signature is not None:
        texts = filter(None, part.get("summary", [text]))
        summary = [{"type": "summary_text", "text": each} for each in texts]
        item = {"type": "reasoning", "id": id_, "summary": summary, "encrypted_content": signature}
        own = Native(_RESPONSES, json.dumps(item, ensure_ascii=False))
        return ThinkingPart(text=text, encrypted=signature, id=id_, native=own)
    return ThinkingPart(text=text, signature=signature, id=id_)


def _call(part: _Json) -> Part:
    args = part.get("args")
    return ToolCallPart(
        id=part.get("tool_call_id"),
        name=part["tool_name"],
        arguments="{}" if args is None else _as_text(args),
        kind="server" if part["part_kind"] == "builtin-tool-call" else "function",
        signature=(part.get("provider_details") or {}).get("thought_signature"),
    )


def _server_result(part: _Json) -> Part:
    return ToolResultPart(
        call_id=part.get("tool_call_id"),
        parts=(*_result_parts(part.get("content")),),
        name=part["tool_name"],
        kind="server",
    )


def _file(part: _Json) -> Part:
    return _medium(part["content"]) or _native(part)


_PARTS: Mapping[str, Callable[[_Json], Part]] = {
    "text": _text,
    "speech": _speech,
    "thinking": _thinking,
    "tool-call": _call,
    "builtin-tool-call": _call,
    "builtin-tool-return": _server_result,
    "file": _file,
}


def _is_plain(call: ToolCallPart) -> bool:
    return call.kind == "function" and call.signature is None


def _result(part: _Json, *, is_error: bool) -> Message:
    call_id, name, parts = part["tool_call_id"], part["tool_name"], _result_parts(part["content"])
    made = tuple(parts)
    if len(made) == 1 and isinstance(made[0], TextPart):
        text = made[0].text
        return Message("tool", text, tool_call_id=call_id, tool_name=name, is_error=is_error)
    result = ToolResultPart(call_id=call_id, parts=made, name=name, is_error=is_error)
    return Message.of("tool", (result,))


def _result_parts(content: Any) -> Iterator[Part]:
    """Yield the parts of a result: values as JSON, media apart."""
    items = content if isinstance(content, list) else [content]
    media = [_medium(item) for item in items]
    if not any(media):
        yield TextPart(text=_as_text(content))
        return
    for item, medium in zip(items, media, strict=True):
        yield medium or TextPart(text=_as_text(item))


def _user_parts(content: Any) -> Iterator[Part]:
    for item in content if isinstance(content, list) else [content]:
        if isinstance(item, dict) and item.get("kind") == "cache-point":
            continue
        if isinstance(item, dict) and item.get("kind") in ("text-content", "structured-content"):
            yield TextPart(text=_as_text(item.get("content")))
        else:
            yield _medium(item) or TextPart(text=_as_text(item))


def _content(part: _Json) -> Any:
    return part.get("transcript") or "" if part["part_kind"] == "speech" else part.get("content")


def _said(role: str, parts: Sequence[Part]) -> Message:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return Message(role, parts[0].text)
    return Message.of(role, parts)


def _medium(item: Any) -> MediaPart | None:
    """Return the medium that an item is; None if it is something else."""
    kind = item.get("kind") if isinstance(item, dict) else None
    if kind == "binary" and isinstance(item.get("data"), str):
        data, media_type = _decoded(item["data"]), item.get("media_type")
        if data:
            return MediaPart(kind=_kind(media_type), media_type=media_type, data=data)
    shown = _URLS.get(kind) if isinstance(kind, str) else None
    if shown is not None and isinstance(item.get("url"), str):
        return MediaPart(kind=shown, media_type=item.get("media_type"), url=item["url"])
    if kind == "uploaded-file" and isinstance(item.get("file_id"), str):
        media_type = item.get("media_type")
        return MediaPart(kind=_kind(media_type), media_type=media_type, file_id=item["file_id"])
    return None


_URLS: Mapping[str, _Kind] = {
    "image-url": "image",
    "audio-url": "audio",
    "video-url": "video",
    "document-url": "document",
}


def _decoded(data: str) -> bytes:
    try:
        return b64decode(data.replace("-", "+").replace("_", "/"))
    except ValueError:
        return b""


def _kind(media_type: str | None) -> _Kind:
    kind = (media_type or "").partition("/")[0]
    return cast(_Kind, kind) if kind in ("image", "audio", "video") else "document"


def _native(part: _Json) -> NativePart:
    """Return a part that has no other form; a request for any API names it as lost."""
    item = {"type": part["part_kind"], **part}
    return NativePart(native=Native(_API, json.dumps(item, ensure_ascii=False)))


def _is_text(part: _Json) -> bool:
    return isinstance(part.get("content"), str)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
