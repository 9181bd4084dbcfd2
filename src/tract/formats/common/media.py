"""Media: where they are, in and out."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from tract.history.media import reference
from tract.protocols.parts import MediaPart

__all__ = [
    "IMAGES",
    "PDF",
    "Held",
    "attached",
    "bytes_of",
    "decoded",
    "held",
    "is_text",
    "kind_of_media",
]

IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
"""The media types of images that every API takes."""
PDF = "application/pdf"

Load = Callable[[str], bytes]
Kind = Literal["image", "audio", "video", "document"]

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,", re.IGNORECASE)
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", PDF),
)
_KINDS: dict[str, Kind] = {"audio": "audio", "image": "image", "video": "video"}


class Held(NamedTuple):
    """The bytes of a medium, and their media type; empty if nothing tells."""

    data: bytes
    media_type: str


def held(
    part: MediaPart, load: Load, seen: Callable[[bytes], str | None] = lambda _: None
) -> Held | str | None:
    """Return a medium's bytes, or why they are not there; None if they are behind a URL.

    Providers refuse a media type that differs from what the bytes show, so that goes first; *seen*
    knows more beginnings of files than all APIs have in common.
    """
    data, media_type = part.data, part.media_type
    if part.url is not None:
        found = _DATA_URL.match(part.url)
        if found is None:
            return None
        data, media_type = decoded(part.url[found.end() :]), found[1] or media_type
        if data is None:
            return "the data URL does not hold base64"
    else:
        data = bytes_of(part, load)
    if not data:
        return "its bytes are not there"
    shown = _seen(data) or seen(data)
    return Held(data, shown or (media_type or "").partition(";")[0].strip().lower())


def bytes_of(part: MediaPart, load: Load) -> bytes:
    """Return the bytes of a medium that is not behind a URL."""
    return (part.data if part.attachment is None else load(part.attachment)) or b""


def _seen(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begin, kind in _BEGINNINGS if data.startswith(begin)), None)


def decoded(text: str) -> bytes | None:
    """Return the bytes of base64, or None if *text* is something else."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def is_text(media_type: str) -> bool:
    """Return True if a document of that type is read as text."""
    return media_type.startswith("text/") or media_type.endswith(("json", "xml", "yaml"))


def attached(value: Any) -> dict[str, Any] | None:
    """Return the fields of a `MediaPart` that a reference to an attachment gives; None if none."""
    found = reference(value)
    if found is None:
        return None
    size = {} if found.width is None else {"width": found.width, "height": found.height}
    return {"attachment": found.sha256, "media_type": found.media_type, **size}


def kind_of_media(media_type: Any) -> Kind:
    """Return what a media type is of; anything unknown is a document."""
    return _KINDS.get(str(media_type).partition("/")[0], "document")
