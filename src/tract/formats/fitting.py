"""Ids and names of tool calls, in the form that an API requires.

Pure functions from messages to messages. They read a list from its beginning. So unless ids
collide, the id that a message gets does not depend on later messages, and prompts stay cacheable
while a context grows.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from tract.formats.format import Rules, Sent, Writing
from tract.formats.pairing import Call, PartsOf, Result, matched, rebuilt
from tract.protocols import Message
from tract.protocols.parts import Part, ToolCallPart, ToolResultPart

__all__ = ["fits", "fitted", "fitting_name"]

_SHORT = 16
"""Ids of fewer characters have no room for anything but a digest."""


def fits(call_id: str, name: str, rules: Rules) -> bool:
    """Return True if the API takes the id of a call and the name of its tool as they are."""
    return (
        rules.id_shortest <= len(call_id) <= rules.id_longest
        and 0 < len(name) <= rules.name_longest
        and not rules.id_refused.search(call_id)
        and not rules.name_refused.search(name)
    )


def fitting_name(name: str, rules: Rules) -> str:
    """Return a tool's name as the API takes it: the same name for the same tool, always.

    A name that had to be changed ends with a digest of what it was, so that two stay different.
    """
    if 0 < len(name) <= rules.name_longest and not rules.name_refused.search(name):
        return name
    return _ending_in_digest(name, rules.name_refused, rules.name_longest, "tool")


def _fitting_id(call_id: str, rules: Rules) -> str:
    if rules.id_shortest <= len(call_id) <= rules.id_longest:
        if not rules.id_refused.search(call_id):
            return call_id
    if rules.id_longest < _SHORT:
        return _digest(call_id)[: rules.id_longest]
    return _ending_in_digest(call_id, rules.id_refused, rules.id_longest, "call")


def _ending_in_digest(given: str, refused: re.Pattern[str], longest: int, empty: str) -> str:
    plain = refused.sub("_", given) or empty
    return f"{plain[: longest - 9]}_{_digest(given)[:8]}"


def _digest(given: str) -> str:
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()


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
    ids = _ids(calls, results, rules)
    changed: dict[int, dict[int, tuple[str, str | None]]] = {}
    for call in calls:
        name = fitting_name(call.name, rules)
        if (ids[call], name) != (call.id, call.name):
            changed.setdefault(call.at, {})[call.place] = ids[call], name
        if name != call.name:
            writing.lose(sent[call.at], "name", f"the API does not take {call.name[:80]!r}")
    for result in results:
        new_id = ids[result.call or result]
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


def _ids(
    calls: Sequence[Call], results: Sequence[Result], rules: Rules
) -> dict[Call | Result, str]:
    """Return the ids of the calls, and of the results without one."""
    found: list[Call | Result] = [*calls, *(each for each in results if each.call is None)]
    known = {_id(each) for each in found}
    new = _Ids(rules, {each for each in known if each is not None})
    return {each: new.of(each) for each in sorted(found, key=lambda each: (each.at, each.place))}


def _id(found: Call | Result) -> str | None:
    return found.id if isinstance(found, Call) else found.call_id


class _Ids:
    """Gives out ids, in order; one that fits stays with the first call that has it.

    Within one turn all are different, whatever the API: else nobody knows which a result answers.
    """

    def __init__(self, rules: Rules, given: set[str]) -> None:
        self._rules = rules
        self._given = given
        self._reserved = {known for known in given if self._fitting(known) == known}
        self._fresh = (f"call_{number}" for number in count(1))
        self._taken: set[str] = set()
        self._in_turn: set[tuple[int, str]] = set()
        self._uses: Counter[str] = Counter()

    def of(self, found: Call | Result) -> str:
        """Return the id of a call, or of a result that has none."""
        known = _id(found)
        if known is None:
            known = next(new for new in self._fresh if new not in self._given | self._taken)
        name = self._fitting(known)
        if isinstance(found, Call):
            while self._is_used(known, name, found.turn):
                self._uses[known] += 1
                name = self._again(known, self._uses[known] + 1)
            self._taken.add(name)
            self._in_turn.add((found.turn, name))
        return name

    def _again(self, known: str, number: int) -> str:
        if self._rules.id_longest < _SHORT:
            return self._fitting(f"{known}_{number}")
        return f"{self._fitting(known)[: self._rules.id_longest - 8]}_{number}"

    def _fitting(self, call_id: str) -> str:
        return _fitting_id(call_id, self._rules)

    def _is_used(self, known: str, name: str, turn: int) -> bool:
        if (turn, name) in self._in_turn:
            return True
        others = name != known and name in self._reserved
        return self._rules.unique and (name in self._taken or others)


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
