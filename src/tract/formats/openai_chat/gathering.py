"""What comes in pieces with the chunks of a stream, and which of it belongs together.

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

from tract.formats.common.values import string
from tract.formats.deltas import Delta, Path
from tract.formats.format import Json
from tract.formats.openai_chat.replies import is_object

__all__ = ["CallPieces", "Choices", "Counts", "Details"]

_CALL_KEYS = frozenset({"index", "id", "type", "function", "custom"})


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
        call_id, name = string(piece.get("id")), string(called.get("name"))
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
            if key not in _CALL_KEYS and value is not None:
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


_DETAIL_TEXTS = ("text", "summary")
_WHOLE = ("data", "signature")
"""Keys that come once in a detail; a second one begins another detail."""


class Details:
    """Reads the pieces of one stream's details.

    A piece belongs to the last detail of its type and index, unless its id differs, or it brings
    what that detail has already got: encrypted data, a signature, or text after the signature.
    """

    def __init__(self) -> None:
        self._known: list[Json | None] = []

    def feed(self, pieces: list[Any], where: Path) -> Iterator[Delta]:
        """Yield what *pieces* add to the list at *where*."""
        for piece in pieces:
            if isinstance(piece, dict):
                yield from self._piece(piece, where)
            else:
                self._known.append(None)
                yield ("push", where, piece)

    def _piece(self, piece: Json, where: Path) -> Iterator[Delta]:
        place, known = self._place(piece)
        if known is None:
            self._known.append(dict(piece))
            yield ("push", where, piece)
            return
        for key, value in piece.items():
            if (
                key in _DETAIL_TEXTS
                and isinstance(value, str)
                and isinstance(known.get(key), str | None)
            ):
                if value:
                    yield ("text", [*where, place, key], value)
            elif value and known.get(key) != value:
                known[key] = value
                yield ("set", [*where, place, key], value)

    def _place(self, piece: Json) -> tuple[int, Json | None]:
        """Return the detail that a piece belongs to, and its place; None if it begins one."""
        for place in range(len(self._known) - 1, -1, -1):
            known = self._known[place]
            if known is None:
                continue
            if (known.get("type"), known.get("index")) == (piece.get("type"), piece.get("index")):
                return place, known if _continues(known, piece) else None
        return 0, None


def _continues(known: Json, piece: Json) -> bool:
    if known.get("id") and piece.get("id") and known["id"] != piece["id"]:
        return False
    if any(known.get(key) and piece.get(key) for key in _WHOLE):
        return False
    return not (known.get("signature") and any(piece.get(key) for key in _DETAIL_TEXTS))


class Counts:
    """Keeps the counts that came; nulls and zeros do not replace real ones."""

    def __init__(self) -> None:
        self._known: Json = {}

    def feed(self, chunk: Json) -> Iterator[tuple[str, Any]]:
        """Yield each count of a chunk that is new."""
        usage = chunk.get("usage")
        if not isinstance(usage, dict):
            groq = chunk.get("x_groq")
            usage = groq.get("usage") if isinstance(groq, dict) else None
        for key, value in usage.items() if isinstance(usage, dict) else ():
            merged = _merged(self._known.get(key), value)
            if key not in self._known or merged != self._known[key]:
                self._known[key] = merged
                yield key, merged


def _merged(known: Any, new: Any) -> Any:
    if isinstance(known, dict) and isinstance(new, dict):
        return known | {key: _merged(known.get(key), value) for key, value in new.items()}
    if known and (new is None or (new == 0 and new is not False)):
        return known
    return new


class Choices:
    """Tells the first of several choices from one choice whose index runs with every chunk.

    An index runs if each chunk has one choice, whose index is one more than that of the chunk
    before. With several choices, an index comes again, or a chunk of the second begins with a role.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._last: int | None = None
        self._runs = True

    def chosen(self, choices: list[Any]) -> list[Json]:
        """Return the choices of a chunk that are kept."""
        found = [choice for choice in choices if isinstance(choice, dict)]
        if len(found) > 1:
            self._runs = False
        return [choice for choice in found if self._is_kept(choice)]

    def _is_kept(self, choice: Json) -> bool:
        index = choice.get("index")
        if not isinstance(index, int):
            return True
        if self._first is None:
            self._first = self._last = index
            return True
        if index == self._first:
            self._runs = False
            return True
        delta = choice.get("delta")
        begins = self._first == 0 and isinstance(delta, dict) and bool(delta.get("role"))
        self._runs = self._runs and index == (self._last or 0) + 1 and not begins
        self._last = index
        return self._runs
