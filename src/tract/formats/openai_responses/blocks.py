"""Content blocks as parts, and where their media are."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, Literal

from tract.formats.format import Json
from tract.formats.openai_responses.kinds import API
from tract.history.canonical import canonical_json
from tract.history.media import reference
from tract.parts import MediaPart, Native, NativePart, Part, RefusalPart, TextPart

__all__ = ["blocks", "native_of", "source_of", "texts_of"]

_DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,")
_TEXTS = frozenset({"input_text", "output_text", "reasoning_text", "summary_text", "text"})


def native_of(item: Json) -> Native:
    """Return an item, or a block of one, as text."""
    return Native(API, canonical_json(item, surrogates=True))


def texts_of(given: Any) -> list[str]:
    """Return the texts of a list of blocks."""
    found = [each.get("text") for each in _objects(given)]
    return [text for text in found if isinstance(text, str) and text]


def blocks(content: Any, keep: bool) -> Iterator[Part]:
    """Yield the parts of a message's content, or of a result's output."""
    if isinstance(content, str):
        yield TextPart(text=content)
    elif isinstance(content, dict):  # a string of base64 that was taken out
        source = source_of(content)
        if source:
            yield MediaPart(kind=_kind_by_type(source.get("media_type")), **source)
        else:
            yield NativePart(native=native_of(content))
    for block in _objects(content):
        yield _part(block, keep)


def source_of(value: Any, file_id: Any = None, *, bare: bool = False) -> dict[str, Any]:
    """Return the fields of a `MediaPart` that say where a medium is; none if nothing does.

    *bare* takes base64 without the beginning of a data URL, too.
    """
    found = reference(value)
    if found is not None:
        size = {} if found.width is None else {"width": found.width, "height": found.height}
        return {"attachment": found.sha256, "media_type": found.media_type, **size}
    if isinstance(value, str) and value:
        url = _DATA_URL.match(value)
        if url is not None or bare:
            data = _decoded(value[url.end() :] if url else value)
            if data is not None:
                return {"data": data, "media_type": (url[1] or None) if url else None}
        if not bare or value.startswith(("https://", "http://")):
            return {"url": value}
    return {"file_id": file_id} if isinstance(file_id, str) and file_id else {}


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _part(block: Json, keep: bool) -> Part:
    kind = block.get("type")
    text = block.get("text")
    native = native_of(block) if keep else None
    if isinstance(kind, str) and kind in _TEXTS and isinstance(text, str):
        return TextPart(text=text, native=native)
    if kind == "refusal" and isinstance(block.get("refusal"), str):
        return RefusalPart(text=block["refusal"], native=native)
    medium = _medium(kind, block, native)
    return NativePart(native=native or native_of(block)) if medium is None else medium


def _medium(kind: Any, block: Json, native: Native | None) -> MediaPart | None:
    detail = block.get("detail")
    more: dict[str, Any] = {"native": native, "detail": detail if isinstance(detail, str) else None}
    if kind == "input_image":
        source = source_of(block.get("image_url"), block.get("file_id"))
        return MediaPart(kind="image", **source, **more) if source else None
    if kind == "input_audio":
        return _sound(block.get("input_audio"), more)
    if kind != "input_file":
        return None
    source = source_of(block.get("file_data"), bare=True)
    source = source or source_of(block.get("file_url"), block.get("file_id"))
    name = block.get("filename")
    named = name if isinstance(name, str) and name else None
    return MediaPart(kind="document", name=named, **source, **more) if source else None


def _sound(given: Any, more: dict[str, Any]) -> MediaPart | None:
    sound = given if isinstance(given, dict) else {}
    source = source_of(sound.get("data"), bare=True)
    if not source:
        return None
    form = sound.get("format")
    if isinstance(form, str) and form and not source.get("media_type"):
        source["media_type"] = "audio/mpeg" if form == "mp3" else f"audio/{form}"
    return MediaPart(kind="audio", **source, **more)


def _kind_by_type(media_type: Any) -> Literal["image", "audio", "video", "document"]:
    kind = str(media_type).partition("/")[0]
    if kind == "image":
        return "image"
    return "audio" if kind == "audio" else "video" if kind == "video" else "document"


def _objects(given: Any) -> list[Json]:
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
