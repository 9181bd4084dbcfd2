"""Words that all modules of this format share."""

from __future__ import annotations

import re
from typing import Any

from tract.formats.format import Json, Rules
from tract.history.canonical import canonical_json
from tract.protocols.parts import Native

__all__ = [
    "API",
    "REASONING",
    "RULES",
    "family",
    "hollow",
    "narrower",
    "native",
    "own",
    "signature_of",
]

API = "openai.chat"
REASONING = ("reasoning_content", "reasoning")
"""Where compatible APIs put a model's thinking as text."""

RULES = Rules(id_refused=re.compile(r"(?!)"), id_longest=40, unique=False)
"""Ids may have any characters: some APIs' are like `functions.get_weather:0`.

Models give an id of theirs again in a later turn, and a prompt cache needs it as it was.
"""

_MISTRALS = Rules(id_refused=re.compile(r"[^a-zA-Z0-9]"), id_longest=9, id_shortest=9, unique=False)
"""Mistral's: "Tool call id … must be a-z, A-Z, 0-9, with a length of 9"."""

_FAMILIES = (
    ("anthropic", re.compile(r"claude|anthropic")),
    ("google", re.compile(r"gemini|gemma|google")),
    ("xai", re.compile(r"grok|xai")),
    ("gpt-oss", re.compile(r"gpt-oss")),
    ("deepseek", re.compile(r"deepseek")),
    ("mistral", re.compile(r"(?:m|mag|min)istral|(?:mix|code|dev|pix|vox)s?tral")),
    ("openai", re.compile(r"openai|(?:^|/)(?:gpt-|o\d|chatgpt|codex)")),
)


def family(name: object) -> str | None:
    """Return whose models a model's name, or the format of a reasoning detail, belongs to."""
    if not isinstance(name, str):
        return None
    lowered = name.lower()
    return next((family for family, known in _FAMILIES if known.search(lowered)), None)


def narrower(model: str | None) -> Rules | None:
    """Return what a model takes as ids and names of calls, if that is less than others do."""
    return _MISTRALS if family(model) == "mistral" else None


def native(value: Any) -> Native:
    """Return a piece of a message as it came."""
    return Native(API, canonical_json(value, surrogates=True))


def own(piece: Native | None) -> Json | None:
    """Return a piece of this API's JSON as a new dict; None if it is another API's, or absent."""
    if piece is None or piece.api != API:
        return None
    item = piece.item
    return item if isinstance(item, dict) else None


def hollow(value: Any) -> bool:
    """Return True if *value* says nothing: null, empty, zero, or made of such values."""
    if isinstance(value, dict):
        return all(map(hollow, value.values()))
    if isinstance(value, list):
        return not value
    return value is None or (not isinstance(value, bool) and value in ("", 0))


def signature_of(item: Json) -> str | None:
    """Return the thought signature of Gemini's compatible API, which a message or a call has."""
    extra = item.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else None
