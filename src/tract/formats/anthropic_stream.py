"""Message streams of Anthropic's API, event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tract.formats.assembly import TRUNCATING, Fragment
from tract.formats.openai_stream import field, plain

__all__ = ["AnthropicEvents"]


class AnthropicEvents:
    """Reads the events of one message stream, as SDK objects or as dicts.

    Both `messages.create(stream=True)` and the helper `messages.stream()` work: the events that the
    helper adds repeat earlier ones and are ignored. So are the blocks of the provider's own tools
    (`server_tool_use` and their results), which no caller has to answer.
    """

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}
        self._silent: set[int] = set()
        self._thought = False
        self._finished = False

    def feed(self, event: Any) -> list[Fragment]:
        """Return what *event* adds to the reply."""
        read = _READERS.get(field(event, "type"))
        return [] if read is None else list(read(self, event))

    def _message_start(self, event: Any) -> Iterator[Fragment]:
        message = field(event, "message")
        for kind, name in (("model", "model"), ("id", "id")):
            value = field(message, name)
            if isinstance(value, str) and value:
                yield (kind, value)
        usage = field(message, "usage")
        if usage is not None:
            yield ("usage", plain(usage))

    def _block_start(self, event: Any) -> Iterator[Fragment]:
        block, index = field(event, "content_block"), field(event, "index")
        kind = self._kinds[index] = field(block, "type")
        if kind == "tool_use":
            yield ("call", index, field(block, "id"), field(block, "name"), None)
            self._silent.add(index)
        elif kind == "text":
            yield from _more("text", field(block, "text"))
        elif kind == "thinking":
            if self._thought:
                yield ("reasoning", "\n\n")
            self._thought = True
            yield from _more("reasoning", field(block, "thinking"))
        elif kind == "redacted_thinking":
            yield from _more("redacted", field(block, "data"))

    def _block_delta(self, event: Any) -> Iterator[Fragment]:
        delta, index = field(event, "delta"), field(event, "index")
        kind = field(delta, "type")
        if kind == "text_delta":
            yield from _more("text", field(delta, "text"))
        elif kind == "input_json_delta" and self._kinds.get(index) == "tool_use":
            for _, arguments in _more("call", field(delta, "partial_json")):
                self._silent.discard(index)
                yield ("call", index, None, None, arguments)
        elif kind == "thinking_delta":
            yield from _more("reasoning", field(delta, "thinking"))
        elif kind == "signature_delta":
            yield from _more("signature", field(delta, "signature"))

    def _message_delta(self, event: Any) -> Iterator[Fragment]:
        usage = field(event, "usage")
        if usage is not None:
            yield ("usage", plain(usage))
        reason = field(field(event, "delta"), "stop_reason")
        if isinstance(reason, str) and reason:
            yield from self._finish(reason)

    def _message_stop(self, event: Any) -> Iterator[Fragment]:
        if not self._finished:
            yield from self._finish("end_turn")

    def _finish(self, reason: str) -> Iterator[Fragment]:
        if reason not in TRUNCATING:
            for index in sorted(self._silent):  # a call without arguments gets an empty object
                yield ("call", index, None, None, "{}")
        self._finished = True
        yield ("finish", reason)


def _more(kind: str, text: Any) -> Iterator[Fragment]:
    if isinstance(text, str) and text:
        yield (kind, text)


_READERS: dict[str, Callable[[AnthropicEvents, Any], Iterator[Fragment]]] = {
    "message_start": AnthropicEvents._message_start,
    "content_block_start": AnthropicEvents._block_start,
    "content_block_delta": AnthropicEvents._block_delta,
    "message_delta": AnthropicEvents._message_delta,
    "message_stop": AnthropicEvents._message_stop,
}
