"""Groups of blocks as the messages of a request: sides in turn, each block in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tract.formats.anthropic_messages.kinds import (
    THINKING,
    is_server_call,
    is_server_result,
    kind_of,
)
from tract.formats.anthropic_messages.loose_ends import without_loose_ends
from tract.formats.anthropic_messages.mending import (
    mended_blocks,
    without_cache_points,
)
from tract.formats.common.sides import Block, Group, runs
from tract.formats.format import GO_ON, Json, Writing

__all__ = ["conversation"]

_OF_REPLIES = frozenset(
    {
        "container",
        "context_management",
        "diagnostics",
        "id",
        "input_transformations",
        "model",
        "stop_details",
        "stop_reason",
        "stop_sequence",
        "type",
        "usage",
    }
)
"""The keys that a reply has and a message must not have."""

# These answer a system message between the others with "messages: Unexpected role".
_WITHOUT_SYSTEM = re.compile(
    r"(?:.*[./])?claude-(?:[23]|(?:opus|sonnet|haiku)-4(?:-[0-7])?(?:-\d{8})?(?:-v\d.*)?$)"
)

# The others answer a last message of the assistant's with "This model does not support assistant
# message prefill. The conversation must end with a user message."
_WITHOUT_PREFILL = re.compile(
    r"(?:.*[./])?claude-(?!(?:[23]|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:-\d{8})?(?:-v\d.*)?$))"
)


def conversation(
    groups: Sequence[Group], writing: Writing, cache_points: int
) -> tuple[list[Json], list[Any]]:
    """Return the messages, and what is for the system prompt because it cannot stand in them.

    *cache_points* says how many the messages may have.
    """
    mended = [
        group._replace(blocks=mended_blocks(group.blocks, group.side, writing)) for group in groups
    ]
    kept = without_loose_ends(mended, writing)
    standing, moved = _placed_systems(kept, writing)
    turns = [turn for run in runs(standing) for turn in _turns(run)]
    ordered = [_ordered(turn) for turn in turns]
    flat = without_cache_points([b for blocks in ordered for b in blocks], cache_points, writing)
    spread = iter(flat)
    items = [
        _item(turn, [next(spread) for _ in blocks])
        for turn, blocks in zip(turns, ordered, strict=True)
    ]
    return _ended(items, turns, writing), moved


def _placed_systems(groups: Sequence[Group], writing: Writing) -> tuple[list[Group], list[Any]]:
    """Return the groups without the system messages that cannot stand there, and their texts.

    A system message stands behind a user's turn, and the assistant speaks next. One that did not
    come from the API stands there only if the model is known to take it.
    """
    takes_own = writing.model is None or not _WITHOUT_SYSTEM.match(writing.model)
    takes_others = takes_own and writing.model is not None and "claude" in writing.model
    standing: list[Group] = []
    moved: list[Any] = []
    for at, group in enumerate(groups):
        if group.side != "system":
            standing.append(group)
            continue
        takes_any = takes_own if group.item is not None else takes_others
        following = next((each.side for each in groups[at + 1 :] if each.side != "system"), None)
        if takes_any and standing and standing[-1].side == "user" and following != "user":
            standing.append(group)
        elif takes_any and standing and standing[-1].side == "system" and _is_plain(group):
            standing[-1] = standing[-1]._replace(blocks=[*standing[-1].blocks, *group.blocks])
        else:
            moved += _moved(group, writing)
    return standing, moved


def _is_plain(group: Group) -> bool:
    return group.item is None or group.item.keys() == {"role", "content"}


def _moved(group: Group, writing: Writing) -> list[Any]:
    """Return the texts of a system message, for the system prompt: plain ones as strings."""
    texts: list[Any] = []
    for block in group.blocks:
        if kind_of(block.json) == "text":
            texts.append({"type": "text", "text": block.json["text"]})
            why = "the API takes none there; it is in the system prompt"
            writing.lose(block.sent, "system", why)
        else:
            kind = kind_of(block.json) or "native"
            writing.lose(block.sent, kind, "the API takes it only behind a user's turn")
    if group.item is None and all(text.keys() == {"type", "text"} for text in texts):
        return [text["text"] for text in texts]
    return [texts] if texts else []


def _turns(run: Sequence[Group]) -> Sequence[Sequence[Group]]:
    """Return the groups of one side by the messages that they become.

    The API joins messages of one side by itself. So those that came from it stay as they are, and
    what else there is becomes one message, unless blocks have to change places.
    """
    pieces: list[list[Group]] = []
    for is_whole, part in groupby(run, key=lambda group: group.item is not None):
        together = list(part)
        pieces += [[group] for group in together] if is_whole else [together]
    blocks = [block for group in run for block in group.blocks]
    moved = any(one is not other for one, other in zip(_ordered(run), blocks, strict=True))
    return [run] if moved or any(map(_ends_with_thinking, pieces)) else pieces


def _ends_with_thinking(groups: Sequence[Group]) -> bool:
    blocks = groups[-1].blocks
    return bool(blocks) and kind_of(blocks[-1].json) in THINKING


def _ordered(turn: Sequence[Group]) -> list[Block]:
    blocks = [block for group in turn for block in group.blocks]
    if turn[0].side == "user":
        return sorted(blocks, key=lambda block: kind_of(block.json) != "tool_result")
    is_whole = len(turn) == 1 and turn[0].item is not None
    if turn[0].side == "system" or (is_whole and kind_of(blocks[-1].json) not in THINKING):
        return blocks
    # A call's result comes right behind it, so nothing else may.
    return _thinking_first(sorted(blocks, key=lambda block: kind_of(block.json) == "tool_use"))


def _thinking_first(blocks: list[Block]) -> list[Block]:
    """Return *blocks* with the model's thinking before what others gave the turn to begin with."""
    own = next((at for at, block in enumerate(blocks) if block.is_own), len(blocks))
    end = own
    while end < len(blocks) and kind_of(blocks[end].json) in THINKING:
        end += 1
    return blocks[own:end] + blocks[:own] + blocks[end:]


def _item(turn: Sequence[Group], blocks: Sequence[Block]) -> Json:
    first = turn[0]
    given = [block.json for block in blocks]
    is_text = len(given) == 1 and given[0].keys() == {"type", "text"}
    if len(turn) > 1 or first.item is None:
        said = given[0]["text"] if is_text and not blocks[0].is_own else given
        return {"role": first.side, "content": said}
    item = first.item
    if item.get("type") == "message":  # a whole reply
        item = {key: value for key, value in item.items() if key not in _OF_REPLIES}
    if isinstance(item.get("content"), str) and is_text:
        return {**item, "content": given[0]["text"]}
    return {**item, "content": given} if given or "content" in item else item


def _ended(items: list[Json], turns: Sequence[Sequence[Group]], writing: Writing) -> list[Json]:
    """Return the messages, which end as the API takes it if the last one is the assistant's.

    What the assistant said last is the beginning of the answer, where the model takes that.
    """
    if not items or items[-1]["role"] != "assistant":
        return items
    last = turns[-1][-1].blocks[-1]
    kind = kind_of(last.json)
    if is_server_call(kind) or is_server_result(kind):  # a paused turn goes on as it is
        return items
    if writing.model is not None and _WITHOUT_PREFILL.match(writing.model):
        why = f"messages end with the user's, so one was added: {GO_ON!r}"
        writing.lose(last.sent, "message", why)
        return [*items, {"role": "user", "content": GO_ON}]
    return _without_last_space(items, last, writing)


def _without_last_space(items: list[Json], block: Block, writing: Writing) -> list[Json]:
    content = items[-1]["content"]
    last = content if isinstance(content, str) else content[-1].get("text")
    if not isinstance(last, str) or last == last.rstrip():
        return items
    # "final assistant content cannot end with trailing whitespace"
    writing.lose(block.sent, "text", "the space at its end is not sent")
    said: Any = last.rstrip()
    if not isinstance(content, str):
        said = [*content[:-1], {**content[-1], "text": said}]
    return [*items[:-1], {**items[-1], "content": said}]
