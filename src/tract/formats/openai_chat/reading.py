"""Chat Completions messages as parts.

With *keep*, each part has its own JSON: a part of a list of contents and a call as they stand
there, anything else as the piece of the message that holds it, such as `{"reasoning": "…"}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tract.formats.common.values import as_text
from tract.formats.format import Json, Reading
from tract.formats.openai_chat.media import read_blob, read_media
from tract.formats.openai_chat.shapes import REASONING, native, signature_of
from tract.history.media import reference
from tract.protocols.parts import (
    MediaPart,
    Native,
    NativePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["read"]

_Keep = Callable[[Any], Native | None]
_SAID = frozenset({"role", "name", "content"})


def read(item: Json, *, keep: bool = False) -> Reading:
    """Return a message as parts; whatever it holds, it has a reading."""
    role = item.get("role")
    if not isinstance(role, str):
        return Reading("assistant", (NativePart(native=native(item)),))
    name = _text(item, "name")
    if role in ("tool", "function"):
        return Reading("tool", (_result(item, role, name, keep=keep),), None)
    kept: _Keep = native if keep else _nothing
    return Reading(role, tuple(_parts(item, kept)), name)


def _nothing(_: Any) -> None:
    return None


def _text(item: Json, key: str) -> str | None:
    value = item.get(key)
    return value if isinstance(value, str) else None


def _result(item: Json, role: str, name: str | None, *, keep: bool) -> ToolResultPart:
    known = _SAID | {"tool_call_id"}
    others = (NativePart(native=native({key: item[key]})) for key in item if key not in known)
    return ToolResultPart(
        call_id=_text(item, "tool_call_id") if role == "tool" else None,
        parts=(*_contents(item.get("content"), _nothing), *others),
        name=name,
        native=native(item) if keep else None,
    )


def _parts(item: Json, kept: _Keep) -> Iterator[Part]:
    """Yield the parts of a message in the order in which a model gives them."""
    seen = set(_SAID)
    for keys, reader in _FIELDS:
        if any(item.get(key) is not None for key in keys):
            yield from reader(item, kept)
        seen.update(keys)
    for key, value in item.items():
        if key not in seen and value not in (None, []):
            yield NativePart(native=native({key: value}))


def _thinking(item: Json, kept: _Keep) -> Iterator[Part]:
    """Yield what a model thought; `reasoning` repeats the texts of `reasoning_details`."""
    said = {key: value for key in REASONING if isinstance(value := item.get(key), str) and value}
    details = item.get("reasoning_details")
    given = details if isinstance(details, list) else []
    listed = [_detail(each) for each in given]
    if any(part.text for part in listed):
        repeated = said
    else:
        repeated = {}
        for text in dict.fromkeys(said.values()):
            same = {key: text for key in said if said[key] == text}
            yield ThinkingPart(text=text, native=kept(same))
    for part, each in zip(listed, given, strict=True):
        piece = {"reasoning_details": [each], **repeated}
        repeated = {}
        yield replace(part, native=kept(piece))
    strange = {key: item[key] for key in REASONING if not isinstance(item.get(key), str | None)}
    if not listed and details:
        strange["reasoning_details"] = details
    for key, value in strange.items():
        yield NativePart(native=native({key: value}))


def _detail(given: Any) -> ThinkingPart:
    detail = given if isinstance(given, dict) else {}
    return ThinkingPart(
        text=_text(detail, "text") or _text(detail, "summary") or "",
        signature=_text(detail, "signature"),
        encrypted=_text(detail, "data"),
        id=_text(detail, "id"),
    )


def _signed(item: Json, kept: _Keep) -> Iterator[Part]:
    """Yield the thought signature that Gemini gives to a message."""
    keys = [key for key in ("extra_content", "thought_signature") if key in item]
    signature = signature_of(item) or _text(item, "thought_signature")
    piece = {key: item[key] for key in keys}
    if signature:
        yield ThinkingPart(signature=signature, native=kept(piece))
    else:
        yield NativePart(native=native(piece))


def _content(item: Json, kept: _Keep) -> Iterator[Part]:
    return _contents(item["content"], kept)


def _contents(content: Any, kept: _Keep) -> Iterator[Part]:
    if isinstance(content, str):
        yield TextPart(text=content, native=kept({"content": content}))
    elif isinstance(content, list):
        for block in content:
            yield _block(block, kept)
    elif content is not None:
        piece = {"content": content}
        medium = read_blob(content)
        yield (
            NativePart(native=native(piece))
            if medium is None
            else replace(medium, native=kept(piece))
        )


def _block(block: Any, kept: _Keep) -> Part:
    if not isinstance(block, dict):
        return NativePart(native=native({"content": [block]}))
    kind, piece = block.get("type"), kept(block)
    text = _text(block, "text")
    if kind == "text" and text is not None:
        return TextPart(text=text, native=piece)
    refusal = _text(block, "refusal")
    if kind == "refusal" and refusal is not None:
        return RefusalPart(text=refusal, native=piece)
    if kind == "thinking":
        return ThinkingPart(text=_thought(block), signature=_text(block, "signature"), native=piece)
    medium = read_media(block)
    if medium is None:
        return NativePart(native=native(block))
    return replace(medium, native=piece)


def _thought(block: Json) -> str:
    """Return the text of a thinking part, which Mistral gives as a list of parts."""
    thought = block.get("thinking")
    if isinstance(thought, list):
        return "".join(_text(each, "text") or "" for each in thought if isinstance(each, dict))
    return thought if isinstance(thought, str) else ""


def _refusal(item: Json, kept: _Keep) -> Iterator[Part]:
    refusal = item["refusal"]
    if not isinstance(refusal, str):
        yield NativePart(native=native({"refusal": refusal}))
    elif refusal:
        yield RefusalPart(text=refusal, native=kept({"refusal": refusal}))


def _audio(item: Json, kept: _Keep) -> Iterator[Part]:
    """Yield what a model spoke, and what it says in writing."""
    audio = item["audio"]
    said = audio if isinstance(audio, dict) else {}
    found, file_id = reference(said.get("data")), _text(said, "id")
    piece = kept({"audio": audio})
    if found is not None:
        yield MediaPart(kind="audio", attachment=found.sha256, native=piece)
    elif file_id is not None:
        yield MediaPart(kind="audio", file_id=file_id, native=piece)
    else:
        yield NativePart(native=native({"audio": audio}))
        return
    transcript = _text(said, "transcript")
    if transcript:
        yield TextPart(text=transcript, native=piece)


def _images(item: Json, kept: _Keep) -> Iterator[Part]:
    """Yield images that a model made, where OpenRouter has them."""
    images = item["images"]
    for image in images if isinstance(images, list) else [images]:
        medium = read_media(image) if isinstance(image, dict) else None
        piece = {"images": [image] if isinstance(images, list) else image}
        if medium is None:
            yield NativePart(native=native(piece))
        else:
            yield replace(medium, native=kept(piece))


def _function_call(item: Json, kept: _Keep) -> Iterator[Part]:
    called = item["function_call"]
    piece = {"function_call": called}
    if isinstance(called, dict) and isinstance(called.get("name"), str):
        arguments = as_text(called.get("arguments"))
        yield ToolCallPart(id=None, name=called["name"], arguments=arguments, native=kept(piece))
    else:
        yield NativePart(native=native(piece))


def _tool_calls(item: Json, kept: _Keep) -> Iterator[Part]:
    calls = item["tool_calls"]
    if not isinstance(calls, list):
        yield NativePart(native=native({"tool_calls": calls}))
        return
    for call in calls:
        yield _call(call, kept)


def _call(call: Any, kept: _Keep) -> Part:
    if not isinstance(call, dict):
        return NativePart(native=native({"tool_calls": [call]}))
    custom = call.get("type") == "custom"
    called = call.get("custom" if custom else "function")
    name = called.get("name") if isinstance(called, dict) else None
    if not isinstance(called, dict) or not isinstance(name, str):
        return NativePart(native=native({"tool_calls": [call]}))
    return ToolCallPart(
        id=_text(call, "id"),
        name=name,
        arguments=as_text(called.get("input" if custom else "arguments")),
        kind="custom" if custom else "function",
        signature=signature_of(call),
        native=kept(call),
    )


_FIELDS: tuple[tuple[tuple[str, ...], Callable[[Json, _Keep], Iterator[Part]]], ...] = (
    ((*REASONING, "reasoning_details"), _thinking),
    (("extra_content", "thought_signature"), _signed),
    (("content",), _content),
    (("refusal",), _refusal),
    (("audio",), _audio),
    (("images",), _images),
    (("function_call",), _function_call),
    (("tool_calls",), _tool_calls),
)
"""The fields of a message that have a neutral form, in order, and their readers."""
