"""Ids and names of tool calls, in the form that an API requires.

Pure functions from messages to messages. They read a list from its beginning. So unless ids
collide, the id that a message gets does not depend on later messages, and prompts stay cacheable
while a context grows.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from tract.formats.format import Rules, Sent, Writing
from tract.formats.pairing import Call, PartsOf, matched, rebuilt
from tract.parts import Part, ToolCallPart, ToolResultPart
from tract.protocols import Message

__all__ = ["fits", "fitted", "fitting_name"]


def fits(call_id: str, name: str, rules: Rules) -> bool:
    """Return True if the API takes the id of a call and the name of its tool as they are."""
    return (
        0 < len(call_id) <= rules.id_longest
        and 0 < len(name) <= rules.name_longest
        and not rules.id_refused.search(call_id)
        and not rules.name_refused.search(name)
    )


def fitting_name(name: str, rules: Rules) -> str:
    """Return a tool's name as the API takes it: the same name for the same tool, always.

    A name that had to be changed ends with a digest of what it was, so that two stay different.
    """
    return _fitting(name, rules.name_refused, rules.name_longest, "tool")


def _fitting(given: str, refused: re.Pattern[str], longest: int, empty: str) -> str:
    if given and len(given) <= longest and not refused.search(given):
        return given
    digest = hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    plain = refused.sub("_", given) or empty
    return f"{plain[: longest - 9]}_{digest}"


def fitted(
    sent: Sequence[Sent], rules: Rules, writing: Writing, parts_of: PartsOf
) -> Sequence[Sent]:
    """Return *sent* with ids and tool names that fit; calls and their results always agree.

    Missing ids are made up: `call_1`, `call_2`, …, skipping those that are there.
    """
    messages = [each.message for each in sent]
    calls, results = matched(messages)
    if not calls and not results:
        return sent
    ids = dict(_ids(calls, rules))
    changed: dict[int, dict[int, tuple[str, str | None]]] = {}
    for call in calls:
        name = fitting_name(call.name, rules)
        if (ids[call], name) != (call.id, call.name):
            changed.setdefault(call.at, {})[call.place] = ids[call], name
        if name != call.name:
            writing.lose(sent[call.at], "name", f"the API does not take {call.name[:80]!r}")
    for result in results:
        new_id = ids[result.call] if result.call else _own(result.call_id, rules)
        named = result.name
        if result.call and (named or rules.results_are_named):
            named = result.call.name
        tool = None if named is None else fitting_name(named, rules)
        if (new_id, tool) != (result.call_id, result.name):
            changed.setdefault(result.at, {})[result.place] = new_id, tool
    if not changed:
        return sent
    return [
        Sent(_renamed(each.message, changed[at], parts_of), each.commit_hash)
        if at in changed
        else each
        for at, each in enumerate(sent)
    ]


def _own(call_id: str | None, rules: Rules) -> str:
    return _fitting(call_id or "", rules.id_refused, rules.id_longest, "call")


def _ids(calls: Sequence[Call], rules: Rules) -> Iterator[tuple[Call, str]]:
    """Assign each call an id; one that fits stays with the first call that has it.

    Within one turn all are different, whatever the API: else nobody knows which a result answers.
    """
    given = {call.id for call in calls if call.id is not None}
    fresh = (f"call_{number}" for number in count(1))
    taken: set[str] = set()
    in_turn: set[tuple[int, str]] = set()
    reserved = {known for known in given if _own(known, rules) == known}
    uses: Counter[str] = Counter()
    for call in calls:
        if call.id is None:
            name = next(new for new in fresh if new not in given and new not in taken)
        else:
            name = _own(call.id, rules)
            while (call.turn, name) in in_turn or (
                rules.unique and (name in taken or (name != call.id and name in reserved))
            ):
                uses[call.id] += 1
                name = f"{_own(call.id, rules)[: rules.id_longest - 8]}_{uses[call.id] + 1}"
        taken.add(name)
        in_turn.add((call.turn, name))
        yield call, name


def _renamed(
    message: Message, changes: dict[int, tuple[str, str | None]], parts_of: PartsOf
) -> Message:
    if message.given is not None:
        parts = [
            _part(part, *changes[place]) if place in changes else part
            for place, part in enumerate(parts_of(message))
        ]
        return rebuilt(message, parts)
    if not message.tool_calls:
        ((new_id, name),) = changes.values()
        return replace(message, tool_call_id=new_id, tool_name=name)
    first = 0 if message.content is None else 1
    calls = tuple(
        replace(call, id=changes[place][0], name=changes[place][1] or call.name)
        if place in changes
        else call
        for place, call in enumerate(message.tool_calls, first)
    )
    return replace(message, tool_calls=calls)


def _part(part: Part, new_id: str, name: str | None) -> Part:
    if isinstance(part, ToolCallPart):
        return replace(part, id=new_id, name=name or part.name)
    assert isinstance(part, ToolResultPart)
    return replace(part, call_id=new_id, name=name)
