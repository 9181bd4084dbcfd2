"""Streams that earlier releases saved: their fragments as the deltas of today.

A fragment was a tuple that began with its kind, whichever API it came from: `("text", text)`,
`("refusal", text)`, `("reasoning", text)`, `("call", slot, id, name, arguments)`,
`("signature", text)`, `("redacted", data)`, `("model", name)`, `("id", id)`, `("usage", report)`,
`("finish", reason)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tract.formats.deltas import Delta
from tract.formats.openai_chat.shapes import API
from tract.formats.openai_chat.streaming import ChatEvents

__all__ = ["from_fragments"]

_TEXTS = {"text": "content", "refusal": "refusal", "reasoning": "reasoning_content"}
_FACTS = frozenset({"model", "id", "usage"})
_PROOFS = {"signature": "signatures", "redacted": "redacted"}


def from_fragments(
    preamble: Mapping[str, Any], fragments: Sequence[Sequence[Any]]
) -> tuple[dict[str, Any], list[Delta]]:
    """Return the preamble and the deltas of a stream of fragments.

    Plain text stays that. Everything else becomes chunks of Chat Completions, which have a place
    for all of it but signatures: nobody knows any more which thinking they signed, so they stay in
    the metadata.
    """
    kinds = {kind for kind, *_ in fragments}
    if kinds <= {"text"}:
        return {**preamble, "api": None}, [("text", ["text"], text) for _, text in fragments]
    metadata = dict(preamble.get("metadata") or {})
    for kind, name in _PROOFS.items():
        if kind in kinds:
            metadata[name] = [values[0] for found, *values in fragments if found == kind]
    events = ChatEvents()
    deltas = [delta for each in fragments for delta in events.feed(_chunk(*each))]
    return {**preamble, "api": API, "metadata": metadata}, deltas


def _chunk(kind: str, *values: Any) -> dict[str, Any]:
    """Return a fragment as a chunk; one of an unknown kind says nothing."""
    if kind in _FACTS:
        return {"choices": [], kind: values[0]}
    if kind == "finish":
        return {"choices": [{"index": 0, "delta": {}, "finish_reason": values[0]}]}
    delta: dict[str, Any] = {}
    if kind in _TEXTS:
        delta[_TEXTS[kind]] = values[0]
    elif kind == "call":
        slot, call_id, name, arguments = values
        function = {"name": name, "arguments": arguments}
        delta["tool_calls"] = [{"index": slot, "id": call_id, "function": function}]
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
