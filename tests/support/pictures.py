"""Images that are only as real as their headers, and a small API whose items may hold some."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tract import ContentModel, MediaPart, NativeContent, Part, TextPart
from tract.formats.format import Events, Format, Json, Reading, Sent, Writing
from tract.formats.registry import FORMATS
from tract.history.media import put_back, reference

__all__ = ["API", "PLAIN", "gif", "in_base64", "item_of", "jpeg", "png", "webp", "with_plain"]

API = "test.plain"


def png(width: int, height: int, rest: bytes = b"") -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + rest


def gif(width: int, height: int, rest: bytes = b"") -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + rest


def jpeg(width: int, height: int, rest: bytes = b"") -> bytes:
    """Return a JPEG with a comment and fill bytes before the frame."""
    comment = b"\xff\xfe" + struct.pack(">H", 5) + b"\xff\xc0!"
    frame = b"\xff\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width)
    return b"\xff\xd8" + comment + b"\xff\x01" + frame + rest


def webp(kind: bytes, width: int, height: int) -> bytes:
    if kind == b"VP8 ":
        body = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    elif kind == b"VP8L":
        body = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        body = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\0\0\0\0WEBP" + kind + struct.pack("<I", len(body)) + body


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def item_of(text: str, *media: bytes, role: str = "user") -> dict[str, Any]:
    """Return an item of the small API."""
    images = [{"media_type": "image/png", "data": in_base64(data)} for data in media]
    return {"role": role, "text": text, "media": images}


def _read(item: Json, *, keep: bool = False) -> Reading:
    parts: list[Part] = [TextPart(text=item["text"])]
    for each in item["media"]:
        found = reference(each["data"])
        assert found is not None
        parts.append(
            MediaPart(
                kind="image",
                attachment=found.sha256,
                width=found.width,
                height=found.height,
            )
        )
    return Reading(item["role"], tuple(parts))


def _contents(items: Sequence[Json]) -> list[ContentModel]:
    return [NativeContent(api=API, item=item) for item in items]


def _write(messages: Sequence[Sent], writing: Writing) -> Json:
    return {"items": [_written(sent, writing) for sent in messages]}


def _events() -> Events:
    raise NotImplementedError


def _written(sent: Sent, writing: Writing) -> Json:
    message = sent.message
    if message.native is not None and message.native.api == API:
        item: Json = put_back(message.native.item, writing.load)
        return item
    media = [part for part in message.parts if isinstance(part, MediaPart)]
    named = [writing.load(part.attachment) for part in media if part.attachment is not None]
    return item_of(message.content or "", *named, role=message.role)


PLAIN = Format(
    api=API,
    read=_read,
    contents=_contents,
    write=_write,
    read_tool=lambda tool: [],
    define=lambda tool, writing: None,
    reply=lambda reply: None,
    is_event=lambda event: False,
    events=_events,
)
"""An API whose messages have a text and images."""


@contextmanager
def with_plain() -> Iterator[Format]:
    """Let contexts be sent to the small API."""
    FORMATS[API] = made = PLAIN
    try:
        yield made
    finally:
        del FORMATS[API]
