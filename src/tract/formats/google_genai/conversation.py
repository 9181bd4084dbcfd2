"""Groups of parts as the contents of a request: sides in turn, each response with its call."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from tract.formats.common.sides import Block, Group, runs
from tract.formats.format import GO_ON, Json, Sent, Writing
from tract.formats.google_genai.kinds import ROLES, field, key_of, signs_calls
from tract.formats.google_genai.mending import mended_blocks

__all__ = ["OPENING", "UNSIGNED", "conversation"]

# For calls that another model made, ai.google.dev/gemini-api/docs/thought-signatures gives this
# instead of a signature; in JSON it is base64, as any bytes.
UNSIGNED = base64.urlsafe_b64encode(b"skip_thought_signature_validator").decode()
OPENING = "(The conversation begins with your tool calls.)"
"""Stands where the user's turn is missing that a call has to follow."""

_CALL, _RESPONSE = "functionCall", "functionResponse"


def conversation(groups: Sequence[Group], writing: Writing) -> list[Json]:
    """Return the contents of a request."""
    mended = [
        group._replace(blocks=mended_blocks(group.blocks, group.side, writing)) for group in groups
    ]
    kept = [group for group in mended if group.blocks]
    sides = runs(kept)
    items: list[Json] = []
    calls: list[Block] = []
    for run in sides:
        if run[0].side == "assistant":
            turns = [_signed(turn, writing) for turn in _model_turns(run)]
            calls = [block for turn in turns for block in turn.blocks if key_of(block.json, _CALL)]
            if calls and not items:
                items.append(_line(OPENING, calls[0].sent, "a call follows the user's", writing))
        else:
            turns = _user_turns(run, calls)
        items += map(_item, turns)
    if sides and sides[-1][0].side == "assistant":
        last = sides[-1][-1].blocks[-1].sent
        items.append(_line(GO_ON, last, "the contents end with the user's", writing))
    return items


def _line(text: str, sent: Sent, why: str, writing: Writing) -> Json:
    writing.lose(sent, "message", f"{why}, so one was added: {text!r}")
    return {"role": "user", "parts": [{"text": text}]}


def _model_turns(run: list[Group]) -> list[Group]:
    """Return the groups by the contents that they become: the calls of one step are in one.

    The API joins contents of one side by itself. So those that came from it stay as they are.
    """
    turns: list[Group] = []
    for is_whole, groups in groupby(run, key=lambda group: group.item is not None):
        together = list(groups)
        blocks = [block for group in together for block in group.blocks]
        if is_whole or not any(key_of(block.json, _CALL) for block in blocks):
            turns += together
        else:
            turns.append(Group("assistant", blocks))
    return turns


def _signed(turn: Group, writing: Writing) -> Group:
    """Return the turn with what stands for a signature at its first call, if that has none.

    "The first functionCall part in each step of the current turn must include its
    thought_signature." The calls of former turns get it as well, so that what was sent once stays
    as it was, and cached prompts stay valid.
    """
    at = next((n for n, each in enumerate(turn.blocks) if key_of(each.json, _CALL)), None)
    if at is None:
        return turn
    block, wanted = turn.blocks[at], signs_calls(writing.model)
    if key_of(block.json, "thoughtSignature") or wanted is False:
        return turn
    if block.is_own and wanted is None:  # of a model that does not sign, and may be asked again
        return turn
    writing.lose(block.sent, "signature", "the call has none; the API's word for that is sent")
    signed = block._replace(json={**block.json, "thoughtSignature": UNSIGNED})
    return turn._replace(blocks=[*turn.blocks[:at], signed, *turn.blocks[at + 1 :]])


def _user_turns(run: list[Group], calls: Sequence[Block]) -> list[Group]:
    """Return the responses to *calls* as one content, and behind it what else the user says."""
    responses = [b for group in run for b in group.blocks if key_of(b.json, _RESPONSE)]
    if not responses:
        return run
    ordered = _in_order(responses, calls)
    rest = [_without(group, responses) for group in run]
    first = Group("user", ordered)
    if not rest[0].blocks:
        first = first._replace(item=run[0].item)
    return [first, *(group for group in rest if group.blocks)]


def _without(group: Group, gone: Iterable[Block]) -> Group:
    ids = {id(block) for block in gone}
    kept = [block for block in group.blocks if id(block) not in ids]
    return group if len(kept) == len(group.blocks) else group._replace(blocks=kept)


def _in_order(responses: list[Block], calls: Sequence[Block]) -> list[Block]:
    """Return the responses in the order of their calls, with those calls' names."""
    left = list(responses)
    ordered = []
    ids = {field(called.json, _CALL).get("id") for called in calls}
    for called in calls:
        call = field(called.json, _CALL)
        others = ids - {None, call.get("id")}
        found = next((each for each in left if _answers(each, call, others)), None)
        if found is not None:
            left.remove(found)
            ordered.append(_agreeing(found, call))
    return ordered + left


def _answers(block: Block, call: Json, others: Collection[str]) -> bool:
    """Return True if a response is to *call*; *others* are the ids of the other calls."""
    response = field(block.json, _RESPONSE)
    if call.get("id") is not None and response.get("id") is not None:
        return bool(call["id"] == response["id"])
    return bool(call["name"] == response["name"] and response.get("id") not in others)


def _agreeing(block: Block, call: Json) -> Block:
    """Return a response with the name of its call, and without an id if the call has none."""
    key = key_of(block.json, _RESPONSE) or _RESPONSE
    response: Json = block.json[key]
    if response["name"] == call["name"] and (call.get("id") or response.get("id") is None):
        return block
    kept = response if call.get("id") else {k: v for k, v in response.items() if k != "id"}
    return block._replace(json={**block.json, key: {**kept, "name": call["name"]}})


def _item(turn: Group) -> Json:
    """Return a turn as a content: as it came, if it consists of what it came with."""
    parts = [block.json for block in turn.blocks]
    role = ROLES[turn.side]
    if turn.item is None:
        return {"role": role, "parts": parts}
    return {**turn.item, "role": role, "parts": parts}
