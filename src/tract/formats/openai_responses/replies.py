"""Whole answers of the Responses API as the items for the next request."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from tract.formats.common.values import objects, string
from tract.formats.format import Json, Reply
from tract.formats.openai_responses.kinds import BLOCKS, ITEMS, kind_of
from tract.protocols.parts import ToolCallPart

__all__ = ["CALLS", "SAID", "as_sent", "cut_off", "ended_early", "made_reply", "whole_reply"]

CALLS = {"custom_tool_call": "input", "function_call": "arguments"}
"""Calls that can be cut off, and what they then hold a part of."""
SAID = ("error", "id", "incomplete_details", "model", "status", "usage")
"""What a reply uses of what the API says of a response."""
_ENDED_EARLY = frozenset({"cancelled", "failed", "in_progress", "incomplete", "queued"})

_OBJECTS = frozenset({"response", "response.compaction"})
_OF_REPLIES = frozenset({"created_by", "parsed_arguments"})
"""The keys that an item of a reply has and one of a request must not have."""


def whole_reply(reply: Json) -> Reply | None:
    """Return a whole answer, or None if it is not this API's."""
    output, kind = reply.get("output"), reply.get("object")
    is_named = string(kind) in _OBJECTS
    if not (
        is_named if output is None else isinstance(output, list) and (is_named or kind is None)
    ):
        return None
    ended = not ended_early(reply)
    items: list[Json] = []
    unfinished: list[ToolCallPart] = []
    for item in objects(copy.deepcopy(output)):
        if not ended and kind_of(item) in CALLS and ended_early(item):
            unfinished.append(cut_off(item))
        else:
            items.append(as_sent(item))
    return made_reply(reply, items, unfinished, ())


def ended_early(made: Json) -> bool:
    """Return True if the API says of a response, or of an item, that it was not finished."""
    return string(made.get("status")) in _ENDED_EARLY


def as_sent(item: Json) -> Json:
    """Return an item of a reply without what the API, or its SDK, adds only there."""
    sent = {key: value for key, value in item.items() if key not in _OF_REPLIES}
    content = sent.get("content")
    if isinstance(content, list) and any(map(_is_parsed, content)):
        sent["content"] = [
            {key: value for key, value in block.items() if key != "parsed"}
            if _is_parsed(block)
            else block
            for block in content
        ]
    return sent


def _is_parsed(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "output_text" and "parsed" in block


def cut_off(item: Json) -> ToolCallPart:
    """Return a call that was cut off."""
    said = item.get(CALLS[kind_of(item)])
    return ToolCallPart(
        id=string(item.get("call_id")),
        name=string(item.get("name")) or "",
        arguments=string(said) or "",
        kind="custom" if kind_of(item) == "custom_tool_call" else "function",
    )


def made_reply(
    response: Json, items: list[Json], unfinished: Sequence[ToolCallPart], unknown: Iterable[str]
) -> Reply:
    """Return the reply of *items*, with what *response* says of them."""
    usage = response.get("usage")
    strange = dict.fromkeys([*unknown, *_strange(items)])
    return Reply(
        items=items,
        usage=copy.deepcopy(usage) if isinstance(usage, dict) and usage else None,
        model=string(response.get("model")),
        response_id=string(response.get("id")),
        finish_reason=_reason(response),
        unfinished=tuple(unfinished),
        unknown=tuple(strange),
    )


def _strange(items: Iterable[Json]) -> Iterable[str]:
    for item in items:
        kind = kind_of(item)
        if kind not in ITEMS:
            yield kind
        content = item.get("content")
        for block in content if isinstance(content, list) and kind == "message" else ():
            named = block.get("type") if isinstance(block, dict) else None
            if string(named) not in BLOCKS:
                yield str(named or "block")


def _reason(response: Json) -> str | None:
    """Return why a reply ended, such as `completed`, `max_output_tokens` or `failed`."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return string(reason) or string(response.get("status"))
