"""Media of other APIs as image and document blocks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from tract.formats.format import Json
from tract.history.media import in_base64
from tract.parts import MediaPart

__all__ = ["media_block"]

_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
_PDF = "application/pdf"
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
    source = _source(part, load)
    if isinstance(source, str):
        return source
    media_type = source.get("media_type") or (part.media_type if "url" in source else None)
    kind = part.kind
    if media_type is not None:
        kind = "image" if media_type in _IMAGES else "document"
    block: Json = {"type": kind, "source": source}
    if part.name is not None and part.name.strip() and kind == "document":
        block["title"] = part.name
    return block


def _source(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    if part.file_id is not None:
        # Anthropic's begin so, and nobody else's: OpenAI's begin with `file-`, Gemini's with `files/`.
        if part.file_id.startswith("file_"):
            return {"type": "file", "file_id": part.file_id}
        return "another provider keeps the file"
    if part.url is not None:
        return _of_url(part.url, part.media_type)
    data = load(part.attachment) if part.attachment is not None else part.data
    return _of_bytes(data or b"", part.media_type)


def _of_url(url: str, media_type: str | None) -> Json | str:
    found = _DATA_URL.match(url)
    if found is not None:
        try:
            data = base64.b64decode(url[found.end() :], validate=True)
        except (binascii.Error, ValueError):
            return "the data URL does not hold base64"
        return _of_bytes(data, found[1] or media_type)
    if not url.startswith(("https://", "http://")):
        return "the API takes no such URL"
    if media_type is not None and media_type not in _IMAGES | {_PDF}:
        return f"the API takes no {media_type}"
    return {"type": "url", "url": url}


def _of_bytes(data: bytes, media_type: str | None) -> Json | str:
    found = _seen(data) or (media_type or "").partition(";")[0].strip().lower()
    if not data:
        return "its bytes are not there"
    if found in _IMAGES or found == _PDF:
        encoded = in_base64(data)
        return {"type": "base64", "media_type": found, "data": encoded}
    text = _text(data) if _is_text(found) else None
    if text is None or not text.strip():
        return f"the API takes no {found}" if found else "its media type is not known"
    return {"type": "text", "media_type": "text/plain", "data": text}


def _seen(data: bytes) -> str | None:
    """Return the media type that the bytes show; providers refuse one that differs."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begin, kind in _BEGINNINGS if data.startswith(begin)), None)


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.endswith(("json", "xml", "yaml"))


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
