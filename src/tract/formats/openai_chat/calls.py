"""Calls of tools, put together from the pieces of a stream.

APIs differ in what tells calls apart: an index, which some give to all calls alike or leave out,
and an id, which some give late, never, or anew with every piece. So a piece that comes to a call
begins a new one if the call has its name and whole arguments and a name comes again, or if both the
name and the id differ. That the id alone differs says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tract.formats.deltas import Delta
from tract.formats.format import Json
from tract.formats.openai_chat.replies import is_object

__all__ = ["CallPieces"]

_OWN_KEYS = frozenset({"index", "id", "type", "function", "custom"})


@dataclass(slots=True)
class _Call:
    """What has arrived of a call, as far as it tells calls apart."""

    place: int
    kind: str = "function"
    id: str | None = None
    name: str = ""
    given: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        if len(self.given) > 1:
            self.given[:] = ["".join(self.given)]
        return self.given[0] if self.given else ""

    @property
    def is_whole(self) -> bool:
        if self.kind == "custom":
            return bool(self.given)
        text = self.arguments
        return text.rstrip().endswith("}") and is_object(text)


class CallPieces:
    """Reads the pieces of one stream's calls."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._slots: dict[int, list[_Call]] = {}

    def feed(self, piece: Json) -> Iterator[Delta]:
        """Yield what a piece adds to the list `calls` of the root."""
        kind = "custom" if _is_custom(piece) else "function"
        called = piece.get(kind)
        called = called if isinstance(called, dict) else {}
        call_id, name = _str(piece.get("id")), _str(called.get("name"))
        text = _arguments(called.get("input" if kind == "custom" else "arguments"))
        call = self._called(piece.get("index"), call_id, name)
        if call is None:
            call = self._begun(piece.get("index"), kind)
            yield (
                "set",
                ["calls", call.place],
                {"type": kind, kind: {"name": "", _KEYS[kind]: ""}},
            )
        elif _repeats(call, call_id, name, text):
            return
        yield from _more(call, call_id, name, text)
        for key, value in piece.items():
            if key not in _OWN_KEYS and value is not None:
                yield ("set", ["calls", call.place, key], value)

    def _called(self, index: Any, call_id: str | None, name: str | None) -> _Call | None:
        """Return the call that a piece belongs to; None if it begins one."""
        here = self._slots.get(index, []) if isinstance(index, int) else self._calls
        if not here:
            return None
        for call in reversed(here):
            if call_id is not None and call.id == call_id:
                return call
        call = here[-1]
        if not name or not call.name:
            if not isinstance(index, int) and call_id is not None and call.id and call.is_whole:
                return None
            return call
        both_differ = name != call.name and None not in (call_id, call.id) and call_id != call.id
        return None if both_differ or call.is_whole else call

    def _begun(self, index: Any, kind: str) -> _Call:
        call = _Call(len(self._calls), kind)
        self._calls.append(call)
        if isinstance(index, int):
            self._slots.setdefault(index, []).append(call)
        return call


def _more(call: _Call, call_id: str | None, name: str | None, text: str) -> Iterator[Delta]:
    where = ["calls", call.place, call.kind]
    if call.id is None and call_id is not None:
        call.id = call_id
        yield ("set", ["calls", call.place, "id"], call_id)
    if name and name != call.name and (not call.name or not call.given):
        call.name += name
        yield ("text", [*where, "name"], name)
    if text and call.arguments == "{}":
        call.given.clear()  # what stood for arguments that were to come
        yield ("set", [*where, _KEYS[call.kind]], "")
    if text:
        call.given.append(text)
        yield ("text", [*where, _KEYS[call.kind]], text)


def _repeats(call: _Call, call_id: str | None, name: str | None, text: str) -> bool:
    """Return True if a piece says the whole of a call that is there already."""
    same = call_id is not None and call_id == call.id and name == call.name
    return same and bool(text) and call.is_whole and text == call.arguments


_KEYS = {"custom": "input", "function": "arguments"}


def _is_custom(piece: Json) -> bool:
    custom = piece.get("custom")
    said = isinstance(custom, dict) and any(custom.values())
    return piece.get("type") == "custom" or (said and not piece.get("function"))


def _arguments(given: Any) -> str:
    if isinstance(given, str):
        return given
    return json.dumps(given, ensure_ascii=False) if isinstance(given, dict) else ""


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
