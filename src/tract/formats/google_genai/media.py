"""Media of other APIs as `inlineData` and `fileData`."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable
from pathlib import PurePosixPath

from tract.formats.common.media import held
from tract.formats.format import Json
from tract.history.media import in_base64
from tract.protocols.parts import MediaPart

__all__ = ["IN_RESPONSES", "media_data"]

IN_RESPONSES = re.compile(r"image/(?:jpeg|png|webp)|application/pdf|text/plain")
"""The media types that a function's response may hold."""

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_SOUNDS = ((b"OggS", "audio/ogg"), (b"fLaC", "audio/flac"), (b"ID3", "audio/mpeg"))
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
    found = held(part, load, _sound)
    if isinstance(found, str):
        return found
    if found is None:
        return _of_url(part.url or "", part)
    if not _MEDIA_TYPE.fullmatch(found.media_type):
        return "its media type is not known"
    return {"inlineData": {"mimeType": found.media_type, "data": in_base64(found.data)}}


def _file(uri: str, media_type: str | None) -> Json:
    named = {} if media_type is None else {"mimeType": media_type}
    return {"fileData": {"fileUri": uri, **named}}


def _of_url(url: str, part: MediaPart) -> Json | str:
    if not url.startswith(("https://", "http://", "gs://")):
        return "the API takes no such URL"
    guessed = _BY_SUFFIX.get(PurePosixPath(url.partition("?")[0]).suffix.lower())
    return _file(url, part.media_type or guessed or _UNSAID.get(part.kind))


def _sound(data: bytes) -> str | None:
    """Return the media type of a sound, which this API takes as well."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    return next((kind for begin, kind in _SOUNDS if data.startswith(begin)), None)
