"""What a message becomes for an API that has sides in turn: groups of blocks, each on its side.

A block is what the API's messages consist of, under whatever name. `assistant` is the model's side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from tract.formats.common.own import own
from tract.formats.format import Json, Sent, Writing
from tract.protocols import Message
from tract.protocols.parts import Part, ThinkingPart, ToolCallPart, ToolResultPart

__all__ = ["Block", "Group", "Side", "Source", "groups_of", "runs", "side_of", "sources"]

Side = Literal["user", "assistant", "system"]


class Block(NamedTuple):
    """A block on its way out, and the message that it is of."""

    json: Json
    sent: Sent
    is_own: bool
    """The API made it; it goes out as it came."""


class Group(NamedTuple):
    """Blocks of one message that stand on one side of the conversation."""

    side: Side
    blocks: list[Block]
    item: Json | None = None
    """The item that the whole message came as."""


class Source(NamedTuple):
    """A message on its way out, and the item of the API that it came as, if it did."""

    sent: Sent
    item: Json | None


def sources(messages: Sequence[Sent], api: str, writing: Writing) -> Iterator[Source]:
    """Yield the messages and their own items; names are lost, which such APIs have no field for."""
    for sent in messages:
        if sent.message.name is not None:
            writing.lose(sent, "name", "the API has no field for it")
        yield Source(sent, own(sent.message.native, api, writing))


def side_of(message: Message) -> Side:
    """Return the side that a message speaks for."""
    if message.tool_calls or message.role == "assistant":
        return "assistant"
    return "system" if message.role in ("system", "developer") else "user"


def groups_of(
    sent: Sent, translated: Callable[[Part, Side], Sequence[tuple[Json, bool]]]
) -> Iterator[Group]:
    """Yield a message's blocks by side: calls are the model's, results the user's.

    *translated* returns the blocks that a part of the message becomes on its side, and whether each
    is the API's own.
    """
    side = side_of(sent.message)
    blocks = (
        (_stands(part, side), Block(made, sent, is_own))
        for part in sent.message.parts
        for made, is_own in translated(part, side)
    )
    for stands, group in groupby(blocks, key=lambda placed: placed[0]):
        yield Group(stands, [block for _, block in group])


def _stands(part: Part, side: Side) -> Side:
    if isinstance(part, ToolCallPart | ThinkingPart):
        return "assistant"
    if isinstance(part, ToolResultPart):
        return "assistant" if part.kind == "server" else "user"
    return side


def runs(groups: Sequence[Group]) -> list[list[Group]]:
    """Return the groups by runs of one side."""
    return [list(run) for _, run in groupby(groups, key=lambda group: group.side)]
