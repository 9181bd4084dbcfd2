"""Content blocks as parts, and media of any origin as image and file blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tract.formats.common.media import (
    IMAGES,
    PDF,
    attached,
    decoded,
    held,
    is_text,
    kind_of_media,
)
from tract.formats.common.values import objects, string
from tract.formats.format import Json
from tract.formats.openai_responses.kinds import API
from tract.history.canonical import canonical_json
from tract.history.media import in_base64
from tract.protocols.parts import MediaPart, Native, NativePart, Part, RefusalPart, TextPart

__all__ = ["blocks", "media_block", "native_of", "source_of", "texts_of"]

_DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,")
_OFFICE = "application/vnd.openxmlformats-officedocument."
_FILES = {
    PDF: "pdf",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}presentationml.presentation": "pptx",
    f"{_OFFICE}spreadsheetml.sheet": "xlsx",
    f"{_OFFICE}wordprocessingml.document": "docx",
    "text/csv": "csv",
    "text/plain": "txt",
    "text/tab-separated-values": "tsv",
}
"""The media types of files that the API takes as they are, with their suffixes."""
_DETAILS = frozenset({"auto", "high", "low", "original"})
_TEXTS = frozenset({"input_text", "output_text", "reasoning_text", "summary_text", "text"})


def native_of(item: Json) -> Native:
    """Return an item, or a block of one, as text."""
    return Native(API, canonical_json(item, surrogates=True))


def texts_of(given: Any) -> list[str]:
    """Return the texts of a list of blocks."""
    found = [each.get("text") for each in objects(given)]
    return [text for text in found if isinstance(text, str) and text]


def blocks(content: Any, keep: bool) -> Iterator[Part]:
    """Yield the parts of a message's content, or of a result's output."""
    if isinstance(content, str):
        yield TextPart(text=content)
    elif isinstance(content, dict):  # a string of base64 that was taken out
        source = source_of(content)
        if source:
            yield MediaPart(kind=kind_of_media(source.get("media_type")), **source)
        else:
            yield NativePart(native=native_of(content))
    for block in objects(content):
        yield _part(block, keep)


def source_of(value: Any, file_id: Any = None, *, bare: bool = False) -> dict[str, Any]:
    """Return the fields of a `MediaPart` that say where a medium is; none if nothing does.

    *bare* takes base64 without the beginning of a data URL, too.
    """
    found = attached(value)
    if found is not None:
        return found
    if isinstance(value, str) and value:
        url = _DATA_URL.match(value)
        data = decoded(value[url.end() :] if url else value) if url or bare else None
        if data:
            return {"data": data, "media_type": (url[1] or None) if url else None}
        if not bare or value.startswith(("https://", "http://")):
            return {"url": value}
    return {"file_id": file_id} if isinstance(file_id, str) and file_id else {}


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
    name = string(block.get("filename"))
    return MediaPart(kind="document", name=name, **source, **more) if source else None


def _sound(given: Any, more: dict[str, Any]) -> MediaPart | None:
    sound = given if isinstance(given, dict) else {}
    source = source_of(sound.get("data"), bare=True)
    if not source:
        return None
    form = sound.get("format")
    if isinstance(form, str) and form and not source.get("media_type"):
        source["media_type"] = "audio/mpeg" if form == "mp3" else f"audio/{form}"
    return MediaPart(kind="audio", **source, **more)


def media_block(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    """Return the block that shows a medium, or else why there is none."""
    if part.kind not in ("image", "document"):
        return f"the API takes no {part.kind}"
    if part.file_id is not None:
        return _of_file(part, part.file_id)
    found = held(part, load)
    if isinstance(found, str):
        return found
    return _of_url(part, part.url or "") if found is None else _of_bytes(part, *found)


def _of_file(part: MediaPart, file_id: str) -> Json | str:
    # OpenAI's begin with `file-`, Anthropic's with `file_`, Gemini's with `files/`.
    if not file_id.startswith("file-"):
        return "another provider keeps the file"
    if part.kind == "image":
        return _image(part, "file_id", file_id)
    return {"type": "input_file", "file_id": file_id}


def _of_url(part: MediaPart, url: str) -> Json | str:
    if not url.startswith(("https://", "http://")):
        return "the API takes no such URL"
    if part.kind == "image":
        return _image(part, "image_url", url)
    return {"type": "input_file", "file_url": url}


def _of_bytes(part: MediaPart, data: bytes, media_type: str) -> Json | str:
    found = "text/plain" if media_type not in _FILES and is_text(media_type) else media_type
    url = f"data:{found};base64,{in_base64(data)}"
    if found in IMAGES:
        return _image(part, "image_url", url)
    if found not in _FILES:
        return f"the API takes no {found}" if found else "its media type is not known"
    name = part.name or f"document.{_FILES[found]}"
    return {"type": "input_file", "filename": name, "file_data": url}


def _image(part: MediaPart, key: str, value: str) -> Json:
    detail = part.detail if part.detail in _DETAILS else "auto"
    return {"type": "input_image", key: value, "detail": detail}
