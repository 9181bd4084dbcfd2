"""A streamed reply assembled from its fragments, whichever provider it came from.

A fragment is a tuple of JSON values that begins with its kind. So a stream can be spooled as it
arrives, and assembled again from what was spooled:

- `("text", text)`, `("refusal", text)`, `("reasoning", text)`: more of that text;
- `("call", slot, id, name, arguments)`: more of a tool call; a part is None if none came;
- `("signature", text)`, `("redacted", data)`: what accompanies a model's reasoning;
- `("model", name)`, `("id", id)`, `("usage", report)`: facts; the latest holds;
- `("finish", reason)`: the reply is complete, and why it ended;
- `("opening", fields)`: the preamble, what was known before the stream began;
- `("ended", reason)`: the stream was left uncommitted; why, if it broke off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tract.protocols import ToolCall

__all__ = ["TRUNCATING", "Assembly", "Fragment", "compacted", "mended"]

Fragment = Sequence[Any]

TRUNCATING = frozenset({"length", "content_filter", "max_tokens", "model_context_window_exceeded"})
"""Finish reasons that may leave the last tool call unfinished."""
_TEXTS = frozenset({"text", "refusal", "reasoning"})


class _Call:
    """A tool call as far as it has arrived."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name: str = ""
        self.arguments: list[str] = []

    def add(self, call_id: str | None, name: str | None, arguments: str | None) -> None:
        self.id = self.id or call_id
        if name and name != self.name and not self.arguments:
            self.name += name
        if arguments:
            self.arguments.append(arguments)

    def done(self) -> ToolCall:
        return ToolCall(self.id, mended(self.name), mended("".join(self.arguments)))


class Assembly:
    """What has arrived of a reply so far; it only grows, by `add`."""

    def __init__(self, fragments: Iterable[Fragment] = ()) -> None:
        self._texts: dict[str, list[str]] = {kind: [] for kind in _TEXTS}
        self._calls: dict[int, _Call] = {}
        self.signatures: list[str] = []
        self.redacted: list[str] = []
        self.preamble: Mapping[str, Any] = {}
        self.model: str | None = None
        """The model that the response names."""
        self.response_id: str | None = None
        """The response's own id."""
        self.finish_reason: str | None = None
        """The finish reason, in the provider's words; None until it arrives."""
        self.has_ended: bool = False
        """Whether the stream was left; set only if it could not be committed."""
        self.interruption: str | None = None
        """Why the stream broke off, if it did."""
        self.usage: dict[str, Any] = {}
        """The usage report, merged from its parts; empty if none came."""
        self.extend(fragments)

    def extend(self, fragments: Iterable[Fragment]) -> None:
        """Add fragments in the order in which they arrived."""
        for kind, *values in fragments:
            texts = self._texts.get(kind)
            if texts is not None:
                texts += values
            elif kind in _ADDERS:
                _ADDERS[kind](self, *values)

    @property
    def text(self) -> str:
        """The text of the reply."""
        return self._text_of("text")

    @property
    def refusal(self) -> str:
        """The model's refusal, in its own words."""
        return self._text_of("refusal")

    @property
    def reasoning(self) -> str:
        """The model's reasoning, if the provider sends it."""
        return self._text_of("reasoning")

    @property
    def calls(self) -> list[ToolCall]:
        """The complete tool calls, in order; arguments are byte for byte as they arrived."""
        return [call.done() for _, call in sorted(self._calls.items()) if self._is_whole(call)]

    @property
    def unfinished_calls(self) -> list[ToolCall]:
        """The tool calls that were cut off, as far as they arrived."""
        return [call.done() for _, call in sorted(self._calls.items()) if not self._is_whole(call)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing arrived that could be kept."""
        return not (self._calls or self.redacted or any(map(any, self._texts.values())))

    def _is_whole(self, call: _Call) -> bool:
        """Return True if a call is complete; one that may be cut off must be a JSON object."""
        if not call.name:
            return False
        whole_reply = self.finish_reason is not None and self.finish_reason not in TRUNCATING
        return whole_reply or _is_object("".join(call.arguments))

    def _text_of(self, kind: str) -> str:
        texts = self._texts[kind]
        if len(texts) > 1:
            texts[:] = ["".join(texts)]
        return mended(texts[0]) if texts else ""

    def _add_call(
        self, slot: int, call_id: str | None, name: str | None, arguments: str | None
    ) -> None:
        self._calls.setdefault(slot, _Call()).add(call_id, name, arguments)

    def _set_model(self, name: str) -> None:
        self.model = name

    def _set_id(self, response_id: str) -> None:
        self.response_id = response_id

    def _set_finish(self, reason: str) -> None:
        self.finish_reason = reason

    def _set_preamble(self, fields: Mapping[str, Any]) -> None:
        self.preamble = fields

    def _set_ended(self, reason: str | None) -> None:
        self.has_ended = True
        self.interruption = reason

    def _add_usage(self, report: Mapping[str, Any]) -> None:
        self.usage.update({key: value for key, value in report.items() if value is not None})

    def _add_signature(self, signature: str) -> None:
        self.signatures.append(signature)

    def _add_redacted(self, data: str) -> None:
        self.redacted.append(data)


_ADDERS: dict[str, Callable[..., None]] = {
    "call": Assembly._add_call,
    "ended": Assembly._set_ended,
    "finish": Assembly._set_finish,
    "id": Assembly._set_id,
    "model": Assembly._set_model,
    "opening": Assembly._set_preamble,
    "redacted": Assembly._add_redacted,
    "signature": Assembly._add_signature,
    "usage": Assembly._add_usage,
}


def compacted(fragments: Iterable[Fragment]) -> list[Fragment]:
    """Return fragments that assemble to the same reply; adjacent texts and arguments are merged."""
    grouped: list[tuple[Fragment, list[str]]] = []
    for fragment in fragments:
        if grouped and _continues(grouped[-1][0], fragment):
            grouped[-1][1].append(fragment[-1])
        else:
            grouped.append((fragment, [fragment[-1]]))
    return [first if len(parts) == 1 else (*first[:-1], "".join(parts)) for first, parts in grouped]


def _continues(first: Fragment, fragment: Fragment) -> bool:
    """Return True if *fragment* only extends the last value of *first*."""
    if first[0] != fragment[0]:
        return False
    if first[0] in _TEXTS:
        return True
    same_call = first[0] == "call" and first[1] == fragment[1]
    return same_call and isinstance(first[-1], str) and _is_only_arguments(fragment)


def _is_only_arguments(fragment: Fragment) -> bool:
    return fragment[2] is None and fragment[3] is None and isinstance(fragment[4], str)


def mended(text: str) -> str:
    """Return *text* with surrogate pairs rejoined that were split; lone ones become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
