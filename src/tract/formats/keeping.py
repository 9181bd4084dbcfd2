"""Requests that grow: what the beginning of a context became is kept, and only its end is written.

An agent sends its whole context at every step, and all but its end is what it sent before. A list
of messages can be cut where a user speaks after the model has said something and every call is
answered. No format joins or moves anything across such a cut, so what stands before it is written
once and copied from then on. Whatever depends on the whole list (ids that repeat, system messages
between the others, a provider's own tools, cache points) makes the list be written as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

from tract.formats.common.values import copied
from tract.formats.fitting import fits
from tract.formats.format import Format, Json, Sent, Writing
from tract.formats.pairing import is_models, matched
from tract.formats.registry import FORMATS
from tract.formats.sending import arguments
from tract.protocols import Message
from tract.protocols.parts import (
    MediaPart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["Kept", "kept_arguments"]

_END = Sent(Message("user", "."))
"""Stands for what follows a span, which always begins with a user's message."""
_PLAIN = (TextPart, MediaPart, ThinkingPart, RefusalPart, ToolCallPart, ToolResultPart)
_OF_THE_WHOLE = ("cache_control", "prompt_cache_breakpoint", "item_reference", "compaction")
"""What an API limits to so many in a request, or refers to other items."""
_MOST = 2
"""Requests of different kinds, by API and model, that are kept of a span."""

T = TypeVar("T")


class _Kind(NamedTuple):
    """What a request depends on besides the messages."""

    api: str
    model: str | None

    @property
    def target(self) -> Format:
        return FORMATS[self.api]


class _Written(NamedTuple):
    """What a span became."""

    items: list[Json]
    beside: Json
    """Other arguments, such as a system prompt."""
    ids: frozenset[str]
    """What no other span may have."""


class _Refused(Exception):
    """A list has to be written as a whole."""


class Kept:
    """What the messages of one page became: between its first cut and its last, and before that."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.cuts: Sequence[int] = _cuts(messages)
        self._messages = messages
        self._middles: dict[_Kind, _Written | None] = {}
        self._bridges: dict[_Kind, tuple[Kept | None, _Written | None]] = {}

    def middle(self, kind: _Kind) -> _Written:
        """Return what stands between the first cut and the last."""
        if kind not in self._middles:
            between = self._messages[self.cuts[0] : self.cuts[-1]]
            _keep(self._middles, kind, _written_or_none(between, kind, is_first=False))
        return _accepted(self._middles.get(kind))

    def bridge(self, kind: _Kind, before: Kept | None, messages: Sequence[Message]) -> _Written:
        """Return what stands before the first cut: *messages*, which begin on the page *before*."""
        known = self._bridges.get(kind)
        if known is not None and known[0] is before:
            return _accepted(known[1])
        found = _written_or_none(messages, kind, is_first=before is None)
        _keep(self._bridges, kind, (before, found))
        return _accepted(found)

    def grown(self, messages: Sequence[Message], same: int) -> Kept:
        """Return what is kept of *messages*, of which the first *same* are those of this page."""
        kept = Kept(messages)
        if not self.cuts or self.cuts[-1] > same:
            return kept
        kept._bridges = dict(self._bridges)
        start, stop = self.cuts[-1], kept.cuts[-1]
        for kind, written in self._middles.items():
            try:
                new = _written(messages[start:stop], kind, is_first=False)
                kept._middles[kind] = _together([_accepted(written), new])
            except _Refused:
                kept._middles[kind] = None
        return kept


class KeptPage(Protocol):
    """A part of a context that is shared with the contexts that grow out of it."""

    messages: tuple[Message, ...]

    @property
    def kept(self) -> Kept:
        """What its messages became."""

    def join(self, last: Message) -> Message | None:
        """Return the message that *last*, of the page before, and the first one are together."""


def kept_arguments(target: Format, pages: Sequence[KeptPage], model: str | None) -> Json | None:
    """Return what `arguments` does for the messages of *pages*; None if it has to be asked.

    Losses are not named.
    """
    if not isinstance(model, str | None):
        return None
    kind = _Kind(target.api, model)
    try:
        *spans, end = _spans(pages, kind)
        together = _together(spans)
        last = _last(end, kind, together.ids)
    except _Refused:
        return None
    name = _list_of(target.api)
    return {**copied(together.beside), name: [*copied(together.items), *last]}


def _spans(pages: Sequence[KeptPage], kind: _Kind) -> Iterator[Any]:
    """Yield what the spans became, and last the messages behind the last cut."""
    before: Kept | None = None
    open_end: list[Message] = []
    for page in pages:
        if not page.messages:
            continue
        kept = page.kept
        if not kept.cuts:
            raise _Refused
        head = list(page.messages[: kept.cuts[0]])
        both = page.join(open_end[-1]) if open_end else None
        if both is not None:
            open_end[-1:], head[:1] = [both], []
        yield kept.bridge(kind, before, [*open_end, *head])
        yield kept.middle(kind)
        before, open_end = kept, list(page.messages[kept.cuts[-1] :])
    if before is None:
        raise _Refused
    yield open_end


def _cuts(messages: Sequence[Message]) -> list[int]:
    """Return where a user speaks after something that the model said."""
    return [
        at
        for at in range(1, len(messages))
        if _is_users(messages[at])
        and is_models(messages[at - 1])
        and not messages[at - 1].tool_calls
    ]


def _is_users(message: Message) -> bool:
    if message.role != "user" or message.tool_calls:
        return False
    return message.given is None or all(
        isinstance(part, TextPart | MediaPart) for part in message.given
    )


def _written_or_none(
    messages: Sequence[Message], kind: _Kind, *, is_first: bool
) -> _Written | None:
    try:
        return _written(messages, kind, is_first=is_first)
    except _Refused:
        return None


def _accepted(written: _Written | None) -> _Written:
    if written is None:
        raise _Refused
    return written


def _written(messages: Sequence[Message], kind: _Kind, *, is_first: bool) -> _Written:
    """Return what a span becomes that another follows.

    Raises:
        _Refused: it depends on what stands elsewhere.
    """
    if not messages:
        return _Written([], {}, frozenset())
    ids = _ids_of(messages, kind, is_first=is_first)
    given = _arguments(messages, kind, end=True)
    items = given.pop(_list_of(kind.api))
    if not items or items.pop() != _end_of(kind.api):
        raise _Refused
    if not is_first and (given or not _begins(items)):
        raise _Refused
    return _Written(items, given, ids | _own_ids(items, ids))


def _last(messages: Sequence[Message], kind: _Kind, known: frozenset[str]) -> list[Json]:
    """Return what the messages behind the last cut become, of which nothing is kept."""
    if any(message.role not in _SIDES or _refers(message) for message in messages):
        raise _Refused
    calls, results = matched(messages)
    ids = {each.id for each in calls} | {each.call_id for each in results}
    if None in ids or not ids.isdisjoint(known):
        raise _Refused
    given = _arguments(messages, kind, end=False)
    items: list[Json] = given.pop(_list_of(kind.api))
    if given or not _begins(items) or not _own_ids(items, frozenset()).isdisjoint(known):
        raise _Refused
    return items


def _begins(items: Sequence[Json]) -> bool:
    """Return True if the user speaks first, so that nothing joins what stands before."""
    return bool(items) and items[0].get("role") == "user"


def _arguments(messages: Sequence[Message], kind: _Kind, *, end: bool) -> Json:
    sent = [*map(Sent, messages), *([_END] if end else [])]
    return arguments(kind.target, sent, Writing(model=kind.model))


_SIDES = frozenset({"user", "assistant", "tool"})


def _ids_of(messages: Sequence[Message], kind: _Kind, *, is_first: bool) -> frozenset[str]:
    """Return the ids of the calls in a span that does not depend on others."""
    begins = True
    for message in messages:
        begins = begins and message.role not in _SIDES and is_first
        if not (begins or message.role in _SIDES) or not _is_by_itself(message):
            raise _Refused
    calls, results = matched(messages)
    rules = kind.target.rules_of(kind.model)
    ids = {call.id for call in calls if call.id is not None and fits(call.id, "tool", rules)}
    paired = all(call.result for call in calls) and all(result.call for result in results)
    if not paired or len(ids) < len(calls):
        raise _Refused
    return frozenset(ids)


def _is_by_itself(message: Message) -> bool:
    texts = [] if message.native is None else [message.native.text]
    for part in message.given or ():
        if not isinstance(part, _PLAIN) or _is_servers(part):
            return False
        if part.native is not None:
            texts.append(part.native.text)
    return not any(word in text for text in texts for word in _OF_THE_WHOLE)


def _refers(message: Message) -> bool:
    return message.native is not None and "item_reference" in message.native.text


def _is_servers(part: Part) -> bool:
    return isinstance(part, ToolCallPart | ToolResultPart) and part.kind == "server"


def _own_ids(items: Sequence[Json], known: frozenset[str]) -> frozenset[str]:
    """Return the ids that items have themselves, in APIs where these must not repeat."""
    found = [item["id"] for item in items if isinstance(item.get("id"), str)]
    if len(set(found)) < len(found) or not known.isdisjoint(found):
        raise _Refused
    return frozenset(found)


def _together(spans: Sequence[_Written]) -> _Written:
    items: list[Json] = []
    beside: Json = {}
    ids: set[str] = set()
    for written in spans:
        if not ids.isdisjoint(written.ids):
            raise _Refused
        items += written.items
        beside |= written.beside
        ids |= written.ids
    return _Written(items, beside, frozenset(ids))


@lru_cache
def _list_of(api: str) -> str:
    """Return the name of the argument that is the list of messages."""
    [name] = arguments(FORMATS[api], [_END], Writing())
    return name


@lru_cache
def _end_of(api: str) -> Json:
    [[item]] = arguments(FORMATS[api], [_END], Writing()).values()
    found: Json = item
    return found


def _keep(kept: dict[_Kind, T], kind: _Kind, value: T) -> None:
    if len(kept) >= _MOST:
        kept.pop(next(iter(kept)), None)
    kept[kind] = value
