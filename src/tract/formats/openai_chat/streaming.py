"""Streams of Chat Completions APIs, chunk by chunk.

The root is `{"message": …, "blocks": …, "calls": …, "said": {"usage", "model", "id"}, "finish": …}`.
`message` has all keys but the calls and the content, which is in `blocks`, and `""` if it came
empty. `listed` says that the content came as a list. An error of the API's is in `error`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from tract.formats.deltas import Delta, Path
from tract.formats.format import Events, Json, Reply
from tract.formats.openai_chat.gathering import CallPieces, Choices, Counts, Details
from tract.formats.openai_chat.replies import reply_of
from tract.formats.openai_chat.shapes import REASONING

__all__ = ["ChatEvents", "is_chunk"]

_TEXTS = frozenset({*REASONING, "refusal"})
_PIECES = frozenset({"data", "transcript", "text", "arguments"})
"""Keys of objects whose strings arrive in pieces."""
_PASSING = frozenset({"role", "content", "tool_calls", "channel"})
"""Keys that are read otherwise, or that no whole answer has."""
_NAMES = frozenset({"model", "id"})
"""What the first chunks say of the reply."""
_TEXT = ("text", str)
"""The kind of a part that is text."""
_HELPERS = (
    "content.delta",
    "content.done",
    "refusal.delta",
    "refusal.done",
    "tool_calls.function.arguments.delta",
    "tool_calls.function.arguments.done",
    "logprobs.content.delta",
    "logprobs.content.done",
    "logprobs.refusal.delta",
    "logprobs.refusal.done",
)
"""What the SDK's `stream()` makes of its chunks."""


def is_chunk(event: Json) -> bool:
    """Return True if *event* may begin a stream of this API."""
    event = _unwrapped(event)
    choices = event.get("choices")
    if not isinstance(choices, list):
        return event.get("object") == "chat.completion.chunk"
    return not any(isinstance(each, dict) and "message" in each for each in choices)


def _unwrapped(event: Json) -> Json:
    """Return the chunk that an event of OpenAI's `stream()` or of Mistral's SDK wraps."""
    wrapped = event.get("chunk" if event.get("type") == "chunk" else "data")
    if isinstance(wrapped, dict) and "choices" in wrapped and "choices" not in event:
        return wrapped
    return event


class ChatEvents(Events):
    """Reads the chunks of one stream; the events of the SDK's `stream()`, too."""

    def __init__(self) -> None:
        self._calls = CallPieces()
        self._choices = Choices()
        self._counts = Counts()
        self._details = Details()
        self._named: set[str] = set()
        self._blocks = 0
        self._last: tuple[str, type] | None = None
        self._kinds: dict[Any, type] = {}
        self._strange: dict[str, Any] = {}

    def feed(self, event: Json) -> list[Delta]:
        """Return what a chunk adds."""
        if event.get("type") in _HELPERS:
            return []
        return [_apart(delta) for delta in self._deltas(_unwrapped(event))]

    def reply(self, root: Json, *, complete: bool) -> Reply:
        """Return the reply that the deltas have built."""
        unknown = tuple(dict.fromkeys(root.get("unknown") or ()))
        said, finish = root.get("said") or {}, root.get("finish")
        nothing = not root.keys() - {"error", "unknown"} if complete else not _arrived(root)
        if nothing:
            return Reply([], said.get("usage"), said.get("model"), said.get("id"), finish)
        if root.get("error") is not None and finish is None:
            finish = "error"
        message = _joined_pairs(_message(root, complete=complete))
        found = reply_of(message, said, finish, complete=complete)
        return found._replace(unknown=(*unknown, *found.unknown))

    def _deltas(self, chunk: Json) -> Iterator[Delta]:
        choices = chunk.get("choices")
        if chunk.get("error") is not None:
            yield ("set", ["error"], chunk["error"])
        elif not isinstance(choices, list):
            kind = str(chunk.get("type") or chunk.get("object") or next(iter(chunk), "nothing"))
            yield ("push", ["unknown"], kind)
        for key in () if self._named >= _NAMES else _NAMES:
            if key not in self._named and isinstance(chunk.get(key), str) and chunk[key]:
                self._named.add(key)
                yield ("set", ["said", key], chunk[key])
        for choice in self._choices.chosen(choices if isinstance(choices, list) else []):
            yield from self._choice(choice)
        if chunk.get("usage") is not None or "x_groq" in chunk:
            for key, value in self._counts.feed(chunk):
                yield ("set", ["said", "usage", key], value)

    def _choice(self, choice: Json) -> Iterator[Delta]:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            yield from self._delta(delta)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            yield ("set", ["finish"], reason)

    def _delta(self, delta: Json) -> Iterator[Delta]:
        role, content, calls = delta.get("role"), delta.get("content"), delta.get("tool_calls")
        if isinstance(role, str) and role and "role" not in self._named:
            self._named.add("role")
            yield ("set", ["message", "role"], role)
        if isinstance(content, list):
            yield ("set", ["listed"], True)
        elif content == "" and "content" not in self._named:
            self._named.add("content")
            yield ("set", ["message", "content"], "")
        if content is not None:
            for block in content if isinstance(content, list) else [content]:
                yield from self._block(block)
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                yield from self._calls.feed(call)
        for key, value in delta.items():
            if key not in _PASSING and value is not None:
                yield from self._more(key, value)

    def _block(self, block: Any) -> Iterator[Delta]:
        """Yield more of the content: of the last part, if that is of the same kind."""
        if isinstance(block, str):
            if block and self._last == _TEXT:  # most chunks: no dict is made for them
                yield ("text", ["blocks", self._blocks - 1, "text"], block)
                return
            block = {"type": "text", "text": block} if block else None
        if block is None:
            return
        kind = _mergeable(block)
        if kind is None or kind != self._last:
            self._blocks += 1
            self._last = kind
            yield ("set", ["blocks", self._blocks - 1], block)
            return
        name, _ = kind
        where = ["blocks", self._blocks - 1]
        for key in block.keys() - {"type", name}:
            yield ("set", [*where, key], block[key])
        if isinstance(block[name], str):
            yield ("text", [*where, name], block[name])
        else:
            yield from (("push", [*where, name], inner) for inner in block[name])

    def _more(self, key: str, value: Any) -> Iterator[Delta]:
        """Yield more of another key of the message."""
        where = ["message", key]
        if self._changes_kind(where, value):
            self._strange.pop(key, None)
            if key == "reasoning_details":
                self._details = Details()
            yield ("set", where, type(value)())
        if key == "reasoning_details" and isinstance(value, list):
            yield from self._details.feed(value, where)
        elif isinstance(value, list):
            yield from self._listed(key, value, where)
        elif isinstance(value, dict):
            yield from self._object(value, where)
        elif isinstance(value, str) and (key in _TEXTS or self._strange.get(key) != value):
            if key not in _TEXTS:
                self._strange[key] = self._strange.get(key, "") + value
            yield ("text", where, value)
        elif not isinstance(value, str):
            yield ("set", where, value)

    def _changes_kind(self, where: Path, value: Any) -> bool:
        """Return True if what is there is of another type than *value*, which then replaces it."""
        place, kind = tuple(where), type(value)
        known = self._kinds.get(place, kind)
        if known is not kind:
            inside = [each for each in self._kinds if each[: len(place)] == place]
            for each in inside:
                del self._kinds[each]
        self._kinds[place] = kind
        return known is not kind

    def _listed(self, key: str, value: list[Any], where: Path) -> Iterator[Delta]:
        """Yield more of a list; what has an index there replaces what had it, and none repeats."""
        known = self._strange.setdefault(key, [])
        for each in value:
            index = each.get("index") if isinstance(each, dict) else None
            held = known[index] if isinstance(index, int) and 0 <= index < len(known) else None
            if isinstance(held, dict):
                held.update(each)
                yield ("merge", [*where, index], each)
            elif each not in known:
                known.append(copy.deepcopy(each))
                yield ("push", where, each)

    def _object(self, value: Json, where: Path) -> Iterator[Delta]:
        for key, inner in value.items():
            place = [*where, key]
            if inner is None:
                continue
            if self._changes_kind(place, inner):
                yield ("set", place, type(inner)())
            if isinstance(inner, dict):
                yield from self._object(inner, place)
            elif isinstance(inner, str) and key in _PIECES:
                yield ("text", place, inner)
            else:
                yield ("set", place, inner)


def _mergeable(block: Any) -> tuple[str, type] | None:
    """Return the kind of a part of the content that can be longer than one piece, else None."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in ("text", "thinking") or not block.keys() <= {"type", kind, "closed"}:
        return None
    held = type(block.get(kind))
    return (kind, held) if held is str or (held is list and kind == "thinking") else None


def _apart(delta: Delta) -> Delta:
    """Return a delta that shares no part with the event."""
    verb, path, value = delta
    return delta if isinstance(value, str) else (verb, path, copy.deepcopy(value))


def _arrived(root: Json) -> bool:
    """Return True if something of a message arrived."""
    message = root.get("message") or {}
    return bool(root.get("blocks") or root.get("calls") or message.keys() - {"role", "content"})


def _message(root: Json, *, complete: bool) -> Json:
    """Return the message as a whole answer would have it."""
    message: Json = {"role": "assistant", **copy.deepcopy(root.get("message") or {})}
    blocks = [_whole(block) for block in root.get("blocks") or ()]
    texts = [block["text"] for block in blocks if _is_text(block)]
    if root.get("listed") or len(texts) < len(blocks):
        message["content"] = blocks
    elif texts:
        message["content"] = "".join(texts)
    if root.get("calls"):
        message["tool_calls"] = copy.deepcopy(root["calls"])
    if not complete:
        _drop_unsigned(message)
    return message


def _is_text(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("text"), str)
    )


def _whole(block: Any) -> Any:
    """Return a part of the content; what a model thought there is one text."""
    if not isinstance(block, dict) or not isinstance(block.get("thinking"), list):
        return copy.deepcopy(block)
    inner: list[Any] = []
    for each in block["thinking"]:
        if inner and _is_text(each) and _is_text(inner[-1]):
            inner[-1] = inner[-1] | {"text": inner[-1]["text"] + each["text"]}
        else:
            inner.append(copy.deepcopy(each))
    return {**block, "thinking": inner}


def _drop_unsigned(message: Json) -> None:
    """Drop thinking that was cut off before its signature came, which no API takes back."""
    details = message.get("reasoning_details")
    if isinstance(details, list):
        message["reasoning_details"] = [each for each in details if not _is_unsigned(each)]


def _is_unsigned(detail: Any) -> bool:
    if not isinstance(detail, dict) or detail.get("type") != "reasoning.text":
        return False
    return str(detail.get("format")).startswith("anthropic") and not detail.get("signature")


def _joined_pairs(value: Any) -> Any:
    """Return *value* with surrogate pairs rejoined that were split between chunks."""
    if isinstance(value, dict):
        return {key: _joined_pairs(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_joined_pairs(each) for each in value]
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return value
