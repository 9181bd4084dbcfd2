"""Messages as the arguments of a request."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tract.formats.common.own import own
from tract.formats.common.values import without
from tract.formats.deltas import mended
from tract.formats.format import Json, Sent, Writing
from tract.formats.openai_responses.kinds import (
    ANSWERED_BY,
    API,
    OUTPUTS,
    is_for_client,
    is_fragment,
    is_from_the_model,
    kind_of,
)
from tract.formats.openai_responses.mending import mended_item
from tract.formats.openai_responses.translating import Entry, items_of, own_entry, result_item
from tract.protocols.parts import RefusalPart, TextPart

__all__ = ["write"]


def write(messages: Sequence[Sent], writing: Writing) -> Json:
    """Return the arguments `input` and, if there are any, `instructions`.

    The instructions are those of a request of this API, and the texts of the system and developer
    messages before anything else. Later ones stand in the input.
    """
    instructions: list[tuple[Any, Sent]] = []
    entries: list[Entry] = []
    for sent in messages:
        item = own(sent.message.native, API, writing)
        if item is not None:
            if is_fragment(item):
                instructions.append((item["instructions"], sent))
            else:
                entries.append(Entry(item, sent, True) if writing.exact else own_entry(item, sent))
            continue
        if not entries and _instructs(sent):
            instructions.append((sent.message.content or "", sent))
        else:
            entries += items_of(sent, writing)
        if sent.message.name is not None:
            writing.lose(sent, "name", "the API has no field for it")
    if writing.exact:
        return _arguments([given for given, _ in instructions], [each.item for each in entries])
    return _fitting(instructions, entries, writing)


def _instructs(sent: Sent) -> bool:
    """Return True if a message is a system prompt of texts that no API gave as an item of this."""
    message = sent.message
    if message.role not in ("system", "developer") or message.tool_calls:
        return False
    own = (message.native, *(part.native for part in message.parts))
    if any(native is not None and native.api == API for native in own):
        return False
    return all(isinstance(part, TextPart | RefusalPart) for part in message.parts)


def _fitting(
    instructions: Sequence[tuple[Any, Sent]], entries: Sequence[Entry], writing: Writing
) -> Json:
    texts: list[str] = []
    listed: list[Entry] = []
    for given, sent in instructions:
        if isinstance(given, str) and given:
            texts.append(mended(given))
        items = given if isinstance(given, list) else ()
        listed += [Entry(item, sent, True) for item in items if isinstance(item, dict)]
    written = _conversation([*listed, *entries], writing)
    if written or not texts:
        return _arguments(["\n\n".join(texts)] if texts else [], written)
    # "Missing required parameter: 'input'."
    for _, sent in instructions:
        writing.lose(sent, "system", "the API takes no request without input, so it is sent there")
    return {"input": [{"role": "system", "content": text} for text in texts]}


def _arguments(instructions: Sequence[Any], items: list[Json]) -> Json:
    if not instructions:
        return {"input": items}
    given = instructions[0]
    if len(instructions) > 1:
        given = "\n\n".join(text for text in instructions if isinstance(text, str))
    return {"instructions": given, "input": items}


def _conversation(entries: Sequence[Entry], writing: Writing) -> list[Json]:
    """Return the items that the API takes of *entries*, whose calls and results are paired."""
    answered = _answered(entries, writing)
    mended = [
        entry._replace(item=item)
        for entry in answered
        if (item := mended_item(entry, writing)) is not None
    ]
    single = _without_repeats(_without_lone_programs(mended, writing), writing)
    led = _without_lone_reasoning(single, writing)
    return [entry.item for entry in _without_triggers(led, writing)]


def _answered(entries: Sequence[Entry], writing: Writing) -> list[Entry]:
    """Return *entries* with each result of the kind that its call asks for."""
    calls = {
        entry.item["call_id"]: kind_of(entry.item) for entry in entries if _is_call(entry.item)
    }
    kept: list[Entry] = []
    refused: set[str] = set()
    for entry in entries:
        result = entry.result
        if result is None or kind_of(entry.item) not in OUTPUTS:
            kept.append(entry)
            continue
        call = calls.get(result.call_id or "")
        item = _fitting_result(entry, call, writing)
        if item is not None:
            kept.append(entry._replace(item=item))
            _lose_error(entry, item, writing)
        else:
            refused.add(result.call_id or "")
            writing.lose(entry.sent, "tool_result", "the API takes only a screenshot here")
    return [entry for entry in kept if not _is_refused(entry, refused, writing)]


def _is_call(item: Json) -> bool:
    """Return True if an item is a call that the caller answers."""
    call_id = item.get("call_id")
    answered = kind_of(item) in ANSWERED_BY and isinstance(call_id, str)
    return answered and is_for_client(item, call_id)


def _fitting_result(entry: Entry, call: str | None, writing: Writing) -> Json | None:
    kind, result = kind_of(entry.item), entry.result
    if call is None or result is None:
        return entry.item
    is_made_up = call == "tool_search_call" and not entry.is_own
    if kind in ANSWERED_BY[call] and not is_made_up:
        return entry.item
    plain = ("custom_tool_call_output", "function_call_output")
    if entry.is_own and kind in plain and ANSWERED_BY[call][0] in plain:
        return {**entry.item, "type": ANSWERED_BY[call][0]}
    return result_item(result, call, entry.sent, writing)


def _lose_error(entry: Entry, item: Json, writing: Writing) -> None:
    plain = kind_of(item) in ("custom_tool_call_output", "function_call_output")
    if plain and not entry.is_own and entry.result is not None and entry.result.is_error:
        writing.lose(entry.sent, "is_error", "the API does not mark failed results")


def _is_refused(entry: Entry, refused: set[str], writing: Writing) -> bool:
    if not _is_call(entry.item) or entry.item["call_id"] not in refused:
        return False
    writing.lose(entry.sent, "tool_call", "it has no result that the API takes")
    return True


def _without_lone_programs(entries: Sequence[Entry], writing: Writing) -> list[Entry]:
    """Return *entries* without programs that were cut off, and without what others put out.

    A program may still run: the provider goes on with it once the calls that it made have results.
    """
    outputs = {
        _call_id(entry): at
        for at, entry in enumerate(entries)
        if kind_of(entry.item) == "program_output"
    }
    callers = {each.item["caller"].get("caller_id") for each in entries if _has_caller(each.item)}
    begun: set[str] = set()
    kept: list[Entry] = []
    for at, entry in enumerate(entries):
        kind, call_id = kind_of(entry.item), _call_id(entry)
        if kind == "program" and outputs.get(call_id, -1) < at and call_id not in callers:
            writing.lose(entry.sent, "tool_call", "the provider's program was cut off")
        elif kind == "program_output" and call_id not in begun:
            writing.lose(entry.sent, "tool_result", "its program is not in the context")
        else:
            kept.append(entry)
            begun |= {call_id} if kind == "program" else set()
            begun -= {call_id} if kind == "program_output" else set()  # it puts out once
    programs = {_call_id(each) for each in kept if kind_of(each.item) == "program"}
    return [_called_directly(each, programs) for each in kept]


def _called_directly(entry: Entry, programs: Collection[str]) -> Entry:
    """Return a call, or its output, without the program that made it if that is not there."""
    if not _has_caller(entry.item) or entry.item["caller"]["caller_id"] in programs:
        return entry
    return entry._replace(item=without(entry.item, "caller"))


def _call_id(entry: Entry) -> str:
    return str(entry.item.get("call_id"))


def _has_caller(item: Json) -> bool:
    caller = item.get("caller")
    return isinstance(caller, dict) and isinstance(caller.get("caller_id"), str)


def _without_repeats(entries: Sequence[Entry], writing: Writing) -> list[Entry]:
    """Return *entries*, no two of which have one id.

    "Duplicate item found with id rs_…. Remove duplicate items from your input and try again."
    """
    there = {entry.item.get("id") for entry in entries if kind_of(entry.item) != "item_reference"}
    taken: set[str] = set()
    kept: list[Entry] = []
    for entry in entries:
        kind, own_id = kind_of(entry.item), entry.item.get("id")
        if not isinstance(own_id, str):
            kept.append(entry)
        elif kind == "item_reference" and own_id in there:
            writing.lose(entry.sent, kind, "the item that it names is there itself")
        elif own_id not in taken:
            taken.add(own_id)
            kept.append(entry)
        elif kind in ("item_reference", "reasoning"):
            what = "thinking" if kind == "reasoning" else kind
            writing.lose(entry.sent, what, "it is there already")
        else:
            kept.append(entry._replace(item=without(entry.item, "id")))
    return kept


def _without_lone_reasoning(entries: Sequence[Entry], writing: Writing) -> list[Entry]:
    """Return *entries* without thinking that leads to nothing.

    "Item 'rs_…' of type 'reasoning' was provided without its required following item."
    """
    kept: list[Entry] = []
    lone: list[Entry] = []
    for entry in reversed(entries):
        is_led_to = bool(kept) and is_from_the_model(kept[-1].item)
        if kind_of(entry.item) == "reasoning" and not is_led_to:
            lone.append(entry)
        else:
            kept.append(entry)
    for entry in reversed(lone):
        writing.lose(entry.sent, "thinking", "it led to nothing that is in the context")
    return kept[::-1]


def _without_triggers(entries: Sequence[Entry], writing: Writing) -> list[Entry]:
    """Return *entries* without triggers of a compaction that is done: one stands at the end."""
    kept = []
    for at, entry in enumerate(entries):
        if kind_of(entry.item) == "compaction_trigger" and at < len(entries) - 1:
            writing.lose(entry.sent, "compaction_trigger", "the API takes it only at the end")
        else:
            kept.append(entry)
    return kept
