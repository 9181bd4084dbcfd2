"""Base64 in an API's item, taken out into attachments and put back to the byte.

An image in a message is megabytes of base64. Stored with the item, it would be hashed, read and
parsed again for every message, and once more for every commit that repeats it. So each long base64
string, or data URL, is replaced by a reference:

    {"$attachment": <SHA-256>, "bytes": 4194304, "width": 2048, "height": 1536}

`prefix` holds what came before the base64, as in `data:image/png;base64,`, and `alphabet` is `url`
for the URL-safe one. Only what decodes and encodes to the very same string is taken out. An object
that has a key `$attachment` of its own is wrapped: `{"$attachment": null, "value": {...}}`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["LEAST", "MARK", "Reference", "TakenOut", "put_back", "reference", "take_out"]

MARK = "$attachment"
LEAST = 1024
"""Characters of base64 below which a string stays where it is."""

_DATA_URL = re.compile(r"data:[^,]{0,255};base64,")
_SIGNED = re.compile(r"signature|encrypted|thinking|text|arguments|token", re.IGNORECASE)
"""Keys whose strings stay: signed and encrypted forms are no media, though they may be base64."""
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
    if not isinstance(value, dict) or not isinstance(value.get(MARK), str):
        return None
    return Reference(
        value[MARK],
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
        found = _decoded(value)
        if found is None:
            return value
        data, prefix, alphabet = found
        sha256 = hashlib.sha256(data).hexdigest()
        media[sha256] = data
        width, height = measure(data) or (None, None)
        return Reference(sha256, len(data), prefix, alphabet, width, height).to_json()

    return TakenOut(taken(item, ""), media)


def put_back(item: Any, load: Callable[[str], bytes]) -> Any:
    """Return *item* with its media in place of the references; *load* returns bytes by SHA-256."""
    if type(item) is list:
        return [put_back(each, load) for each in item]
    if type(item) is not dict:
        return item
    found = reference(item)
    if found is not None:
        encode = base64.urlsafe_b64encode if found.alphabet == "url" else base64.b64encode
        return found.prefix + encode(load(found.sha256)).decode("ascii")
    inner = item["value"] if MARK in item else item
    return {key: put_back(each, load) for key, each in inner.items()}


def _decoded(text: str) -> tuple[bytes, str, str] | None:
    """Return the bytes of base64 text, its prefix and its alphabet; None if it is something else."""
    url = _DATA_URL.match(text)
    prefix = url.group() if url else ""
    rest = text[len(prefix) :]
    if len(rest) % 4 or not rest.isascii():
        return None
    encoded = rest.encode("ascii")
    for alphabet, encode, decode in _DECODERS:
        try:
            data = decode(encoded)
        except (binascii.Error, ValueError):
            continue
        if encode(data) == encoded:
            return data, prefix, alphabet
    return None
