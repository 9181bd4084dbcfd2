"""What has arrived of a reply so far, as the format of its API reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any

from tract.engine.streams.reasons import INCOMPLETE
from tract.engine.threads import is_heavy
from tract.formats.deltas import Delta, apply, mended
from tract.formats.format import Format, Reply
from tract.formats.former import from_fragments
from tract.formats.registry import format_of
from tract.models.content import ContentModel
from tract.protocols import ToolCall
from tract.protocols.parts import Part, RefusalPart, TextPart, ThinkingPart, ToolCallPart

__all__ = ["FRAME", "Arrived", "Frame"]

Frame = Sequence[Any]
"""What is saved of a stream: a delta; `("opening", fields)`, what was known before it began; or
`("ended", reason)`, which says that it was left uncommitted, and why it broke off, if it did."""
FRAME = frozenset({"opening", "ended"})
"""The kinds of frames that say nothing of what arrived."""


class Arrived:
    """A stream as far as it has arrived; `grown` returns it with more.

    Text that is written piece by piece, which no API sent, is in the root's `text`.

    Args:
        preamble: what was known before it began; its `api` names the API, once that is known.
        reply: a whole reply, to which nothing is added.
    """

    def __init__(self, preamble: dict[str, Any] | None = None, reply: Reply | None = None) -> None:
        self.preamble: dict[str, Any] = {} if preamble is None else preamble
        self.has_ended: bool = False
        """Whether the stream was left, whole or not."""
        self.interruption: str | None = None
        """Why the stream broke off, if it did."""
        self.misfits: tuple[str, ...] = ()
        """Where pieces came that do not fit what came before them, and were left out."""
        self._root: dict[str, Any] = {}
        self._reply = reply

    @classmethod
    def saved(cls, frames: Iterable[Frame]) -> Arrived:
        """Return a stream as it was saved, by this release or an earlier one."""
        preamble: dict[str, Any] = {}
        ended: Frame | None = None
        added: list[Frame] = []
        for frame in frames:
            if frame[0] == "opening":
                preamble = frame[1]
            elif frame[0] == "ended":
                ended = frame
            else:
                added.append(frame)
        if "api" not in preamble:
            preamble, added = from_fragments(preamble, added)
        arrived = cls(preamble).grown(added)
        if ended is not None:
            arrived.end(ended[1])
        return arrived

    def grown(self, deltas: Iterable[Delta]) -> Arrived:
        """Return the stream with *deltas* added, in order; this one stays as it is."""
        more = copy(self)
        more._reply, more._root = None, _copied(self._root)
        for delta in deltas:
            if not apply(more._root, [delta]):
                more.misfits += (".".join(map(str, delta[1])),)
        return more

    def end(self, interruption: str | None) -> None:
        """Note that nothing more comes, and why it broke off, if it did."""
        self.has_ended, self.interruption = True, interruption
        self._reply = None

    @property
    def format(self) -> Format | None:
        """The format of the API; None for plain text, or if the API is not known yet.

        Raises:
            ValueError: the stream was saved by a release that knows more APIs.
        """
        api = self.preamble.get("api")
        return None if api is None else format_of(api)

    @property
    def reply(self) -> Reply:
        """The reply, without items if it is plain text."""
        if self._reply is None:
            format_ = self.format
            self._reply = Reply([]) if format_ is None else self._read(format_)
        return self._reply

    @property
    def text(self) -> str:
        """The text, and a refusal's; texts with something else between them are paragraphs."""
        if self.format is None:
            return mended(self._root.get("text", ""))
        return "\n\n".join(text for parts in self._parts for text in _texts(parts))

    @property
    def reasoning(self) -> str:
        """The model's thinking, as far as the API shows it."""
        thoughts = [
            part.text for parts in self._parts for part in parts if isinstance(part, ThinkingPart)
        ]
        return "\n\n".join(filter(None, thoughts))

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The complete calls that the caller has to answer."""
        return [
            ToolCall(part.id, part.name, part.arguments)
            for parts in self._parts
            for part in parts
            if isinstance(part, ToolCallPart) and part.kind != "server"
        ]

    @property
    def called(self) -> list[str]:
        """The names of the tools that are called."""
        return [
            part.name for parts in self._parts for part in parts if isinstance(part, ToolCallPart)
        ]

    def rewrite(self, items: list[dict[str, Any]]) -> None:
        """Replace the items of a reply that has come to its end."""
        self._reply = self.reply._replace(items=items)

    @property
    def is_heavy(self) -> bool:
        """Whether reading it would block the event loop for long."""
        return is_heavy(self._root) if self._reply is None else is_heavy(self._reply.items)

    @property
    def is_empty(self) -> bool:
        """Whether nothing arrived that could be kept."""
        if self.format is None:
            return not self._root.get("text")
        items, usage, _, _, finish_reason, unfinished, _ = self.reply
        return not (items or usage or finish_reason or unfinished)

    def contents(self) -> list[ContentModel]:
        """Return the contents to commit for the reply's items."""
        format_ = self.format
        return [] if format_ is None else format_.contents(self.reply.items)

    def _read(self, format_: Format) -> Reply:
        """Return the reply so far; it is whole at the stream's own end, or with a finish reason."""
        over = self.has_ended and self.interruption in (None, INCOMPLETE)
        reply = format_.events().reply(self._root, complete=over)
        if over or reply.finish_reason is None:
            return reply
        return format_.events().reply(self._root, complete=True)

    @property
    def _parts(self) -> list[Sequence[Part]]:
        format_ = self.format
        return [] if format_ is None else [format_.read(item).parts for item in self.reply.items]


def _copied(root: dict[str, Any]) -> dict[str, Any]:
    """Return a copy that shares no list or dict with *root*, however deep it is."""
    made: list[Any] = [root.copy()]
    for place in made:  # which grows meanwhile
        for key, value in place.items() if isinstance(place, dict) else enumerate(place):
            if isinstance(value, (dict, list)):
                place[key] = value.copy()
                made.append(place[key])
    copied: dict[str, Any] = made[0]
    return copied


def _texts(parts: Sequence[Part]) -> list[str]:
    texts: list[str] = []
    goes_on = False
    for part in parts:
        text = part.text if isinstance(part, TextPart | RefusalPart) else None
        if text and goes_on:
            texts[-1] += text
        elif text:
            texts.append(text)
        goes_on = text is not None and (goes_on or bool(text))
    return texts
