"""Media of any origin as image and file blocks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from tract.formats.format import Json
from tract.history.media import in_base64
from tract.parts import MediaPart

__all__ = ["IMAGES", "media_block"]

IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
"""The media types of images that the API takes."""
_PDF = "application/pdf"
_OFFICE = "application/vnd.openxmlformats-officedocument."
_FILES = {
    _PDF: "pdf",
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
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,", re.IGNORECASE)
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", _PDF),
)


def media_block(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    """Return the block that shows a medium, or else why there is none."""
    if part.kind not in ("image", "document"):
        return f"the API takes no {part.kind}"
    if part.file_id is not None:
        return _of_file(part, part.file_id)
    if part.url is not None and not part.url.startswith("data:"):
        return _of_url(part, part.url)
    if part.url is not None:
        found = _DATA_URL.match(part.url)
        try:
            data = base64.b64decode(part.url[found.end() :], validate=True) if found else b""
        except (binascii.Error, ValueError):
            data = b""
        return _of_bytes(part, data, found[1] if found and found[1] else part.media_type)
    data = load(part.attachment) if part.attachment is not None else part.data or b""
    return _of_bytes(part, data, part.media_type)


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


def _of_bytes(part: MediaPart, data: bytes, media_type: str | None) -> Json | str:
    if not data:
        return "its bytes are not there"
    found = _seen(data) or (media_type or "").partition(";")[0].strip().lower()
    if found not in _FILES and _is_text(found):
        found = "text/plain"
    encoded = f"data:{found};base64,{in_base64(data)}"
    if found in IMAGES:
        return _image(part, "image_url", encoded)
    if found not in _FILES:
        return f"the API takes no {found}" if found else "its media type is not known"
    name = part.name or f"document.{_FILES[found]}"
    return {"type": "input_file", "filename": name, "file_data": encoded}


def _image(part: MediaPart, key: str, value: str) -> Json:
    detail = part.detail if part.detail in _DETAILS else "auto"
    return {"type": "input_image", key: value, "detail": detail}


def _seen(data: bytes) -> str | None:
    """Return the media type that the bytes show; providers refuse one that differs."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begin, kind in _BEGINNINGS if data.startswith(begin)), None)


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.endswith(("json", "xml", "yaml"))
