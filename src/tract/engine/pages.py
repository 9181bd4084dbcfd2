"""What a sequence of entries shows: messages and provider dicts, made once per chunk.

Whoever compiles after every commit reads the whole context each time. Most of it was there
the time before, in chunks that snapshots share; so each chunk keeps its messages, already
joined, and the next look only joins what meets at the edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tract.engine.entries import Chunk, Entries
from tract.engine.rendering import joined, joins
from tract.formats.openai import message_to_openai, to_openai
from tract.protocols import Message

__all__ = ["joined_messages", "openai_dicts"]


def joined_messages(entries: Entries) -> list[Message]:
    """Return the messages of the visible entries, consecutive ones of a role joined."""
    shown: list[Message] = []
    for edge, chunk in _edges(entries):
        if edge:
            shown.append(joined(edge))
        if chunk is not None:
            shown.extend(chunk.messages[1:-1])
    return shown


def openai_dicts(entries: Entries) -> list[dict[str, Any]]:
    """Return what `to_openai` makes of `joined_messages`, as new dicts."""
    if not all(chunk.openai is not None for chunk in _chunks(entries)):
        return to_openai(joined_messages(entries))
    dicts: list[dict[str, Any]] = []
    for edge, chunk in _edges(entries):
        if edge:
            dicts.append(message_to_openai(joined(edge)))
        if chunk is not None and chunk.openai is not None:
            dicts.extend(map(_copy, chunk.openai))
    return dicts


def _copy(sent: dict[str, Any]) -> dict[str, Any]:
    copy = sent.copy()
    if "tool_calls" in copy:
        copy["tool_calls"] = [
            {**call, "function": call["function"].copy()} for call in copy["tool_calls"]
        ]
    return copy


def _chunks(entries: Entries) -> Iterator[Chunk]:
    yield from entries.full
    if entries.tail:
        yield Chunk(entries.tail)


def _edges(entries: Entries) -> Iterator[tuple[list[Message], Chunk | None]]:
    """Yield what to join at each edge between chunks, and the chunk whose inside follows it."""
    edge: list[Message] = []
    for chunk in _chunks(entries):
        messages = chunk.messages
        if not messages:
            continue
        if edge and not joins(edge[-1], messages[0]):
            yield edge, None
            edge = []
        edge.append(messages[0])
        if len(messages) > 1:
            yield edge, chunk
            edge = [messages[-1]]
    if edge:
        yield edge, None
