"""Base64 in an API's item, taken out into attachments and put back to the byte.

An image in a message is megabytes of base64. Stored with the item, it would be hashed, read and
parsed again for every message, and once more for every commit that repeats it. So each long base64
string, or data URL, is replaced by a reference:

    {"$attachment": <SHA-256>, "bytes": 4194304, "width": 2048, "height": 1536}

`prefix` holds what came before the base64, as in `data:image/png;base64,`, and `alphabet` is `url`
for the URL-safe one. Only what decodes and encodes to the very same string is taken out, and only where
APIs have media: a text that happens to be base64 stays a text. An object that has a key
`$attachment` of its own is wrapped: `{"$attachment": null, "value": {...}}`.

A program's state may hold bytes themselves. Their `alphabet` is `none`; and since attachments are not
empty, no bytes at all are `{"$attachment": null, "bytes": 0}`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "LEAST",
    "MARK",
    "Encoded",
    "Reference",
    "TakenOut",
    "attachments_in",
    "in_base64",
    "may_hold",
    "may_refer",
    "put_back",
    "reference",
    "references",
    "take_out",
    "take_out_bytes",
]

MARK = "$attachment"
LEAST = 1024
"""Characters of base64 below which a string stays where it is."""

_QUOTED = f'"{MARK}"'
_AS_BYTES = "none"
_EMPTY = {MARK: None, "bytes": 0}
_PIECE = 1 << 18
"""Characters of base64 that are made at once: a call for a whole image holds the GIL too long."""
_PIECE_OF_BYTES = _PIECE // 4 * 3
_DATA_URL = re.compile(r"data:[^,]{0,255};base64,")
_HASH = re.compile(r"[0-9a-f]{64}")
_SIGNED = re.compile(r"signature|encrypted|thinking|text|arguments|token", re.IGNORECASE)
"""Keys whose strings stay: signed and encrypted values are not media, though they may be base64."""
_MEDIA = re.compile(
    r"data|bytes|b64|base64|image|audio|video|document|file|blob|media|screenshot|result|ur[il]",
    re.IGNORECASE,
)
"""Keys whose strings may be base64 without saying so, as a data URL does."""
_DECODERS: tuple[tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]], ...] = (
    ("standard", base64.b64encode, lambda text: base64.b64decode(text, validate=True)),
    ("url", base64.urlsafe_b64encode, base64.urlsafe_b64decode),
)


class Reference(NamedTuple):
    """What an item says of bytes that are kept elsewhere."""

    sha256: str
    size: int
    """Bytes."""
    prefix: str = ""
    alphabet: str = "standard"
    width: int | None = None
    height: int | None = None

    @property
    def media_type(self) -> str | None:
        """The media type that a data URL names."""
        named = self.prefix.removeprefix("data:").partition(";")[0]
        return named or None

    def to_json(self) -> dict[str, Any]:
        """Return the object that stands in the item."""
        plain: dict[str, Any] = {MARK: self.sha256, "bytes": self.size}
        if self.prefix:
            plain["prefix"] = self.prefix
        if self.alphabet != "standard":
            plain["alphabet"] = self.alphabet
        if self.width is not None:
            plain |= {"width": self.width, "height": self.height}
        return plain


class TakenOut(NamedTuple):
    """An item with references in place of its media, and the media by SHA-256."""

    item: Any
    media: dict[str, bytes]


def reference(value: object) -> Reference | None:
    """Return the reference that *value* is, or None."""
    if not isinstance(value, dict):
        return None
    named = value.get(MARK)
    if not isinstance(named, str) or _HASH.fullmatch(named) is None:
        return None
    return Reference(
        named,
        value.get("bytes", 0),
        value.get("prefix", ""),
        value.get("alphabet", "standard"),
        value.get("width"),
        value.get("height"),
    )


def take_out(
    item: Any, measure: Callable[[bytes], tuple[int, int] | None] = lambda _: None
) -> TakenOut:
    """Return *item* with references in place of its media; *item* is left as it is.

    *measure* returns the width and height of an image in pixels, where its header says so.
    """
    media: dict[str, bytes] = {}

    def taken(value: Any, key: str) -> Any:
        if type(value) is dict:
            inner = {name: taken(each, str(name)) for name, each in value.items()}
            return {MARK: None, "value": inner} if MARK in inner else inner
        if type(value) is list:
            return [taken(each, key) for each in value]
        if type(value) is not str or len(value) < LEAST or _SIGNED.search(key):
            return value
        found = _decoded(value, bare=_MEDIA.search(key) is not None)
        if found is None:
            return value
        data, prefix, alphabet = found
        sha256 = hashlib.sha256(data).hexdigest()
        media[sha256] = data
        width, height = measure(data) or (None, None)
        return Reference(sha256, len(data), prefix, alphabet, width, height).to_json()

    return TakenOut(taken(item, ""), media)


def take_out_bytes(value: Any) -> TakenOut:
    """Return *value* with references in place of the bytes in it; *value* is left as it is."""
    media: dict[str, bytes] = {}

    def taken(value: Any) -> Any:
        kind = type(value)
        if issubclass(kind, dict):
            inner = {key: taken(each) for key, each in value.items()}
            return {MARK: None, "value": inner} if MARK in inner else inner
        if issubclass(kind, list | tuple):
            return [taken(each) for each in value]
        if not issubclass(kind, bytes):
            return value
        data = bytes(value)
        if not data:
            return dict(_EMPTY)
        sha256 = hashlib.sha256(data).hexdigest()
        media[sha256] = data
        return Reference(sha256, len(data), alphabet=_AS_BYTES).to_json()

    return TakenOut(taken(value), media)


def put_back(item: Any, load: Callable[[str], bytes]) -> Any:
    """Return *item* with its media in place of the references; *load* returns bytes by SHA-256."""
    if type(item) is list:
        return [put_back(each, load) for each in item]
    if type(item) is not dict:
        return item
    found = reference(item)
    if found is not None:
        if found.alphabet == _AS_BYTES:
            return bytes(load(found.sha256))
        text = in_base64(load(found.sha256))
        if found.alphabet == "url":
            text = text.replace("+", "-").replace("/", "_")
        return f"{found.prefix}{text}" if found.prefix else text
    if item == _EMPTY:
        return b""
    return {key: put_back(each, load) for key, each in _unwrapped(item).items()}


class Encoded(bytes):
    """Bytes that know their base64: making it of megabytes would block who wants it at once."""

    base64: str

    @classmethod
    def of(cls, data: bytes) -> Encoded:
        """Return *data* with its base64."""
        made = cls(data)
        made.base64 = in_base64(data)
        return made


def in_base64(data: bytes) -> str:
    """Return the base64 of *data*; at once, if it is `Encoded`."""
    if isinstance(data, Encoded):
        return data.base64
    pieces = (data[at : at + _PIECE_OF_BYTES] for at in range(0, len(data), _PIECE_OF_BYTES))
    return "".join(base64.b64encode(piece).decode("ascii") for piece in pieces)


def _unwrapped(item: dict[str, Any]) -> dict[str, Any]:
    """Return the object that was wrapped, because it has a key `$attachment` of its own."""
    wrapped = item.get("value") if MARK in item and item[MARK] is None else None
    return wrapped if type(wrapped) is dict else item


def references(item: Any) -> Iterator[Reference]:
    """Yield the references in an item from which media were taken out."""
    if type(item) is list:
        for each in item:
            yield from references(each)
    elif type(item) is dict:
        found = reference(item)
        if found is not None:
            yield found
            return
        for each in _unwrapped(item).values():
            yield from references(each)


def may_refer(stored: bytes) -> bool:
    """Return False if a content, as canonical JSON, certainly has no references; this is quick."""
    return _QUOTED.encode() in stored


def may_hold(text: str) -> bool:
    """Return False if JSON certainly has no references, however it is written; this is quick."""
    return _QUOTED in text or "\\u" in text


def attachments_in(content_type: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the SHA-256 of each attachment that a stored content refers to, in order."""
    if content_type == "native":
        return tuple(dict.fromkeys(each.sha256 for each in references(fields["item"])))
    if content_type == "message":
        return tuple(dict.fromkeys(_named_by(fields["parts"])))
    if content_type == "state":
        return tuple(dict.fromkeys(each.sha256 for each in references(fields["payload"])))
    if content_type == "tool_io" and type(fields["payload"]) is list:
        return tuple(dict.fromkeys(each.sha256 for each in references(fields["payload"])))
    if content_type == "compaction" and fields["summary"] is not None:
        return attachments_in(fields["summary"]["content_type"], fields["summary"])
    return ()


def _named_by(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for part in parts:
        if part.get("attachment") is not None:
            yield part["attachment"]
        native = part.get("native")
        if native is not None and _QUOTED in native["text"]:
            try:
                item = json.loads(native["text"])
            except ValueError:  # whatever it is, no format reads it
                continue
            yield from (each.sha256 for each in references(item))
        yield from _named_by(part.get("parts", ()))


def _decoded(text: str, *, bare: bool) -> tuple[bytes, str, str] | None:
    """Return the bytes of base64 text, its prefix and its alphabet; None if it is something else.

    Unless *bare*, it must be a data URL.
    """
    url = _DATA_URL.match(text)
    if url is None and not bare:
        return None
    prefix = url.group() if url else ""
    if (len(text) - len(prefix)) % 4 or not text.isascii():
        return None
    for alphabet, encode, decode in _DECODERS:
        data = _whole(text, len(prefix), encode, decode)
        if data is not None:
            return data, prefix, alphabet
    return None


def _whole(
    text: str, start: int, encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes]
) -> bytes | None:
    """Return what *text* encodes from *start* on, if *encode* gives the very same text."""
    pieces: list[bytes] = []
    for at in range(start, len(text), _PIECE):
        encoded = text[at : at + _PIECE].encode("ascii")
        try:
            data = decode(encoded)
        except (binascii.Error, ValueError):
            return None
        padded = encoded.endswith(b"=") and at + _PIECE < len(text)  # only the end may be
        if padded or encode(data) != encoded:
            return None
        pieces.append(data)
    return b"".join(pieces)
