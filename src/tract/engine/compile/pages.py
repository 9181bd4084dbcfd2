"""Joining messages, and pages: the messages and provider dicts of neighbouring entries, made once.

A caller that compiles after every commit reads the whole context each time. Most of it was there
the time before, in pages that snapshots share. So each page keeps its messages, already joined,
and the next compile only joins messages that meet at the edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from tract.formats.common.values import copied
from tract.formats.fitting import fits
from tract.formats.keeping import Kept
from tract.formats.openai_chat.writing import alone, message_to_openai
from tract.formats.registry import FORMATS
from tract.protocols import Message, ToolCall

__all__ = [
    "JOINT",
    "NO_CALLS",
    "Calls",
    "Page",
    "joined",
    "joined_groups",
    "joined_messages",
    "joins",
    "openai_dicts",
]

JOINT = "\n\n"
"""The separator between the texts of joined messages: a blank line."""


def joins(before: Message, after: Message) -> bool:
    """Return True if *after* joins the message that ends with *before*.

    Texts of one role and name do, and tool calls join any assistant's message. Tool results never
    join. A text after or with tool calls does not join either, because it would move before earlier
    calls. A message of parts stays by itself: its order means something, and signatures cover it.
    """
    if before.given is not None or after.given is not None:
        return False
    if before.role != after.role or after.role == "tool":
        return False
    if after.tool_calls:
        return after.content is None
    return not before.tool_calls and before.name == after.name


def joined(group: Sequence[Message]) -> Message:
    """Return one message made of messages that each join the one before."""
    if len(group) == 1:
        return group[0]
    texts = [message.content for message in group if message.content is not None]
    return replace(
        group[0],
        content=JOINT.join(texts) if texts else None,
        tool_calls=tuple(call for message in group for call in message.tool_calls),
    )


def joined_groups(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield *messages*, joining each to the one before where it `joins`."""
    group: list[Message] = []
    for message in messages:
        if group and not joins(group[-1], message):
            yield joined(group)
            group = []
        group.append(message)
    if group:
        yield joined(group)


class Page:
    """An immutable part of a context: its messages, consecutive ones of a role joined.

    `first` is its first message before joining. It decides whether the page joins the one before: a
    text may join, where the same text joined with tool calls would not. `copied` counts the
    characters of joined texts, which are copies. `is_nested` is True if a message has tool calls
    or parts, so that its dict has dicts or lists in it.
    """

    def __init__(
        self, messages: tuple[Message, ...], first: Message | None, copied: int, *, is_nested: bool
    ) -> None:
        self.messages: tuple[Message, ...] = messages
        self.first: Message | None = first
        self.copied: int = copied
        self.is_nested: bool = is_nested

    @classmethod
    def of(cls, messages: Iterable[Message]) -> Page:
        """Return the page of *messages*."""
        messages = tuple(messages)
        given = set(map(id, messages))
        shown = tuple(joined_groups(messages))
        copied = sum(_length(message) for message in shown if id(message) not in given)
        is_nested = any(map(_is_nested, shown))
        return cls(shown, messages[0] if messages else None, copied, is_nested=is_nested)

    def follows(self, last: Message) -> bool:
        """Return True if the first message joins *last*, the last one of the page before."""
        return self.first is not None and joins(last, self.first)

    def join(self, last: Message) -> Message | None:
        """Return *last* and the first message as one; None if they do not join."""
        return joined((last, self.messages[0])) if self.follows(last) else None

    @property
    def last(self) -> Message | None:
        """Its last message, if it has any."""
        return self.messages[-1] if self.messages else None

    @cached_property
    def kept(self) -> Kept:
        """What its messages became in requests."""
        return Kept(self.messages)

    @cached_property
    def openai(self) -> tuple[dict[str, Any], ...] | None:
        """The provider dict of each message; None if one depends on others, as generated ids do."""
        return _alone(self.messages)

    @cached_property
    def calls(self) -> Calls | None:
        """How its calls are answered; None if they are not paired as they stand."""
        return _calls_of(self.messages)

    def grown(self, messages: Iterable[Message]) -> Page:
        """Return the page extended by *messages*; provider dicts made before are kept."""
        shown = list(self.messages)
        first = self.first
        kept = len(shown)
        copied = self.copied
        is_nested = self.is_nested
        for message in messages:
            first = first or message
            is_nested = is_nested or _is_nested(message)
            if shown and joins(shown[-1], message):
                kept = min(kept, len(shown) - 1)
                shown[-1] = joined((shown[-1], message))
                copied += _length(shown[-1])  # an upper bound: a text joined before counts twice
            else:
                shown.append(message)
        page = Page(tuple(shown), first, copied, is_nested=is_nested)
        made = self.__dict__.get("openai")
        if made is not None:
            new = _alone(shown[kept:])
            page.__dict__["openai"] = None if new is None else (*made[:kept], *new)
        written = self.__dict__.get("kept")
        if written is not None:
            page.__dict__["kept"] = written.grown(page.messages, kept)
        return page


def _alone(messages: Iterable[Message]) -> tuple[dict[str, Any], ...] | None:
    """Return the dict of each message; None if one depends on others."""
    made: list[dict[str, Any]] = []
    for message in messages:
        written = alone(message)
        if written is None:
            return None
        made.append(written)
    return tuple(made)


def _is_nested(message: Message) -> bool:
    return bool(message.tool_calls) or message.given is not None


def _length(message: Message) -> int:
    return len(message.content or "")


def joined_messages(pages: Iterable[Page]) -> list[Message]:
    """Return the messages of all pages, consecutive ones of a role joined."""
    shown: list[Message] = []
    group: list[Message] = []  # parts of the last message, joined once: else this is quadratic
    for page in pages:
        messages = page.messages
        if shown and page.follows(shown[-1]):
            group = group or [shown[-1]]
            group.append(messages[0])
            shown[-1] = messages[0]
            messages = messages[1:]
        if group and messages:
            shown[-1] = joined(group)
            group = []
        shown.extend(messages)
    if group:
        shown[-1] = joined(group)
    return shown


def openai_dicts(pages: Sequence[Page]) -> list[dict[str, Any]] | None:
    """Return the messages of a Chat request, as new dicts.

    None if they have to be written one by one: calls and results are not paired as they stand, an
    id is missing or does not fit, or a message has parts.
    """
    if not _are_paired(pages):
        return None
    dicts: list[dict[str, Any]] = []
    group: list[Message] = []
    last: Message | None = None
    for page in pages:
        made = page.openai
        if made is None:
            return None
        if not made:
            continue
        if last is not None and page.follows(last):
            group = group or [last]
            group.append(page.messages[0])
            made = made[1:]
        if group and made:
            dicts[-1] = message_to_openai(joined(group))
            group = []
        dicts.extend(map(copied if page.is_nested else dict.copy, made))
        last = page.last
    if group:
        dicts[-1] = message_to_openai(joined(group))
    return dicts


class Calls(NamedTuple):
    """How the tool calls of some messages are answered, as far as their own page shows.

    `answers` are the results with which the page begins, `more` says whether there is anything
    behind them, and `open` are its last calls that it does not answer; both by id, with the name of
    the tool, which results need not have.
    """

    answers: dict[str, str | None]
    more: bool
    open: dict[str, str]


NO_CALLS = Calls({}, True, {})
"""Of messages without calls and results, or with none that others see: those of most pages."""


def _calls_of(messages: Iterable[Message]) -> Calls | None:
    answers: dict[str, str | None] = {}
    pending: dict[str, str] = {}
    begun = False
    for message in messages:
        if message.tool_calls:
            ids = {str(call.id): call.name for call in message.tool_calls}
            fit = all(map(_fits, message.tool_calls))
            if pending or not fit or len(ids) < len(message.tool_calls):
                return None
            pending = ids
        elif message.role == "tool":
            answer, name = message.tool_call_id, _name_sent(message)
            if answer in pending:
                if name not in (None, pending.pop(answer)):
                    return None
            elif begun or answer is None or answer in answers:
                return None
            else:
                answers[answer] = name
            continue
        elif pending:
            return None
        begun = True
    return Calls(answers, begun, pending) if answers or pending or not begun else NO_CALLS


def _name_sent(message: Message) -> str | None:
    """Return the tool's name if a result is sent with it; one of this API's own may be."""
    return None if message.given is None else message.tool_name


def _fits(call: ToolCall) -> bool:
    return call.id is not None and fits(call.id, call.name, FORMATS["openai.chat"].rules)


def _are_paired(pages: Iterable[Page]) -> bool:
    """Return True if every call is answered directly behind it, and every result has its call."""
    pending: dict[str, str] = {}
    for page in pages:
        if page.first is None:
            continue
        calls = page.calls
        if calls is None:
            return False
        if calls is NO_CALLS and not pending:
            continue
        if not calls.answers.keys() <= pending.keys():
            return False
        if any(name not in (None, pending[each]) for each, name in calls.answers.items()):
            return False
        left = {each: name for each, name in pending.items() if each not in calls.answers}
        if left and calls.more:
            return False
        pending = left | calls.open
    return not pending
