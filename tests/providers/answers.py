"""What a provider's stand-in answers, whatever its API: text, thinking and calls of tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from providers.exchanges import Event

Body = dict[str, Any]


class Call(NamedTuple):
    """A call of a tool; the API gives it an id."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of a script."""

    text: str = ""
    thinking: str = ""
    """What the model thinks first; it is signed, and the next step of a tool loop needs it."""
    calls: tuple[Call, ...] = ()
    cut_off: bool = False
    """It came to the most tokens that the request allows; only whole replies say so."""
    hold_after: int | None = None
    """After so many events of a stream nothing more comes, until the client goes; of a whole
    reply nothing comes at all."""
    cut_after: int | None = None
    """After so many events of a stream the connection is reset."""


class Seal(NamedTuple):
    """Something signed that has to come back to the byte with the calls that it was given with."""

    calls: frozenset[str]
    value: str


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """An API as a server speaks it."""

    api: str
    base: str
    """What clients add to the server's address."""
    whole: Callable[[Answer, int, Body], Body]
    """Makes the whole reply of an answer; the number makes its ids unique."""
    events: Callable[[Body], Iterator[Event]]
    """Makes the stream of a whole reply."""
    seals: Callable[[Body], list[Seal]]
    """Lists what of a whole reply must come back."""
    sent: Callable[[Body], tuple[set[str], set[str]]]
    """Lists the ids of the calls that a request may not come without thinking of, and what of the
    whole request is signed."""
    error: Callable[[str], Body]
    """Makes the body of an answer of status 400."""
    verifies: bool = True
    """What is signed must be of this server."""
    ends_with_done: bool = False
    """A stream ends with `data: [DONE]`."""


def exact(value: Any) -> str:
    """Return the JSON of a value, to compare it by."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def pieces(text: str, size: int = 7) -> Iterator[str]:
    """Yield a text in pieces, as models give it."""
    return (text[n : n + size] for n in range(0, len(text), size))


def tokens(text: str) -> int:
    """Return a count of tokens that is good enough for usage."""
    return len(text.split())
