"""What must not stand alone in a turn: the calls and results of servers' tools, and thinking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tract.formats.anthropic_messages.kinds import (
    THINKING,
    is_server_call,
    is_server_result,
    kind_of,
)
from tract.formats.common.sides import Block, Group, runs
from tract.formats.format import Writing

__all__ = ["without_loose_ends"]


def _says_something(group: Group) -> bool:
    if group.side == "system" and group.item is not None and group.item.get("output_config"):
        return True
    return bool(group.blocks)


def without_loose_ends(groups: Sequence[Group], writing: Writing) -> list[Group]:
    """Return the groups that say something, without what the API refuses to take alone.

    That is thinking at the end of a turn, and a server's calls and results without each other.
    """
    groups = _with_unique_ids(groups)
    turns = runs([group for group in groups if group.side != "system" and group.blocks])
    known: set[Any] = set()
    gone: set[int] = set()
    for turn in turns:
        blocks = [block for group in turn for block in group.blocks]
        for block, why in _loose_ends(blocks, known, is_last=turn is turns[-1]):
            gone.add(id(block))
            writing.lose(block.sent, kind_of(block.json), why)
    rest = [
        group._replace(blocks=[block for block in group.blocks if id(block) not in gone])
        for group in groups
    ]
    return [group for group in rest if _says_something(group)]


def _with_unique_ids(groups: Sequence[Group]) -> list[Group]:
    """Return the groups with an id of its own for each call of a server's tool.

    An entry that was picked twice has the same ones twice.
    """
    uses: Counter[Any] = Counter()
    return [
        group._replace(blocks=[_with_unique_id(block, uses) for block in group.blocks])
        for group in groups
    ]


def _with_unique_id(block: Block, uses: Counter[Any]) -> Block:
    kind = kind_of(block.json)
    is_call = is_server_call(kind)
    if not is_call and (kind == "tool_result" or not is_server_result(kind)):
        return block
    key = "id" if is_call else "tool_use_id"
    used = block.json.get(key)
    uses[_key(used)] += is_call
    if uses[_key(used)] < 2:
        return block
    return block._replace(json={**block.json, key: f"{used}_{uses[_key(used)]}"})


def _loose_ends(
    blocks: Sequence[Block], known: set[Any], *, is_last: bool
) -> list[tuple[Block, str]]:
    """Return the blocks at loose ends in one turn; *known* are the server's open calls."""
    loose: list[tuple[Block, str]] = []
    unanswered: dict[Any, Block] = {}
    for block in blocks:
        kind = kind_of(block.json)
        if is_server_call(kind):
            known.add(_key(block.json.get("id")))
            unanswered[_key(block.json.get("id"))] = block
        elif is_server_result(kind) and kind != "tool_result":
            if _key(block.json.get("tool_use_id")) not in known:
                loose.append((block, "no call without a result is before it"))
            known.discard(_key(block.json.get("tool_use_id")))
            unanswered.pop(_key(block.json.get("tool_use_id")), None)
    calls = any(kind_of(block.json) == "tool_use" for block in blocks)
    if not is_last and not calls:
        loose += [(block, "it has no result") for block in unanswered.values()]
    gone = {id(block) for block, _ in loose}
    rest = [block for block in blocks if id(block) not in gone]
    while not calls and rest and kind_of(rest[-1].json) in THINKING:
        loose.append((rest.pop(), "the API takes no thinking at the end of a turn"))
    return loose


def _key(call_id: Any) -> Any:
    return call_id if isinstance(call_id, str) else repr(call_id)
