"""Streams of the Responses API as the items for the next request.

A stream is built in a root of this layout:

- `response`: what the API says of the response as a whole;
- `items`: one object an item, in the order of arrival: the `item` as it was added and grew, its
  `index`, `done` once the API gave it whole, and `told` once all of a call's arguments are there;
- `stopped`: the last word of the event that ended the stream;
- `error`, `events`: what else came.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

from tract.formats.common.values import objects, string
from tract.formats.deltas import Delta, mended
from tract.formats.format import Events, Json, Reply
from tract.formats.openai_responses.growth import GROWTH, Grown, number_of, status_of
from tract.formats.openai_responses.kinds import kind_of
from tract.formats.openai_responses.replies import (
    CALLS,
    SAID,
    as_sent,
    cut_off,
    ended_early,
    made_reply,
)
from tract.protocols.parts import ToolCallPart

__all__ = ["ResponseEvents", "is_event"]

_BEGINNINGS = frozenset({"created", "in_progress", "queued"})
_ENDS = frozenset({"cancelled", "completed", "failed", "incomplete"})
_SILENT = frozenset(
    {
        "compaction.compacting",
        "image_generation_call.partial_image",
        "keepalive",
        "mcp_list_tools.completed",
        "mcp_list_tools.failed",
        "mcp_list_tools.in_progress",
    }
)
"""Events that say nothing that lasts."""


def is_event(event: Json) -> bool:
    """Return True if *event* may begin a stream of this API."""
    kind = event.get("type")
    if kind == "error":  # Anthropic's holds an object
        return "message" in event and not isinstance(event.get("error"), dict)
    return isinstance(kind, str) and (kind.startswith("response.") or kind == "keepalive")


class _Place(NamedTuple):
    """What is known of an item of a stream."""

    id: str | None
    output_index: int | None
    kind: str


class ResponseEvents(Events):
    """Reads the events of one response, as the API sends them or as the SDK's helper does."""

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._done: set[int] = set()
        self._typed: set[tuple[int, str, int]] = set()

    def feed(self, event: Json) -> list[Delta]:
        """Return what an event adds."""
        return list(self._fed(event))

    def reply(self, root: Json, *, complete: bool) -> Reply:
        """Return the reply that the deltas have built."""
        return _streamed(root)

    def _fed(self, event: Json) -> Iterator[Delta]:
        word = str(event.get("type")).removeprefix("response.")
        growth = GROWTH.get(word)
        if word in _BEGINNINGS or word in _ENDS:
            yield from self._response(word, event)
        elif word in ("output_item.added", "output_item.done"):
            yield from self._item(event, is_done=word.endswith("done"))
        elif growth is not None:
            at = yield from self._entered(event, growth.kind)
            if at not in self._done:
                yield from self._grown(at, growth, event)
        elif (status := status_of(word)) is not None:
            known = self._known(string(event.get("item_id")), _index(event))
            if known is not None and known not in self._done:
                yield ("set", ["items", known, "item", "status"], status)
        elif word == "error":
            yield ("set", ["error"], copy.deepcopy(event))
        elif word not in _SILENT:
            yield ("push", ["events"], copy.deepcopy(event))

    def _response(self, word: str, event: Json) -> Iterator[Delta]:
        response = event.get("response")
        if isinstance(response, dict):
            said = {key: copy.deepcopy(response[key]) for key in SAID if key in response}
            yield ("merge", ["response"], said)
            output = response.get("output")
            listed = output if isinstance(output, list) else []
            if len(listed) > len(self._done):
                for index, item in enumerate(listed):
                    yield from self._listed(index, item, is_done=word in _ENDS)
        if word in _ENDS:
            yield ("set", ["stopped"], word)

    def _listed(self, index: int, item: Any, *, is_done: bool) -> Iterator[Delta]:
        """Yield an item that the response as a whole lists, unless it came whole by itself."""
        if not isinstance(item, dict):
            return
        own_id = string(item.get("id"))
        known = self._known(own_id, index)
        if known is not None and self._places[known].id != own_id:
            known = known if self._places[known].kind == kind_of(item) else None
        if known is None or (known not in self._done and is_done):
            yield from self._set(own_id, index, item, known, is_done=is_done)

    def _item(self, event: Json, *, is_done: bool) -> Iterator[Delta]:
        item = event.get("item")
        if not isinstance(item, dict):
            return
        own_id, index = string(item.get("id")), _index(event)
        known = self._known(own_id, index)
        if known is not None and self._places[known].id != own_id:
            # Some providers' ids change from event to event; some give all items one index.
            known = None if known in self._done or not is_done else known
        yield from self._set(own_id, index, item, known, is_done=is_done)

    def _set(
        self, own_id: str | None, index: int | None, item: Json, known: int | None, *, is_done: bool
    ) -> Iterator[Delta]:
        at = len(self._places) if known is None else known
        self._places[at:] = [_Place(own_id, index, kind_of(item)), *self._places[at + 1 :]]
        entry: Json = {"item": copy.deepcopy(item), "index": index}
        if is_done:
            self._done.add(at)
            entry["done"] = True
        yield ("set", ["items", at], entry)

    def _known(self, own_id: str | None, index: int | None) -> int | None:
        """Return the item of an id, or else the latest one at an index."""
        places = list(enumerate(self._places))
        by_id = [at for at, place in places if own_id is not None and place.id == own_id]
        by_index = [at for at, place in places if index is not None and place.output_index == index]
        found = by_id or by_index
        return found[-1] if found else None

    def _entered(self, event: Json, kind: str) -> Generator[Delta, None, int]:
        """Return the item that an event is about; it is begun if its own beginning did not come."""
        own_id, index = string(event.get("item_id")), _index(event)
        known = self._known(own_id, index)
        if known is None and index is None and own_id is None and self._places:
            known = len(self._places) - 1
        if known is not None:
            return known
        start: Json = {"type": kind} if own_id is None else {"type": kind, "id": own_id}
        if kind == "message":
            start |= {"role": "assistant", "content": []}
        elif kind == "reasoning":
            start["summary"] = []
        yield from self._set(own_id, index, start, None, is_done=False)
        return len(self._places) - 1

    def _grown(self, at: int, growth: Grown, event: Json) -> Iterator[Delta]:
        place: list[str | int] = ["items", at, "item", *growth.path]
        if growth.list_key is not None:
            number = number_of(event.get(growth.list_key))
            place.append(number)
            typed = (at, "/".join(growth.path), number)
            if growth.block is not None and typed not in self._typed:
                yield ("set", [*place, "type"], growth.block)
            if growth.block is not None or growth.given == "part":
                self._typed.add(typed)
        yield from growth.deltas(place, event)
        if growth.tells:
            yield ("set", ["items", at, "told"], True)


def _index(event: Json) -> int | None:
    index = event.get("output_index")
    return index if isinstance(index, int) else None


def _streamed(root: Json) -> Reply:
    """Return what came. A `done` item is whole; others are as far as they came."""
    ended = root.get("stopped") == "completed"
    items: list[Json] = []
    unfinished: list[ToolCallPart] = []
    started = [each for each in root.get("items") or () if each and isinstance(each["item"], dict)]
    for each in sorted(started, key=lambda each: (each.get("index") is None, each.get("index"))):
        item = copy.deepcopy(each["item"])
        if not each.get("done"):
            item = _mended(item, ended=ended)
        if kind_of(item) in CALLS and not _is_whole(each, item, ended=ended):
            unfinished.append(cut_off(item))
        elif each.get("done") or not _is_empty(item):
            items.append(as_sent(item))
    kinds = [str(event.get("type")) for event in root.get("events") or ()]
    return made_reply(_said(root), items, unfinished, kinds)


def _said(root: Json) -> Json:
    """Return what the API said of the response; its status while it ran means nothing later."""
    response = dict(root.get("response") or {})
    if root.get("stopped") is None:
        response["status"] = "failed" if root.get("error") else None
    else:
        response.setdefault("status", root["stopped"])
    return response


def _is_whole(each: Json, item: Json, *, ended: bool) -> bool:
    if each.get("done"):
        return ended or not ended_early(item)
    return bool(item.get("name")) and (ended or bool(each.get("told")))


def _is_empty(item: Json) -> bool:
    """Return True if nothing has come of an item but its beginning."""
    kind = kind_of(item)
    if kind not in ("message", "reasoning") or item.get("encrypted_content"):
        return False
    blocks = [*objects(item.get("content")), *objects(item.get("summary"))]
    keys = ("text", "refusal")
    return all(
        block.keys() & {"text", "refusal"} and not any(map(block.get, keys)) for block in blocks
    )


def _mended(item: Json, *, ended: bool) -> Json:
    """Return an item whose end did not come, without holes and with a status that is true."""
    found: Json = _without_holes(item)
    if found.get("status") == "in_progress" and kind_of(found) in ("message", "reasoning"):
        found["status"] = "completed" if ended else "incomplete"
    elif found.get("status") == "in_progress" and kind_of(found) in CALLS:
        found["status"] = "completed"
    return found


def _without_holes(value: Any) -> Any:
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, list):
        return [_without_holes(each) for each in value if each is not None]
    if isinstance(value, dict):
        return {key: _without_holes(each) for key, each in value.items()}
    return value
