"""Streams of generateContent: each chunk is a reply of its own that goes on where the last ended.

A root has `role`, `parts`, `usage`, `model`, `id`, `reason`, and in `open` the index of a call whose
arguments have not all come.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from tract.formats.deltas import Delta, apply
from tract.formats.format import Events, Json, Reply
from tract.formats.google_genai.kinds import field, key_of
from tract.formats.google_genai.replies import (
    block_reason,
    first_candidate,
    part_as_sent,
    streamed_reply,
)

__all__ = ["ContentEvents"]

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,4})\]|\[['\"]([^'\"]*)['\"]\]")
_CALL = "functionCall"
_PIECES = {"partialArgs", "partial_args", "willContinue", "will_continue"}
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")


class ContentEvents(Events):
    """Reads the chunks of one stream."""

    def __init__(self) -> None:
        self._count = 0
        self._begun = False
        self._last: Json | None = None
        """The last part without its text, if it is plain text, which goes on in the next chunk."""
        self._open: int | None = None
        self._args: Json = {}
        """The arguments of the open call, as they are built."""
        self._usage: Json = {}

    def feed(self, event: Json) -> list[Delta]:
        candidate = first_candidate(event)
        deltas: list[Delta] = []
        content = candidate.get("content")
        if isinstance(content, dict):
            deltas += self._content(content)
        deltas += self._said_of(event, candidate)
        return deltas

    def reply(self, root: Json, *, complete: bool) -> Reply:
        return streamed_reply(root)

    def _said_of(self, event: Json, candidate: Json) -> Iterator[Delta]:
        reason = field(candidate, "finishReason") or block_reason(event)
        named = {"reason": reason, "model": field(event, "modelVersion")}
        named["id"] = field(event, "responseId")
        for key, value in named.items():
            if isinstance(value, str) and value:
                yield ("set", [key], value)
        if isinstance(event.get("error"), dict):
            yield ("set", ["reason"], "error")
        usage = field(event, "usageMetadata")
        if isinstance(usage, dict):
            counted = {
                key: value
                for key, value in part_as_sent(usage).items()
                if not self._is_less(key, value)
            }
            self._usage |= counted
            yield ("merge", ["usage"], counted)

    def _is_less(self, key: str, value: Any) -> bool:
        """Return True for a zero that came after a count."""
        return value == 0 and bool(self._usage.get(key))

    def _content(self, content: Json) -> Iterator[Delta]:
        role, parts = content.get("role"), content.get("parts")
        if isinstance(role, str):
            yield ("set", ["role"], role)
        if not isinstance(parts, list):
            return
        if not self._begun:
            self._begun = True
            yield ("set", ["parts"], [])
        for part in parts:
            yield from self._part(part_as_sent(part))

    def _part(self, part: Any) -> Iterator[Delta]:
        rest = _beside_text(part)
        if rest is not None:
            if rest == self._last:
                yield ("text", ["parts", self._count - 1, "text"], part["text"])
            elif part["text"]:
                yield self._added(part)
                self._last = rest
            return
        call = field(part, _CALL) if isinstance(part, dict) else None
        if isinstance(call, dict) and (self._open is not None or call.keys() & _PIECES):
            yield from self._piece(part, call)
        else:
            yield self._added(part)

    def _added(self, part: Any) -> Delta:
        self._count += 1
        self._last = None
        return ("set", ["parts", self._count - 1], part)

    def _piece(self, part: Json, call: Json) -> Iterator[Delta]:
        """Add a piece of a call's arguments: `{}` is the last one."""
        given = {key: value for key, value in call.items() if key not in _PIECES}
        if self._open is None or "name" in given:
            self._args = copy.deepcopy(given.get("args") or {})
            yield self._added({**part, key_of(part, _CALL) or _CALL: given})
            self._open = self._count - 1
        else:
            yield ("merge", ["parts", self._open, _CALL], given)
            if signature := field(part, "thoughtSignature"):
                yield ("set", ["parts", self._open, "thoughtSignature"], signature)
        pieces = field(call, "partialArgs")
        for each in pieces if isinstance(pieces, list) else ():
            yield from self._argument(each if isinstance(each, dict) else {})
        if not field(call, "willContinue"):
            self._open = None
        yield ("set", ["open"], self._open)

    def _argument(self, piece: Json) -> Iterator[Delta]:
        where = field(piece, "jsonPath")
        path = [_step(found) for found in _STEP.finditer(where if isinstance(where, str) else "")]
        kind = next((name for name in _VALUES if key_of(piece, name) is not None), None)
        value = None if kind is None else field(piece, kind)
        delta: Delta = ("set", ["args", *path], None if kind == "nullValue" else value)
        if kind == "stringValue":
            delta = ("text", ["args", *path], value)
        elif kind is None:
            return
        if path and apply({"args": self._args}, [delta]):
            yield (delta[0], ["parts", self._open, _CALL, *delta[1]], delta[2])
        else:
            yield ("push", ["unknown"], "partialArgs")


def _beside_text(part: Any) -> Json | None:
    """Return what a plain text has beside its text; None if the part is something else."""
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        return None
    rest = {key: value for key, value in part.items() if key != "text"}
    return rest if rest.keys() <= {"thought"} else None


def _step(found: re.Match[str]) -> str | int:
    name, index, quoted = found.groups()
    return int(index) if index is not None else str(name or quoted or "")
