"""What a format is: one API's items, in and out.

There is one `Format` an API. Each is a set of pure functions over JSON values; nothing here does
I/O, and another API is one more of them in `tract.formats.registry`.

- `read` turns one item into parts, which is how every other format and the token counts see it.
- `contents` turns items into the contents to commit: short ones where they say the same, else
  `NativeContent`, which keeps the item.
- `write` turns messages into the arguments of a request. A message that came from the same API
  goes out as it came; others are translated part by part.
- `read_tool` and `define` do for the definitions of tools what `read` and `write` do for items.
- `reply` and `events` read answers, whole and streamed, as the items for the next request.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, cast

from tract.formats.deltas import Delta
from tract.models.content import ContentModel
from tract.protocols import Loss, Message
from tract.protocols.parts import Part, ToolCallPart

__all__ = [
    "GO_ON",
    "Events",
    "Format",
    "Json",
    "Read",
    "Reading",
    "Reply",
    "Rules",
    "Sent",
    "Tool",
    "Writing",
    "as_json",
]

Json = dict[str, Any]

GO_ON = "Go on."
"""What the user says where a request would end with the model, and the API does not take that."""


class Reading(NamedTuple):
    """An item as a message: its role in neutral terms, its parts, and a name if it has one.

    The role is `system`, `developer`, `user`, `assistant` or `tool`, or else the API's own word.
    """

    role: str
    parts: tuple[Part, ...]
    name: str | None = None


class Sent(NamedTuple):
    """A message on its way out, and the commit of the entry that it shows."""

    message: Message
    commit_hash: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What an API takes as the id of a call and as the name of a tool.

    Args:
        id_refused: matches a character that an id must not have.
        id_longest: characters that an id may have.
        id_shortest: characters that an id must have.
        unique: no two calls of a request may have one id.
        name_refused: matches a character that a tool's name must not have.
        name_longest: characters that a tool's name may have.
        results_are_named: a result has to have the name of its call.
    """

    id_refused: re.Pattern[str] = re.compile(r"[^a-zA-Z0-9_-]")
    id_longest: int = 64
    id_shortest: int = 1
    unique: bool = True
    name_refused: re.Pattern[str] = re.compile(r"[^a-zA-Z0-9_-]")
    name_longest: int = 64
    results_are_named: bool = False


@dataclass(slots=True)
class Writing:
    """How messages are written, and what that loses.

    Args:
        exact: send what was committed, item by item, and mend nothing.
        load: returns an attachment's bytes by SHA-256.
        model: the model that the request goes to; None if unknown.
        losses: what is left out or changed, in the order of the messages.
    """

    exact: bool = False
    load: Callable[[str], bytes] = field(default=lambda sha256: b"")
    model: str | None = None
    losses: list[Loss] = field(default_factory=list)

    def lose(self, sent: Sent, what: str, why: str) -> None:
        """Note that a part of *sent* is not sent as it is."""
        self.losses.append(Loss(sent.commit_hash, what, why))


class Tool(NamedTuple):
    """The definition of a tool in neutral terms.

    A tool that only its own API can express has no such form.
    """

    name: str
    description: str | None
    parameters: Json
    strict: bool | None = None
    kind: Literal["function", "custom"] = "function"
    """What a call gives: arguments by the schema in `parameters`, or a text by the format there."""
    is_nested: bool = False
    """It stands in a namespace, which only its own API has."""


class Reply(NamedTuple):
    """A model's answer: the items for the next request, and what the API said about it.

    `unfinished` are calls that were cut off; they are in no item.
    """

    items: list[Json]
    usage: Json | None = None
    model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    unfinished: tuple[ToolCallPart, ...] = ()
    unknown: tuple[str, ...] = ()
    """Kinds of events or items that this release does not know; they were kept."""


class Events(ABC):
    """Reads the events of one stream; one instance a stream."""

    @abstractmethod
    def feed(self, event: Json) -> list[Delta]:
        """Return what an event adds. It must not keep the event, nor hand out parts of it."""

    @abstractmethod
    def reply(self, root: Json, *, complete: bool) -> Reply:
        """Return the reply that the deltas have built; *complete* says that the stream has ended.

        A pure function of *root*, so that a stream can be recovered in another process from its
        deltas alone. What is cut off is mended as far as the API takes it back.
        """


class Read(Protocol):
    """Reads one item."""

    def __call__(self, item: Json, *, keep: bool = False) -> Reading:
        """Return an item as parts; see `Format.read`."""


def _offered(definitions: list[Json], writing: Writing, *, is_own: bool) -> Json:
    """Return the argument `tools`, which most APIs have."""
    return {"tools": definitions}


@dataclass(frozen=True, kw_only=True)
class Format:
    """One API: what it takes, and the functions that read and write it."""

    api: str
    """Its name, as in `NativeContent.api`."""
    rules: Rules = Rules()
    """What it takes as ids and names of calls."""
    narrower: Callable[[str | None], Rules | None] = lambda model: None
    """Return what a model takes of those, if that is less."""
    read: Read
    """Return an item as parts; with *keep*, each has its own JSON as `native`.

    Any JSON object is an item: what this release does not know becomes a `NativePart`. Media are
    references where they were taken out; see `tract.history.media`.
    """
    contents: Callable[[Sequence[Json]], list[ContentModel]]
    """Return the contents to commit for items, in order."""
    write: Callable[[Sequence[Sent], Writing], Json]
    """Return the arguments of a request, as new dicts and lists, without its tools.

    Unless `writing.exact`, calls and results are paired already (`tract.formats.pairing`), and ids
    fit the API; what remains is its roles, order and blocks. Never raises for what it cannot send:
    that is left out or translated, and named in `writing.losses`.
    """
    read_tool: Callable[[Json], list[Tool]]
    """Return the tools that one of this API's definitions defines; none if only it has them."""
    define: Callable[[Tool, Writing], Json | None]
    """Return the definition of a tool, or None if the API has no such tool."""
    offer: Callable[..., Json] = _offered
    """Return the arguments for definitions, of this API's own or those that `define` returned."""
    reply: Callable[[Json], Reply | None]
    """Return a whole answer, or None if it is not this API's."""
    is_event: Callable[[Json], bool]
    """Return True if an event may begin a stream of this API."""
    events: Callable[[], Events]
    """Return a reader for one stream."""

    def rules_of(self, model: str | None) -> Rules:
        """Return what a model takes as ids and names of calls; None stands for an unknown one."""
        return self.narrower(model) or self.rules

    def request(self, given: Json, tools: Json) -> Json:
        """Return the arguments of one call, from those of its messages and of its tools."""
        both = {key: {**given[key], **tools[key]} for key in given.keys() & tools.keys()}
        return {**given, **tools, **both}


def as_json(value: object) -> Mapping[str, Any] | None:
    """Return an SDK's object or a mapping as JSON values, without what was not set; else None."""
    kind = type(value)  # `isinstance` would run code of the value's own class
    if issubclass(kind, Mapping):
        return cast("Mapping[str, Any]", value)
    dump = getattr(value, "model_dump", None)
    if dump is None or issubclass(kind, type):
        return None
    # What a later release of an API sends is not of the types that the SDK declares: no warnings.
    dumped = dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    return dumped if isinstance(dumped, Mapping) else None
