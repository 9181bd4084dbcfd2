"""Media of other APIs as `inlineData` and `fileData`."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Callable
from pathlib import PurePosixPath

from tract.formats.format import Json
from tract.history.media import in_base64
from tract.parts import MediaPart

__all__ = ["IN_RESPONSES", "media_data"]

IN_RESPONSES = re.compile(r"image/(?:jpeg|png|webp)|application/pdf|text/plain")
"""The media types that a function's response may hold."""

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
# `mimetypes.guess_type` would read files, on the event loop, and differ from machine to machine.
_BY_SUFFIX = {**mimetypes.common_types, **mimetypes.types_map}
_UNSAID = {"image": "image/jpeg", "video": "video/mp4"}
"""What a URL most likely holds if neither it nor the message says so."""


def media_data(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    """Return the part that holds a medium, or else why there is none."""
    if part.file_id is not None:
        # Google's are URIs; OpenAI's begin with `file-`, Anthropic's with `file_`.
        if not part.file_id.startswith(("https://", "gs://", "files/")):
            return "another provider keeps the file"
        return _file(part.file_id, part.media_type)
    if part.url is not None:
        return _of_url(part)
    data = load(part.attachment) if part.attachment is not None else part.data
    return _of_bytes(data or b"", part.media_type)


def _file(uri: str, media_type: str | None) -> Json:
    named = {} if media_type is None else {"mimeType": media_type}
    return {"fileData": {"fileUri": uri, **named}}


def _of_url(part: MediaPart) -> Json | str:
    url = part.url or ""
    found = _DATA_URL.match(url)
    if found is not None:
        try:
            data = base64.b64decode(url[found.end() :], validate=True)
        except (binascii.Error, ValueError):
            return "the data URL does not hold base64"
        return _of_bytes(data, found[1] or part.media_type)
    if not url.startswith(("https://", "http://", "gs://")):
        return "the API takes no such URL"
    guessed = _BY_SUFFIX.get(PurePosixPath(url.partition("?")[0]).suffix.lower())
    return _file(url, part.media_type or guessed or _UNSAID.get(part.kind))


def _of_bytes(data: bytes, media_type: str | None) -> Json | str:
    named = _seen(data) or (media_type or "").partition(";")[0].strip().lower()
    if not data:
        return "its bytes are not there"
    if not _MEDIA_TYPE.fullmatch(named):
        return "its media type is not known"
    encoded = in_base64(data)
    return {"inlineData": {"mimeType": named, "data": encoded}}


def _seen(data: bytes) -> str | None:
    """Return the media type that the bytes show."""
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12])
    return next((kind for begin, kind in _BEGINNINGS if data.startswith(begin)), None)
