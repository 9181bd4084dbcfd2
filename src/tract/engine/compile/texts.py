"""Chunks of nothing but texts, which become entries once somebody looks inside.

Most of what a first compile folds is looked at as a whole or not at all. So a run of commits
that each show one text is folded as values: what the token sums and the cache need of them, and what
their entries are made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from pydantic_core import from_json

from tract.engine.compile.entries import ENTRY_OVERHEAD, Chunk, Entry, Growth, size_of
from tract.engine.compile.pages import NO_CALLS, Calls, Page
from tract.engine.contents.provided import TOOLS
from tract.engine.contents.rendering import Teller
from tract.engine.tokens.counters import BaseTokenCounter
from tract.formats.openai_chat.writing import alone
from tract.models.annotations import Priority
from tract.models.operations import CommitOperation
from tract.protocols import CommitStep, Message

__all__ = ["Line", "Plain", "TextChunk", "lines_of"]

_APPEND = CommitOperation.APPEND.value
_KNOWN_TO_CHAT = {"system", "user", "assistant"}
_APART = {"tool", TOOLS}  # roles of messages that are more than a text


class Plain(NamedTuple):
    """How the contents of a type that has nothing but text become entries."""

    tell: Teller
    role: str | None
    priority: Priority
    source: str


class Line(NamedTuple):
    """An entry of one text that joins no other; the fields are those of its `Entry` and `Message`."""

    commit_hash: str
    role: str
    text: str
    name: str | None
    body_tokens: int
    message_tokens: int
    config_json: str | None
    priority: Priority
    nbytes: int

    @property
    def message(self) -> Message:
        """The message, made anew."""
        return Message(self.role, self.text, self.name)

    def entry(self, message: Message) -> Entry:
        """Return the entry that shows *message*."""
        return Entry(
            self.commit_hash,
            message,
            self.body_tokens,
            self.message_tokens,
            self.config_json,
            self.priority,
            None,
            self.nbytes,
        )


def lines_of(
    steps: Sequence[CommitStep],
    types: Mapping[str, Plain],
    sums: BaseTokenCounter | None,
    shared: Callable[[str | None], str | None],
) -> list[Line] | None:
    """Return commits that append a text each, or None if they are not such.

    None, too, if two texts join, if a text has to be counted, or if a content is damaged. *shared*
    returns one object for equal configs. The loop runs once for each commit of a first compile.
    """
    lines: list[Line] = []
    beside: dict[tuple[str, str | None, str | None], tuple[int, int]] = {}
    before: tuple[str, str | None] | None = None
    try:
        for commit_hash, operation, _, content_type, data, count, source, config_json in steps:
            plain = types[content_type]
            if operation != _APPEND or (sums is not None and not source == plain.source != ""):
                return None
            role, text, name = plain.tell(from_json(data, cache_strings="keys"), plain.role)
            if (role, name) == before or role in _APART:
                return None
            before = role, name
            costs = beside.get((role, name, config_json))
            if costs is None:
                costs = beside[role, name, config_json] = (
                    0 if sums is None else sums.count_overhead(role, name),
                    sum(size_of(each) for each in (name, config_json) if each is not None),
                )
            overhead, nbytes = costs
            body = 0 if sums is None else count
            lines.append(
                Line(
                    commit_hash,
                    role,
                    text,
                    name,
                    body,
                    body + overhead,
                    shared(config_json),
                    plain.priority,
                    ENTRY_OVERHEAD + size_of(text) + nbytes,
                )
            )
    except (LookupError, TypeError, AttributeError, ValueError):
        return None
    return lines


class TextPage(Page):
    """The page of a chunk of lines: its dicts are made of these, its messages if asked for."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self.copied: int = 0
        self.is_nested: bool = False
        self.first: Message | None = lines[0].message

    @cached_property
    def messages(self) -> tuple[Message, ...]:  # type: ignore[override]  # made when asked for
        """The messages, none of which joins another."""
        return tuple(line.message for line in self._lines)

    @property
    def last(self) -> Message | None:
        return self._lines[-1].message

    @cached_property
    def openai(self) -> tuple[dict[str, Any], ...] | None:
        made = [
            {"role": line.role, "content": line.text}
            if line.name is None and line.role in _KNOWN_TO_CHAT
            else alone(line.message)
            for line in self._lines
        ]
        found = [each for each in made if each is not None]
        return tuple(found) if len(found) == len(made) else None

    @property
    def calls(self) -> Calls | None:  # a text has none
        """How its calls are answered."""
        return NO_CALLS


class TextChunk(Chunk):
    """A chunk of lines, all of which the context shows."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines: tuple[Line, ...] = tuple(lines)
        self.size: int = len(lines)
        self.growth: Growth = Growth(self.size)
        self.visible: bool = True
        self.nbytes: int = sum(line.nbytes for line in lines)

    @cached_property
    def items(self) -> tuple[Entry, ...]:  # type: ignore[override]  # made once somebody looks inside
        """The entries."""
        return tuple(map(Line.entry, self.lines, self.page.messages))

    @cached_property
    def index(self) -> dict[str, int]:
        return {line.commit_hash: position for position, line in enumerate(self.lines)}

    @property
    def shown(self) -> tuple[Entry, ...]:  # all of them
        """Its visible entries."""
        return self.items

    @cached_property
    def page(self) -> TextPage:  # kept, as it copies no text
        """The page of all of them."""
        return TextPage(self.lines)

    @cached_property
    def shown_tokens(self) -> int:
        return sum(line.message_tokens for line in self.lines)

    @property
    def compactions(self) -> frozenset[str]:  # none hides a line
        return frozenset()

    @property
    def attachments(self) -> frozenset[str]:  # a text refers to none
        return frozenset()
