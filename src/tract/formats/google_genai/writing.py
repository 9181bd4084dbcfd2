"""Messages as the arguments of a request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tract.formats.common.sides import Block, Group, Side, sources
from tract.formats.format import Json, Sent, Writing
from tract.formats.google_genai.conversation import conversation
from tract.formats.google_genai.kinds import API, ROLES, field, is_fragment, key_of
from tract.formats.google_genai.mending import mended_blocks
from tract.formats.google_genai.translating import parts_of

__all__ = ["write"]


def write(messages: Sequence[Sent], writing: Writing) -> Json:
    """Return the arguments `contents` and, if there is a system instruction, `config`."""
    system: list[Any] = []
    groups: list[Group] = []
    for sent, item in sources(messages, API, writing):
        if item is not None and is_fragment(item):
            system += _instruction(sent, field(item, "systemInstruction"), writing)
        elif item is not None and writing.exact:
            groups.append(Group("user", [], item))
        else:
            found = parts_of(sent, writing) if item is None else _own_groups(sent, item, writing)
            for group in found:
                if group.side == "system":
                    system += _late(group, groups, writing)
                else:
                    groups.append(group)
    items = [*map(_exact, groups)] if writing.exact else conversation(groups, writing)
    return _arguments(system, items)


def _exact(group: Group) -> Json:
    if group.item is not None:
        return group.item
    return {"role": ROLES[group.side], "parts": [block.json for block in group.blocks]}


def _late(group: Group, before: Sequence[Group], writing: Writing) -> list[Any]:
    """Return a system message for the system instruction, as a list of one if it says anything."""
    if before:
        why = "the API takes none there; it is in the system instruction"
        writing.lose(group.blocks[0].sent, "system", why)
    blocks = group.blocks if writing.exact else mended_blocks(group.blocks, "system", writing)
    return [_plain([block.json for block in blocks])] if blocks else []


def _plain(parts: list[Json]) -> Any:
    """Return the parts of a system message: one text as a string."""
    if all(part.keys() == {"text"} for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return {"parts": parts}


def _instruction(sent: Sent, given: Any, writing: Writing) -> list[Any]:
    """Return a system instruction as a list of one, without the parts that the API refuses."""
    if writing.exact:
        return [given]
    parts = _parts(given)
    blocks = [Block(part, sent, True) for part in parts]
    kept = [block.json for block in mended_blocks(blocks, "system", writing)]
    if len(kept) == len(parts):
        return [given] if kept else []
    return [{"parts": kept}] if kept else []


def _parts(instruction: Any) -> list[Any]:
    """Return the parts of a system instruction in any of the forms that the SDK takes."""
    if isinstance(instruction, list):
        return [part for each in instruction for part in _parts(each)]
    if isinstance(instruction, dict) and "parts" in instruction:
        parts = instruction["parts"]
        return _parts(parts) if isinstance(parts, list) else []
    if isinstance(instruction, str):
        return [{"text": instruction}]
    return [instruction] if isinstance(instruction, dict) else []


def _own_groups(sent: Sent, item: Json, writing: Writing) -> list[Group]:
    role, parts = item.get("role"), item.get("parts")
    side = _SIDES.get(role if isinstance(role, str) else "user")
    if side is None:
        writing.lose(sent, "role", f"{role!r} is not a role of this API; it is the user's")
        side = "user"
    given = parts if isinstance(parts, list) else []
    blocks = [Block(part, sent, True) for part in given if isinstance(part, dict)]
    if len(blocks) < max(len(given), 1):
        writing.lose(sent, "message", "it has no parts, or such as are not objects")
    split = groupby(blocks, key=lambda block: _natural_side(block, side))
    groups = [Group(each, list(part)) for each, part in split]
    return [groups[0]._replace(item=item)] if len(groups) == 1 else groups


_SIDES: dict[str, Side] = {
    "assistant": "assistant",
    "developer": "system",
    "function": "user",
    "model": "assistant",
    "system": "system",
    "tool": "user",
    "user": "user",
}


def _natural_side(block: Block, given: Side) -> Side:
    """Return the only side that may have such a part, or else *given*."""
    if key_of(block.json, "functionCall"):
        return "assistant"
    return "user" if key_of(block.json, "functionResponse") else given


def _arguments(system: Sequence[Any], items: list[Json]) -> Json:
    if not system:
        return {"contents": items}
    return {"contents": items, "config": {"system_instruction": _joined(system)}}


def _joined(system: Sequence[Any]) -> Any:
    if len(system) == 1:
        return system[0]
    if all(isinstance(text, str) for text in system):
        return "\n\n".join(system)
    return {"parts": [part for given in system for part in _parts(given)]}
