"""Ids of tool calls and their results, as providers insist on them.

Pure functions: messages in, messages out. They read a list from its beginning, so as long as
no id collides, what a message gets does not depend on the messages after it, and prompts
stay cacheable while a context grows.
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
"""An id, and which of the calls that carry it, from 1."""


def fill_ids(messages: Sequence[Message]) -> list[Message]:
    """Return *messages* with every missing id of a tool call or tool result made up.

    Made-up ids are `call_1`, `call_2`, … in order, leaving out those that some message has
    already. A result without an id answers the oldest unanswered of the id-less calls before
    it: of its own tool if there is one, else of any; else it gets an id of its own.
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
    """Return *messages*, none of whose ids is missing, with ids of `[a-zA-Z0-9_-]+` only.

    Other characters become `_`. Ids that differ stay different, and a call whose id an earlier
    call has used gets one of its own, both by a suffix such as `_2`. Results follow their calls:
    a result answers the oldest unanswered call of its id in the assistant's latest turn, else
    the latest call of that id.
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
    """Tell, for each call and each result in order, which use of its id it belongs to."""
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
    """Give each key its id; ids that are portable already belong to their first use."""
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
