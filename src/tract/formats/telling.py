"""Telling by their shapes which API replies, streams and definitions of tools come from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from tract.exceptions import ContentValidationError
from tract.formats.deltas import Delta
from tract.formats.format import Events, Format, Json, Reply, as_json
from tract.formats.items import holdable
from tract.formats.registry import FORMATS

__all__ = ["Reader", "Told", "api_of", "told"]

_IDLE = re.compile(r"ping|keep.?alive|heart.?beat", re.IGNORECASE)
"""Types of events that only keep a connection open."""
_REPEATED = {"snapshot"}
"""What the SDKs' helpers add to events: all that arrived so far."""
_EMPTY = (type(None), str, bytes)
"""Types of events that say nothing if they are empty."""
_DATED = re.compile(r"_\d{8}$")
"""Anthropic's own tools are named with the date of their version: `web_search_20250305`."""


class Told(NamedTuple):
    """A whole reply, and the format that reads it."""

    format: Format
    reply: Reply
    left_out: tuple[str, ...]
    """The paths of what JSON cannot hold."""


def told(reply: object) -> Told:
    """Return a whole reply as its API's format reads it; it shares nothing with *reply*.

    Raises:
        ContentValidationError: no known API has such a value.
    """
    if issubclass(type(reply), Mapping) or hasattr(type(reply), "model_dump"):
        plain, left_out = holdable(reply, "reply")
        for format_ in FORMATS.values() if type(plain) is dict else ():
            found = format_.reply(plain)
            if found is not None:
                return Told(format_, found, left_out)
    raise ContentValidationError(
        f"a {type(reply).__name__} is not a whole reply of a known API ({', '.join(FORMATS)}). "
        "Give what the SDK's call returns, as its object or as a dict; pass streams to "
        "`record_stream()`",
        "reply",
    )


class Reader:
    """Reads the events of one stream, as SDK objects or dicts, into deltas.

    The first event that says something tells which API it is. Those before it, such as pings, do
    not.

    Args:
        apis: the APIs that the stream may be of; all that are known if it is None.
    """

    def __init__(self, apis: Collection[str] | None = None) -> None:
        self.api: str | None = None
        """The name of the API, once it is known."""
        self._apis = [api for api in FORMATS if apis is None or api in apis]
        self._readers: dict[str, Events] = {}
        self._events: Events | None = None

    def feed(self, event: object) -> list[Delta]:
        """Return what an event adds to the reply.

        Raises:
            ContentValidationError: the first event that says something is of no such API.
        """
        plain = event if type(event) is dict else _as_json(event)
        if self._events is not None:
            return [] if plain is None else self._events.feed(plain)
        if plain is None:
            if type(event) in _EMPTY and not event:
                return []
            raise self._unknown(event)
        return self._first(event, plain)

    def _first(self, event: object, plain: Json) -> list[Delta]:
        may_be = False
        for api in self._apis:
            if not FORMATS[api].is_event(plain):
                continue
            may_be = True
            reader = self._readers.setdefault(api, FORMATS[api].events())
            deltas = reader.feed(plain)
            if deltas:
                self.api, self._events = api, reader
                return deltas
        if not (may_be or not plain or _IDLE.search(str(plain.get("type", "")))):
            raise self._unknown(event)
        return []

    def _unknown(self, event: object) -> ContentValidationError:
        kind = type(event).__name__
        if type(event) is dict:
            kind = f"dict of {', '.join(map(str, [*event][:5]))}"[:120]
        return ContentValidationError(
            f"the stream begins with a {kind}, which is not an event of {', '.join(self._apis)}. "
            "Nothing was recorded; iterating again passes on all events",
            "stream",
        )


def _as_json(event: object) -> Json | None:
    """Return an event as JSON; None if it is not an object, or cannot be read."""
    try:
        if issubclass(type(event), BaseModel):
            dumped = cast(BaseModel, event).model_dump(
                mode="json", by_alias=True, exclude_unset=True, exclude=_REPEATED, warnings=False
            )
            return dumped if isinstance(dumped, dict) else None
        found = as_json(event)
        return None if found is None else dict(found)
    except Exception:  # a foreign class may raise anything
        return None


def api_of(tools: Iterable[Mapping[str, Any]]) -> str:
    """Return the API that takes *tools* as they are.

    Raises:
        ContentValidationError: their shapes do not tell, or tell of several.
    """
    found = {_api(tool) for tool in tools}
    if len(found) == 1:
        api = found.pop()
        if api is not None:
            return api
    raise ContentValidationError(
        f"the tools do not show which API they are for. Pass `api=`, one of: {', '.join(FORMATS)}",
        "tools",
    )


def _api(tool: Mapping[str, Any]) -> str | None:
    kind = tool.get("type")
    if kind in ("function", "custom") and isinstance(tool.get(kind), Mapping):
        return "openai.chat"
    if "input_schema" in tool or (isinstance(kind, str) and _DATED.search(kind)):
        return "anthropic.messages"
    if isinstance(kind, str):
        return "openai.responses"
    if tool and all(isinstance(value, (Mapping, list)) for value in tool.values()):
        return "google.generate_content"
    return None
