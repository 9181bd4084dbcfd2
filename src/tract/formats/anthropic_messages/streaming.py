"""Replies of the Messages API, whole and streamed, as the item for the next request.

A stream is built in a root of this layout:

- `message`: what `message_start` says;
- `blocks`: one object a content block, with the `block` as it started and grew, the `json` of its
  input as text, and `stopped` once it is whole;
- `usages`: the reports of usage, in order;
- `end`: the last `message_delta`'s fields, and `stopped` once `message_stop` has come;
- `error`, `events`: what else came.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from tract.formats.anthropic_messages.kinds import KNOWN, is_server_call, kind_of
from tract.formats.common.values import as_object, parsed, string
from tract.formats.deltas import Delta, mended
from tract.formats.format import Events, Json, Reply
from tract.protocols.parts import ToolCallPart

__all__ = ["MessageEvents", "is_event", "whole_reply"]

_Place = list[str | int]

_HELPERS = frozenset(
    {"citation", "compaction", "input_json", "signature", "text", "thinking", "ping"}
)
"""Events that repeat others, as the SDK's `messages.stream()` adds them, or say nothing."""
_TRUNCATING = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
"""Why a reply may end in mid-call."""
_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_STARTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking"}
"""The kind of block that a delta is of whose start did not come."""


def is_event(event: Json) -> bool:
    """Return True if *event* may begin a stream of this API."""
    kind = event.get("type")
    if kind == "error":
        return isinstance(event.get("error"), dict)
    return kind == "ping" or (isinstance(kind, str) and kind in _READERS)


def whole_reply(reply: Json) -> Reply | None:
    """Return a whole answer, or None if it is not this API's."""
    content = reply.get("content")
    if reply.get("type") != "message":
        return None
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    elif content is None and reply.get("role") == "assistant":
        content = []
    if not isinstance(content, list):
        return None
    blocks = [_as_sent(block) for block in copy.deepcopy(content)]
    return _reply(reply, blocks, [reply.get("usage")], reply.get("stop_reason"), (), ())


class MessageEvents(Events):
    """Reads the events of one message, as the API sends them or as the SDK's helper does."""

    def __init__(self) -> None:
        self._places: dict[int | None, int] = {}
        self._count = 0
        self._latest = 0

    def feed(self, event: Json) -> list[Delta]:
        """Return what an event adds."""
        kind = event.get("type")
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is not None:
            return list(read(self, event))
        if isinstance(kind, str) and kind in _HELPERS:
            return []
        return [("push", ["events"], copy.deepcopy(event))]

    def reply(self, root: Json, *, complete: bool) -> Reply:
        """Return the reply that the deltas have built."""
        return _streamed(root)

    def _message_start(self, event: Json) -> Iterator[Delta]:
        message = event.get("message")
        if isinstance(message, dict):
            said = copy.deepcopy(message)
            usage = said.pop("usage", None)
            yield ("set", ["message"], said)
            if isinstance(usage, dict):
                yield ("push", ["usages"], usage)

    def _block_start(self, event: Json) -> Iterator[Delta]:
        block = event.get("content_block")
        if isinstance(block, dict):
            self._places[_index(event)] = self._latest = self._count
            self._count += 1
            yield ("set", ["blocks", self._latest], {"block": copy.deepcopy(block)})

    def _block_delta(self, event: Json) -> Iterator[Delta]:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return
        kind = str(delta.get("type"))
        index = _index(event)
        if index not in self._places and (self._count == 0 or index is not None):
            start = {"type": _STARTS.get(kind, kind.removesuffix("_delta"))}
            yield from self._block_start({**event, "content_block": start})
        place: _Place = ["blocks", self._places.get(index, self._latest)]
        yield from _DELTAS.get(kind, _any_delta)(place, delta)
        if kind not in _DELTAS:
            yield ("push", ["unknown"], kind)

    def _block_stop(self, event: Json) -> Iterator[Delta]:
        place = self._places.get(_index(event))
        if place is not None:
            yield ("set", ["blocks", place, "stopped"], True)

    def _message_delta(self, event: Json) -> Iterator[Delta]:
        for key, value in event.items():
            if key == "delta" and isinstance(value, dict):
                yield ("merge", ["end"], copy.deepcopy(value))
            elif key == "usage" and isinstance(value, dict):
                yield ("push", ["usages"], copy.deepcopy(value))
            elif key not in ("type", "delta", "usage"):
                yield ("set", ["message", key], copy.deepcopy(value))

    def _message_stop(self, event: Json) -> Iterator[Delta]:
        yield ("set", ["stopped"], True)

    def _error(self, event: Json) -> Iterator[Delta]:
        yield ("set", ["error"], copy.deepcopy(event.get("error")))


_READERS: dict[str, Callable[[MessageEvents, Json], Iterator[Delta]]] = {
    "content_block_delta": MessageEvents._block_delta,
    "content_block_start": MessageEvents._block_start,
    "content_block_stop": MessageEvents._block_stop,
    "error": MessageEvents._error,
    "message_delta": MessageEvents._message_delta,
    "message_start": MessageEvents._message_start,
    "message_stop": MessageEvents._message_stop,
}


def _index(event: Json) -> int | None:
    index = event.get("index")
    return index if isinstance(index, int) else None


def _text_of(key: str) -> Callable[[_Place, Json], Iterator[Delta]]:
    def reader(place: _Place, delta: Json) -> Iterator[Delta]:
        if isinstance(delta.get(key), str) and delta[key]:
            yield ("text", [*place, "block", key], delta[key])

    return reader


def _input(place: _Place, delta: Json) -> Iterator[Delta]:
    if isinstance(delta.get("partial_json"), str) and delta["partial_json"]:
        yield ("text", [*place, "json"], delta["partial_json"])


def _citation(place: _Place, delta: Json) -> Iterator[Delta]:
    if "citation" in delta:
        yield ("push", [*place, "block", "citations"], copy.deepcopy(delta["citation"]))


def _fields(place: _Place, delta: Json) -> Iterator[Delta]:
    given = {key: copy.deepcopy(value) for key, value in delta.items() if key != "type"}
    yield ("merge", [*place, "block"], given)


def _any_delta(place: _Place, delta: Json) -> Iterator[Delta]:
    """What a delta of a later release says goes into its block: texts grow, the rest is set."""
    for key, value in delta.items():
        if key != "type":
            verb = "text" if isinstance(value, str) else "set"
            yield (verb, [*place, "block", key], copy.deepcopy(value))


_DELTAS: dict[str, Callable[[_Place, Json], Iterator[Delta]]] = {
    "citations_delta": _citation,
    "compaction_delta": _fields,
    "input_json_delta": _input,
    "signature_delta": _fields,  # comes once, whole
    "text_delta": _text_of("text"),
    "thinking_delta": _text_of("thinking"),
}


def _streamed(root: Json) -> Reply:
    """Return what came. Only the stop reason says that no call was cut off, not the end alone."""
    end = root.get("end") or {}
    message = {**(root.get("message") or {}), **end}
    reason = string(end.get("stop_reason"))
    if reason is None and root.get("stopped"):
        reason = "end_turn"
    ended = reason is not None and reason not in _TRUNCATING
    started = [each for each in root.get("blocks") or () if each]
    blocks, unfinished = [], []
    for each in started:
        block = _whole(each, ended=ended, is_last=each is started[-1])
        if block is None:
            unfinished.append(_cut_off(each))
        else:
            blocks.append(_as_sent(block))
    if not started and isinstance(message.get("content"), list):
        blocks = [_as_sent(block) for block in copy.deepcopy(message["content"])]
    kinds = [*(root.get("unknown") or ()), *map(_kind, root.get("events") or ())]
    usages = root.get("usages") or []
    reply = _reply(message, blocks, usages, reason, tuple(unfinished), tuple(kinds))
    return reply if blocks or reason is not None else reply._replace(items=[])


def _kind(event: Json) -> str:
    return kind_of(event) or "event"


def _whole(started: Json, *, ended: bool, is_last: bool) -> Json | None:
    """Return a block as it is at the end of its stream, or None if it is a call that was cut off."""
    block = {key: _mended(value) for key, value in copy.deepcopy(started["block"]).items()}
    if kind_of(block) not in _CALLS:
        return block
    text = mended(started.get("json") or "")
    if not isinstance(block.get("name"), str) or not block["name"]:
        return None
    if text:
        found = parsed(text)
        if found is None and not ended:
            return None
        block["input"] = as_object(text) if found is None else found
    elif not ended and (is_last or not started.get("stopped")) and not block.get("input"):
        return None
    block.setdefault("input", {})
    return block


def _mended(value: Any) -> Any:
    return mended(value) if isinstance(value, str) else value


def _cut_off(started: Json) -> ToolCallPart:
    block = started["block"]
    return ToolCallPart(
        id=block["id"] if isinstance(block.get("id"), str) else None,
        name=block["name"] if isinstance(block.get("name"), str) else "",
        arguments=mended(started.get("json") or ""),
        kind="server" if is_server_call(kind_of(block)) else "function",
    )


def _as_sent(block: Any) -> Any:
    """Return a block without what only the SDK adds to it."""
    if isinstance(block, dict) and kind_of(block) == "text":
        return {key: value for key, value in block.items() if key != "parsed_output"}
    return block


def _reply(
    message: Json,
    blocks: list[Any],
    usages: list[Any],
    reason: Any,
    unfinished: tuple[ToolCallPart, ...],
    unknown: tuple[str, ...],
) -> Reply:
    role = message.get("role")
    kinds = (kind_of(block) or "block" for block in blocks)
    strange = tuple(dict.fromkeys([*unknown, *(kind for kind in kinds if kind not in KNOWN)]))
    item = {"role": role if isinstance(role, str) else "assistant", "content": blocks}
    return Reply(
        items=[item],
        usage=_usage(usages),
        model=_model(message, blocks),
        response_id=string(message.get("id")),
        finish_reason=string(reason),
        unfinished=unfinished,
        unknown=strange,
    )


def _model(message: Json, blocks: list[Any]) -> str | None:
    """Return the model that answered: the last one that another handed over to."""
    handed = [block.get("to") for block in blocks if kind_of(block) == "fallback"]
    named = handed[-1].get("model") if handed and isinstance(handed[-1], dict) else None
    return string(named) or string(message.get("model"))


def _usage(reports: list[Any]) -> Json | None:
    """Return the newest count of each kind; zeros and nulls do not override a count."""
    merged: Json = {}
    for report in reports:
        if isinstance(report, dict):
            _add_usage(merged, copy.deepcopy(report))
    return merged or None


def _add_usage(merged: Json, report: Json) -> None:
    for key, value in report.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            _add_usage(before, value)
        elif value or before is None:
            merged[key] = value
