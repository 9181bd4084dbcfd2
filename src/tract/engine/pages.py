"""What a sequence of entries shows: messages and provider dicts, made once per chunk.

Whoever compiles after every commit reads the whole context each time. Most of it was there
the time before, in chunks that snapshots share; so each chunk keeps its messages, already
joined, and the next look only joins what meets at the edges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tract.engine.entries import Chunk, Entries
from tract.engine.rendering import joined, joins
from tract.formats.openai import message_to_openai, to_openai
from tract.protocols import Message

__all__ = ["joined_messages", "openai_dicts"]


def joined_messages(entries: Entries) -> list[Message]:
    """Return the messages of the visible entries, consecutive ones of a role joined."""
    shown: list[Message] = []
    for edge, chunk in _edges(_chunks(entries)):
        if edge:
            shown.append(joined(edge))
        if chunk is not None:
            shown.extend(chunk.messages[1:-1])
    return shown


def openai_dicts(entries: Entries) -> list[dict[str, Any]]:
    """Return what `to_openai` makes of `joined_messages`, as new dicts."""
    chunks = _chunks(entries)
    if not all(chunk.openai is not None for chunk in chunks):
        return to_openai(joined_messages(entries))
    dicts: list[dict[str, Any]] = []
    for edge, chunk in _edges(chunks):
        if edge:
            dicts.append(message_to_openai(joined(edge)))
        if chunk is not None and chunk.openai is not None:
            dicts.extend(map(_copy if chunk.has_calls else dict.copy, chunk.openai))
    return dicts


def _copy(sent: dict[str, Any]) -> dict[str, Any]:
    copy = sent.copy()
    if "tool_calls" in copy:
        copy["tool_calls"] = [
            {**call, "function": call["function"].copy()} for call in copy["tool_calls"]
        ]
    return copy


def _chunks(entries: Entries) -> Sequence[Chunk]:
    return (*entries.full, Chunk(entries.tail)) if entries.tail else entries.full


def _edges(chunks: Sequence[Chunk]) -> Iterator[tuple[list[Message], Chunk | None]]:
    """Yield what to join at each edge between chunks, and the chunk whose inside follows it."""
    edge: list[Message] = []
    for chunk in chunks:
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
