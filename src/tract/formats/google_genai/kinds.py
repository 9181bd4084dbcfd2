"""What the rest of the package asks of the API's JSON: its names, in either spelling, and its kinds.

JSON of this API has its keys in camel case, and the API takes snake case as well, which is what its
Python client writes in places.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from tract.formats.common.values import json_text
from tract.formats.format import Json
from tract.protocols.parts import Native

__all__ = [
    "API",
    "DATA",
    "ROLES",
    "data_of",
    "field",
    "is_fragment",
    "key_of",
    "known_keys",
    "native_of",
    "signs_calls",
]

API = "google.generate_content"
ROLES = {"assistant": "model", "system": "system", "user": "user"}
"""What the API calls the sides."""

DATA = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
"""A part has exactly one of these."""

_BESIDE = (
    "audioMetadata",
    "audioTranscription",
    "documentMetadata",
    "mediaProcessing",
    "mediaResolution",
    "partMetadata",
    "speechMetadata",
    "spreadsheetMetadata",
    "thought",
    "thoughtSignature",
    "videoMetadata",
)
"""What a part may have beside its data."""

_SYSTEM = "systemInstruction"
# "Function call is missing a thought_signature in functionCall parts": Gemini 3 and later.
_SIGNING = re.compile(r"(?:.*/)?gemini-(?:[3-9]|\d\d)")


def key_of(item: Json, name: str) -> str | None:
    """Return the key under which *item* has the field of a name in camel case, if it is set."""
    if item.get(name) is not None:
        return name
    other = _snake(name)
    return other if item.get(other) is not None else None


def field(item: Json, name: str) -> Any:
    """Return a field of *item* by its name in camel case; None if it is not set."""
    found = item.get(name)
    return item.get(_snake(name)) if found is None else found


@cache
def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def data_of(part: Json) -> list[str]:
    """Return which of the fields that make a part are set."""
    return [name for name in DATA if key_of(part, name) is not None]


def known_keys(part: Json) -> list[str]:
    """Return the keys of a part that this release knows, in either spelling."""
    return [key for name in (*DATA, *_BESIDE) if (key := key_of(part, name)) is not None]


def is_fragment(item: Json) -> bool:
    """Return True if *item* is the part of a request that holds its system instruction."""
    return not item.keys() & {"role", "parts"} and key_of(item, _SYSTEM) is not None


def native_of(item: Any) -> Native:
    """Return *item* as this API's own JSON."""
    return Native(API, json_text(item))


def signs_calls(model: str | None) -> bool | None:
    """Return True if *model* wants calls with signatures; None if that is not known."""
    return None if model is None else bool(_SIGNING.match(model))
