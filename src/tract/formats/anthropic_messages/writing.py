"""Messages as the arguments of a request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tract.formats.anthropic_messages.conversation import conversation
from tract.formats.anthropic_messages.kinds import API, is_misplaced, natural_side
from tract.formats.anthropic_messages.mending import MOST_CACHE_POINTS, mended_blocks
from tract.formats.anthropic_messages.reading import is_fragment
from tract.formats.anthropic_messages.translating import blocks_of
from tract.formats.common.sides import Block, Group, Side, sources
from tract.formats.format import Json, Sent, Writing

__all__ = ["write"]


def write(messages: Sequence[Sent], writing: Writing) -> Json:
    """Return the arguments `messages` and, if there is any, `system`."""
    system: list[Any] = []
    groups: list[Group] = []
    for sent, item in sources(messages, API, writing):
        if item is not None and is_fragment(item):
            system += _system_prompt(sent, item["system"], writing)
        elif item is not None:
            groups += (
                [Group("user", [], item)] if writing.exact else _own_group(sent, item, writing)
            )
        else:
            for group in blocks_of(sent, writing):
                if group.side == "system" and not groups:
                    system += _texts(group, writing)
                else:
                    groups.append(group)
    if writing.exact:
        return _arguments(system, [*map(_exact, groups)])
    cached = sum(1 for given in system for block in _blocks(given) if block.get("cache_control"))
    items, moved = conversation(groups, writing, MOST_CACHE_POINTS - cached)
    return _arguments(system + moved, items)


def _exact(group: Group) -> Json:
    if group.item is not None:
        return group.item
    blocks = [block.json for block in group.blocks]
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return {"role": group.side, "content": blocks[0]["text"]}
    return {"role": group.side, "content": blocks}


def _system_prompt(sent: Sent, system: Any, writing: Writing) -> list[Any]:
    """Return a system prompt as a list of one, without the texts that the API refuses."""
    if writing.exact:
        return [system]
    given = _blocks(system) if isinstance(system, str | list) else []
    found = [Block(block, sent, True) for block in given if isinstance(block, dict)]
    kept = [block.json for block in mended_blocks(found, "system", writing)]
    return [system if isinstance(system, str) else kept] if kept else []


def _own_group(sent: Sent, item: Json, writing: Writing) -> list[Group]:
    side, content = item.get("role"), item.get("content")
    if not isinstance(side, str) or side not in _SIDES:
        writing.lose(sent, "message", f"{side!r} is not a role of this API")
        return []
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    given = content if isinstance(content, list) else []
    blocks = [Block(block, sent, True) for block in given if isinstance(block, dict)]
    stands = _SIDES[side]
    if stands == "system" or not any(is_misplaced(block.json, stands) for block in blocks):
        return [Group(stands, blocks, item)]
    split = groupby(blocks, key=lambda block: natural_side(block.json, stands))
    return [Group(each, list(part)) for each, part in split]


_SIDES: dict[str, Side] = {"user": "user", "assistant": "assistant", "system": "system"}


def _texts(group: Group, writing: Writing) -> list[Any]:
    """Return the texts of a system message that another API or a short content holds."""
    blocks = group.blocks if writing.exact else mended_blocks(group.blocks, "system", writing)
    kept = [block.json for block in blocks]
    if all(block.keys() == {"type", "text"} for block in kept):
        return [block["text"] for block in kept]
    return [kept]


def _arguments(system: Sequence[Any], items: list[Json]) -> Json:
    if not system:
        return {"messages": items}
    if len(system) == 1:
        return {"system": system[0], "messages": items}
    if all(isinstance(text, str) for text in system):
        return {"system": "\n\n".join(system), "messages": items}
    blocks = [block for given in system for block in _blocks(given)]
    return {"system": blocks, "messages": items}


def _blocks(system: Any) -> list[Any]:
    return [{"type": "text", "text": system}] if isinstance(system, str) else list(system)
