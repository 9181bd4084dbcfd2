"""Streams of OpenAI's Chat Completions API and its many compatible APIs, chunk by chunk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tract.formats.assembly import Fragment

__all__ = ["OpenAIChunks", "field", "plain"]


def field(value: Any, name: str) -> Any:
    """Return a field of an SDK object or a dict; None if it is missing."""
    if isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)


def plain(value: Any) -> dict[str, Any]:
    """Return an SDK object or a dict as a dict of JSON values."""
    dump = getattr(value, "model_dump", None)
    dumped = value if dump is None else dump(mode="json")
    return dict(dumped) if isinstance(dumped, Mapping) else {}


class OpenAIChunks:
    """Reads the chunks of one Chat Completions stream, as SDK objects or as dicts.

    Only the first choice, index 0, is read; anything that is not a chunk is ignored. The events of
    `client.chat.completions.stream()` work too. If an API leaves out the index of a tool call, or
    gives every call the same one, the ids tell the calls apart.
    """

    def __init__(self) -> None:
        self._named = False
        self._slots: dict[Any, int] = {}
        self._ids: list[str | None] = []

    def feed(self, chunk: Any) -> list[Fragment]:
        """Return what *chunk* adds to the reply."""
        if field(chunk, "choices") is None:
            chunk = field(chunk, "chunk")
        return list(self._fragments(chunk))

    def _fragments(self, chunk: Any) -> Iterator[Fragment]:
        if not self._named:
            yield from self._facts(chunk)
        for choice in field(chunk, "choices") or ():
            if not field(choice, "index"):
                yield from self._choice(choice)
        usage = field(chunk, "usage")
        if usage is not None:
            yield ("usage", plain(usage))

    def _facts(self, chunk: Any) -> Iterator[Fragment]:
        model, response_id = field(chunk, "model"), field(chunk, "id")
        if isinstance(model, str) and model:
            self._named = True
            yield ("model", model)
        if isinstance(response_id, str) and response_id:
            yield ("id", response_id)

    def _choice(self, choice: Any) -> Iterator[Fragment]:
        delta = field(choice, "delta")
        if delta is not None:
            yield from _texts(delta)
            for call in field(delta, "tool_calls") or ():
                yield self._call(call)
        reason = field(choice, "finish_reason")
        if isinstance(reason, str) and reason:
            yield ("finish", reason)

    def _call(self, call: Any) -> Fragment:
        function, call_id = field(call, "function"), field(call, "id") or None
        arguments = field(function, "arguments")
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False)
        slot = self._slot(field(call, "index"), call_id)
        return ("call", slot, call_id, field(function, "name") or None, arguments or None)

    def _slot(self, index: Any, call_id: str | None) -> int:
        """Return the number of the call that a part belongs to, counted as calls began."""
        slot = self._slots.get(index)
        if slot is not None and call_id is not None and self._ids[slot] not in (None, call_id):
            slot = None
        if slot is None and index is None and call_id is None and self._ids:
            slot = len(self._ids) - 1
        if slot is None:
            slot = len(self._ids)
            self._ids.append(None)
        self._slots[index] = slot
        self._ids[slot] = self._ids[slot] or call_id
        return slot


def _texts(delta: Any) -> Iterator[Fragment]:
    content, refusal = field(delta, "content"), field(delta, "refusal")
    if isinstance(content, str) and content:
        yield ("text", content)
    if isinstance(refusal, str) and refusal:
        yield ("refusal", refusal)
    extra = delta if isinstance(delta, Mapping) else field(delta, "model_extra")
    if extra:
        reasoning = extra.get("reasoning_content") or extra.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            yield ("reasoning", reasoning)
