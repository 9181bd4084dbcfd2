"""Items of the Messages API as the contents to commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tract.formats.anthropic_messages.kinds import API
from tract.formats.anthropic_messages.reading import is_fragment
from tract.formats.anthropic_messages.writing import write
from tract.formats.common.shorts import Short, answered, called, instructed, said, shortened
from tract.formats.common.values import objects
from tract.formats.format import Json
from tract.formats.items import plain_items
from tract.models.content import ContentModel, ToolsContent

__all__ = ["contents", "from_anthropic"]


def from_anthropic(
    messages: Iterable[object],
    *,
    system: str | Iterable[object] | None = None,
    tools: Iterable[object] | None = None,
) -> list[ContentModel]:
    """Return the contents that compile back to the arguments of a Messages call.

    The system prompt comes first, then the tools, then one content for each message, or each
    message's short form where that says the same. Messages and blocks are dicts or the SDK's own
    objects. `await client.messages.create(**request)` and
    `from_anthropic(request["messages"], system=request.get("system"))` take the same values.

    Raises:
        ContentValidationError: an item is not a JSON object, or holds what JSON cannot. Its `path`
            says where, such as `messages[3].content[0].source`.
    """
    items: list[Json] = []
    if system is not None:
        is_text = isinstance(system, str)
        prompt = system if is_text else plain_items(system, "system", iterable=True)
        items.append({"system": prompt})
    made = contents(items)
    if tools is not None:
        made.append(ToolsContent(api=API, tools=plain_items(tools, "tools", iterable=True)))
    return made + contents(plain_items(messages, "messages", iterable=True))


def contents(items: Sequence[Json]) -> list[ContentModel]:
    """Return the contents to commit for *items*, in order."""
    names: dict[Any, str] = {}
    return shortened(items, API, write, lambda item: _short(item, names), _arguments)


def _arguments(item: Json) -> Json:
    return {**item, "messages": []} if is_fragment(item) else {"messages": [item]}


def _short(item: Json, names: dict[Any, str]) -> Short | None:
    """Return the short content that may say the same as *item*.

    *names* are the tools of the calls so far, by the calls' ids.
    """
    if is_fragment(item):
        return instructed(item["system"])
    role, content = item.get("role"), item.get("content")
    if role in ("user", "assistant") and isinstance(content, str):
        return said(role, content)
    names |= {block["id"]: block["name"] for block in objects(content) if _is_named_call(block)}
    block = content[0] if isinstance(content, list) and len(content) == 1 else None
    if not isinstance(block, dict):
        return None
    if isinstance(block.get("input"), dict):
        return called(block.get("id"), block.get("name"), block["input"])
    call_id = block.get("tool_use_id")
    name = names.get(call_id) if isinstance(call_id, str) else None
    failed = block.get("is_error") is True
    return answered(call_id, name, block.get("content"), failed=failed)


def _is_named_call(block: Json) -> bool:
    named = isinstance(block.get("id"), str) and isinstance(block.get("name"), str)
    return named and block.get("type") == "tool_use"
