"""Ids of tool calls and their results, in the form that providers require.

Pure functions from messages to messages. They read a list from its beginning. So unless ids
collide, the id that a message gets does not depend on later messages, and prompts stay cacheable
while a context grows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from tract.protocols import Message, ToolCall

__all__ = ["fill_ids", "portable_ids"]

_PORTABLE = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_PORTABLE = re.compile(r"[^a-zA-Z0-9_-]")

_Nth = tuple[str, int]
"""An id, and which of the calls that carry it, counted from 1."""


def fill_ids(messages: Sequence[Message]) -> list[Message]:
    """Return *messages* with an id made up for every tool call or tool result that lacks one.

    Made-up ids are `call_1`, `call_2`, … in order, skipping those that a message already has. A
    result without an id answers the oldest unanswered call without an id before it: one of its
    own tool if there is one, else of any tool. Without such a call it gets a new id.
    """
    fresh = _fresh_ids(_explicit_ids(messages))
    unanswered: dict[str, str] = {}
    filled = []
    for message in messages:
        if message.tool_calls:
            calls = tuple(_with_id(call, fresh, unanswered) for call in message.tool_calls)
            message = replace(message, tool_calls=calls)
        elif message.role == "tool" and message.tool_call_id is None:
            answered = _oldest_unanswered(unanswered, message.tool_name) or next(fresh)
            unanswered.pop(answered, None)
            message = replace(message, tool_call_id=answered)
        filled.append(message)
    return filled


def _explicit_ids(messages: Sequence[Message]) -> set[str]:
    called = {call.id for message in messages for call in message.tool_calls}
    answered = {message.tool_call_id for message in messages}
    return {known for known in called | answered if known is not None}


def _fresh_ids(taken: set[str]) -> Iterator[str]:
    made_up = (f"call_{ordinal}" for ordinal in count(1))
    return (candidate for candidate in made_up if candidate not in taken)


def _with_id(call: ToolCall, fresh: Iterator[str], unanswered: dict[str, str]) -> ToolCall:
    if call.id is not None:
        return call
    named = replace(call, id=next(fresh))
    unanswered[str(named.id)] = call.name
    return named


def _oldest_unanswered(unanswered: dict[str, str], tool_name: str | None) -> str | None:
    own = (call_id for call_id, name in unanswered.items() if name == tool_name)
    return next(own, None) or next(iter(unanswered), None)


def portable_ids(messages: Sequence[Message]) -> list[Message]:
    """Return *messages*, all of which have ids, with ids that match `[a-zA-Z0-9_-]+`.

    Other characters become `_`. Ids that differ stay different, and a call that repeats an earlier
    call's id gets a new one; a suffix such as `_2` sees to both. Results follow their calls: a
    result answers the oldest unanswered call of its id in the assistant's latest turn, else the
    latest call of that id.
    """
    keys = _nth_uses(messages)
    new_ids = _portable_names(keys)
    ids = iter([new_ids[key] for key in keys])
    renamed = []
    for message in messages:
        if message.tool_calls:
            calls = tuple(replace(call, id=next(ids)) for call in message.tool_calls)
            message = replace(message, tool_calls=calls)
        elif message.role == "tool":
            message = replace(message, tool_call_id=next(ids))
        renamed.append(message)
    return renamed


def _nth_uses(messages: Sequence[Message]) -> list[_Nth]:
    """Return, for each call and each result in order, which use of its id it belongs to."""
    keys: list[_Nth] = []
    uses: Counter[str] = Counter()
    unanswered: dict[str, list[_Nth]] = {}
    in_turn = False
    for message in messages:
        if message.tool_calls:
            if not in_turn:
                unanswered.clear()
            for call in message.tool_calls:
                uses[str(call.id)] += 1
                key = (str(call.id), uses[str(call.id)])
                unanswered.setdefault(key[0], []).append(key)
                keys.append(key)
        elif message.role == "tool":
            known = str(message.tool_call_id)
            waiting = unanswered.get(known)
            keys.append(waiting.pop(0) if waiting else (known, max(uses[known], 1)))
        in_turn = bool(message.tool_calls) or message.role == "assistant"
    return keys


def _portable_names(keys: Sequence[_Nth]) -> dict[_Nth, str]:
    """Assign each key an id; an id that is portable already stays with its first use."""
    names = {(known, 1): known for known, _ in keys if _PORTABLE.fullmatch(known)}
    taken = set(names.values())
    for known, nth in keys:
        if (known, nth) not in names:
            names[known, nth] = _untaken(_NOT_PORTABLE.sub("_", known) or "_", nth, taken)
            taken.add(names[known, nth])
    return names


def _untaken(wanted: str, nth: int, taken: set[str]) -> str:
    if nth == 1 and wanted not in taken:
        return wanted
    suffixed = (f"{wanted}_{number}" for number in count(max(nth, 2)))
    return next(candidate for candidate in suffixed if candidate not in taken)
