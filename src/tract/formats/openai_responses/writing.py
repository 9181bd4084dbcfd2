"""Messages as the arguments of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract.formats.deltas import mended
from tract.formats.format import Json, Sent, Writing
from tract.formats.openai_responses.conversation import conversation
from tract.formats.openai_responses.kinds import API, is_fragment
from tract.formats.openai_responses.translating import Entry, items_of, own_item
from tract.parts import RefusalPart, TextPart

__all__ = ["write"]


def write(messages: Sequence[Sent], writing: Writing) -> Json:
    """Return the arguments `input` and, if there are any, `instructions`.

    The instructions are those of a request of this API, and the texts of the system and developer
    messages before anything else. Later ones stand in the input.
    """
    instructions: list[tuple[Any, Sent]] = []
    entries: list[Entry] = []
    for sent in messages:
        if sent.message.role.startswith("$"):
            continue
        item = own_item(sent.message, writing)
        if item is not None and is_fragment(item):
            instructions.append((item["instructions"], sent))
        elif not entries and _instructs(sent):
            instructions.append((sent.message.content or "", sent))
            _lose_name(sent, writing)
        else:
            entries += items_of(sent, writing)
            _lose_name(sent, writing)
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


def _lose_name(sent: Sent, writing: Writing) -> None:
    is_own = sent.message.native is not None and sent.message.native.api == API
    if sent.message.name is not None and not is_own:
        writing.lose(sent, "name", "the API has no field for it")


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
    written = conversation([*listed, *entries], writing)
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
