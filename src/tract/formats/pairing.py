"""Tool calls and their results, brought together as every API wants them.

Results may be committed late, twice, or never; calls may be skipped, reset away or picked without
their results; two runs may interleave on one branch. Providers refuse such lists for good. Here
every result is moved behind its call, a call without a result gets one that says so, and a result
without a call is left out. A list in which that holds already comes back as it is.

A *unit* is a message of the model's with the calls and the thinking that follow it: what one reply
became. Thinking before the next such message belongs to that one, and a message that both thinks and
calls is a unit's first. The results of a unit's calls stand directly behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tract.formats.format import Sent, Writing
from tract.protocols import Message, OpenCalls
from tract.protocols.parts import Part, ThinkingPart, ToolCallPart, ToolResultPart

__all__ = [
    "Call",
    "Result",
    "Unanswered",
    "answer_behind",
    "answered",
    "calls_and_results",
    "is_models",
    "matched",
    "open_calls",
    "paired",
    "rebuilt",
]

UNANSWERED = "There is no result: the call was not answered."
"""The result of a call that has none, so that a request can be sent at all."""

PartsOf = Callable[[Message], Sequence[Part]]


@dataclass(slots=True, eq=False)
class Call:
    """A call in a list of messages: which message, which of its parts."""

    at: int
    place: int
    id: str | None
    name: str
    kind: Literal["function", "custom", "server"]
    turn: int
    result: Result | None = None


@dataclass(slots=True, eq=False)
class Result:
    """A result in a list of messages, and the call that it answers, if there is one."""

    at: int
    place: int
    call_id: str | None
    name: str | None
    call: Call | None = None


Unanswered = defaultdict[str | None, list[Call]]
"""Calls without a result, by their ids."""


class Matched(NamedTuple):
    """The calls and results of a list of messages, in order, without the provider's own tools."""

    calls: list[Call]
    results: list[Result]


def is_models(message: Message) -> bool:
    """Return True if a message is the model's: its role is `assistant`, or it calls tools."""
    return message.role == "assistant" or bool(message.tool_calls)


def matched(messages: Sequence[Message]) -> Matched:
    """Return the calls and results of *messages*, each result with its call.

    A result answers the oldest unanswered call of its id, in the latest turn that has one. A result
    without an id answers the oldest unanswered call without one: of its own tool, or else of any.
    A result that comes before its call answers it, too. A second result of a call answers nothing.
    """
    found = [*calls_and_results(messages)]
    unanswered: Unanswered = defaultdict(list)
    answer_behind(answered(found, unanswered), unanswered)
    return Matched(
        [each for each in found if isinstance(each, Call)],
        [each for each in found if isinstance(each, Result)],
    )


def answered(found: Iterable[Call | Result], unanswered: Unanswered) -> list[Result]:
    """Give results the calls before them; return those that have none.

    *unanswered* are earlier calls without a result, by id, and becomes what is left then.
    """
    alone: list[Result] = []
    for each in found:
        if isinstance(each, Call):
            unanswered[each.id].append(each)
        elif not _answer(each, unanswered[each.call_id]):
            alone.append(each)
    return alone


def answer_behind(alone: Iterable[Result], unanswered: Unanswered) -> None:
    """Give results that have no call before them one behind them."""
    for result in alone:
        if result.call_id is not None:
            _answer(result, unanswered[result.call_id])


def calls_and_results(messages: Sequence[Message]) -> Iterator[Call | Result]:
    """Yield the calls and results of *messages* in order, none with another yet."""
    turn, in_turn = 0, False
    for at, message in enumerate(messages):
        models = is_models(message)
        turn += models and not in_turn
        in_turn = models
        if message.given is None:
            yield from _plain(at, message, turn)
            continue
        for place, part in enumerate(message.given):
            if isinstance(part, ToolCallPart) and part.kind != "server":
                yield Call(at, place, part.id, part.name, part.kind, turn)
            elif isinstance(part, ToolResultPart) and part.kind != "server":
                yield Result(at, place, part.call_id, part.name)


def _plain(at: int, message: Message, turn: int) -> Iterator[Call | Result]:
    if message.tool_calls:
        first = 0 if message.content is None else 1
        for place, call in enumerate(message.tool_calls, first):
            yield Call(at, place, call.id, call.name, "function", turn)
    elif message.role == "tool":
        yield Result(at, 0, message.tool_call_id, message.tool_name)


def _answer(result: Result, unanswered: list[Call]) -> bool:
    """Give *result* its call, which is unanswered no longer; return False if there is none."""
    if not unanswered:
        return False
    if result.call_id is None:
        own = [call for call in unanswered if call.name == result.name]
        call = (own or unanswered)[0]
    else:
        latest = unanswered[-1].turn
        call = next(each for each in unanswered if each.turn == latest)
    unanswered.remove(call)
    result.call, call.result = call, result
    return True


def open_calls(messages: Sequence[Message]) -> list[Call]:
    """Return the calls in *messages* that have no result there."""
    return [call for call in matched(messages).calls if call.result is None]


def paired(
    sent: Sequence[Sent], how: OpenCalls, writing: Writing, parts_of: PartsOf
) -> Sequence[Sent]:
    """Return *sent* with each result behind its call, and no call or result alone.

    *how* says what becomes of a call without a result: it gets an `error` as its result, or the
    call is left out, `drop`. *parts_of* returns a message's parts with their own JSON.
    """
    messages = [each.message for each in sent]
    calls, results = matched(messages)
    if not calls and not results:
        return sent
    layout = _Layout(messages)
    removed: defaultdict[int, set[int]] = defaultdict(set)
    added: defaultdict[int, list[Sent]] = defaultdict(list)
    for result in results:
        if result.call is None:
            removed[result.at].add(result.place)
            writing.lose(sent[result.at], "tool_result", "its call is not in the context")
        elif not layout.stands_behind(result, result.call):
            removed[result.at].add(result.place)
            part = parts_of(messages[result.at])[result.place]
            moved = Sent(_alone(messages[result.at], part), sent[result.at].commit_hash)
            added[layout.end(result.call.at)].append(moved)
    for call in calls:
        if call.result is None and how == "drop":
            removed[call.at].add(call.place)
            writing.lose(sent[call.at], "tool_call", "it has no result, and was left out")
        elif call.result is None:
            added[layout.end(call.at)].append(Sent(_unanswered(call), sent[call.at].commit_hash))
            writing.lose(sent[call.at], "tool_call", "it has no result; an error stands for it")
    if not removed and not added:
        return sent
    return list(_rearranged(sent, removed, added, parts_of))


def _rearranged(
    sent: Sequence[Sent],
    removed: dict[int, set[int]],
    added: dict[int, list[Sent]],
    parts_of: PartsOf,
) -> Iterator[Sent]:
    for at, (message, commit_hash) in enumerate(sent):
        gone = removed.get(at, ())
        if not gone:
            yield sent[at]
        else:
            parts = parts_of(message)
            rest = [part for place, part in enumerate(parts) if place not in gone]
            led_to_calls = any(isinstance(parts[place], ToolCallPart) for place in gone)
            if led_to_calls:  # no API takes thinking that leads to nothing
                useful = any(not isinstance(part, ThinkingPart) for part in rest)
            else:
                useful = bool(rest)
            if useful:
                yield Sent(rebuilt(message, rest), commit_hash)
        yield from added.get(at, ())


def _alone(message: Message, part: Part) -> Message:
    """Return the message of a result that is moved: its own, if there is nothing else in it."""
    return message if len(message.parts) == 1 else Message.of("tool", (part,))


def _unanswered(call: Call) -> Message:
    if call.kind == "function":
        return Message("tool", UNANSWERED, tool_call_id=call.id, tool_name=call.name, is_error=True)
    text = Message("user", UNANSWERED).parts
    part = ToolResultPart(
        call_id=call.id, parts=text, name=call.name, is_error=True, kind=call.kind
    )
    return Message.of("tool", (part,))


def rebuilt(message: Message, parts: Iterable[Part]) -> Message:
    """Return *message* with other parts, and so without the item that it was read from."""
    return Message.of(message.role, tuple(parts), name=message.name)


def _going_on(messages: Sequence[Message]) -> list[bool]:
    """Return of each message whether it belongs to the unit of the one before.

    Thinking that leads to a message of another unit belongs to that: two runs may interleave.
    """
    found = [False] * len(messages)
    for at in range(len(messages) - 1, 0, -1):
        message = messages[at]
        found[at] = is_models(messages[at - 1]) and is_models(message) and _adds(message)
        if found[at] and message.given and at + 1 < len(messages):
            thinks = all(isinstance(part, ThinkingPart) for part in message.given)
            found[at] = not thinks or found[at + 1] or not _is_led_to(messages[at + 1])
    return found


def _is_led_to(message: Message) -> bool:
    """Return True if thinking may lead to a message: one of the model's, not results of its calls."""
    return is_models(message) and not (
        message.given
        and all(
            isinstance(part, ToolResultPart) and part.kind != "server" for part in message.given
        )
    )


def _adds(message: Message) -> bool:
    """Return True if a message of the model's only calls or only thinks; both is a whole reply."""
    if message.given is None:
        return message.content is None
    kinds = {type(part) for part in message.given}
    return kinds <= {ToolCallPart, ThinkingPart} and len(kinds) < 2


class _Layout:
    """Where the units of a list of messages end, and which results stand directly behind each."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._unit: list[int] = []
        self._ends: list[int] = []
        for at, goes_on in enumerate(_going_on(messages)):
            if goes_on:
                self._ends[-1] = at
            else:
                self._ends.append(at)
            self._unit.append(len(self._ends) - 1)

    def end(self, at: int) -> int:
        """Return the last message of the unit of a message."""
        return self._ends[self._unit[at]]

    def stands_behind(self, result: Result, call: Call) -> bool:
        """Return True if only results of the same unit's calls stand between a result and it."""
        place = self.end(call.at) + 1
        while place < result.at and _begins_with_result(self._messages[place], alone=True):
            place += 1
        return place == result.at and _leads(self._messages[place], result.place)


def _begins_with_result(message: Message, *, alone: bool) -> bool:
    """Return True if a message consists of results; with *alone*, of nothing else."""
    if message.given is None:
        return message.role == "tool" and not message.tool_calls
    found = [isinstance(part, ToolResultPart) for part in message.given]
    return bool(found) and (all(found) if alone else found[0])


def _leads(message: Message, place: int) -> bool:
    """Return True if nothing but results stands before a part."""
    if message.given is None:
        return True
    return all(isinstance(part, ToolResultPart) for part in message.given[:place])
