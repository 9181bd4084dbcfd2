"""Items of the Responses API as the contents to commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tract.formats.common.shorts import Short, answered, called, instructed, said, shortened
from tract.formats.format import Json
from tract.formats.items import plain_items
from tract.formats.openai_responses.kinds import API, is_fragment, kind_of
from tract.formats.openai_responses.replies import as_sent
from tract.formats.openai_responses.writing import write
from tract.models.content import ContentModel, ToolsContent

__all__ = ["contents", "from_responses"]


def from_responses(
    input: str | Sequence[object],
    *,
    instructions: str | Sequence[object] | None = None,
    tools: Sequence[object] | None = None,
) -> list[ContentModel]:
    """Return the contents that compile back to the arguments of a Responses call.

    The instructions come first, then the tools, then one content for each item, or its short form
    where that says the same. Items are dicts or the SDK's own objects: those of an `input`, of a
    reply's `output`, and of a compaction's. What only the SDK adds to its objects is left out. A
    string as `input` is a user's message, as for the API.

    Raises:
        ContentValidationError: an item is not a JSON object, or holds what JSON cannot. Its `path`
            says where, such as `input[3].content[0].image_url`.
    """
    items: list[Json] = []
    if isinstance(instructions, str):
        items.append({"instructions": instructions})
    elif instructions is not None:
        items.append({"instructions": _items(instructions, "instructions")})
    made = contents(items)
    if tools is not None:
        made.append(ToolsContent(api=API, tools=plain_items(tools, "tools")))
    if isinstance(input, str):
        return made + contents([{"role": "user", "content": input}])
    return made + contents(_items(input, "input"))


def _items(given: Sequence[object], path: str) -> list[Json]:
    plain = plain_items(given, path)
    return [
        item if isinstance(value, Mapping) else as_sent(item)
        for value, item in zip(given, plain, strict=True)
    ]


def contents(items: Sequence[Json]) -> list[ContentModel]:
    """Return the contents to commit for *items*, in order."""
    names: dict[str, str] = {}
    led = bool(items) and is_fragment(items[0])

    def short(item: Json) -> Short | None:
        return _short(item, names) if not is_fragment(item) or (led and item is items[0]) else None

    return shortened(items, API, write, short, _arguments)


def _arguments(item: Json) -> Json:
    return {**item, "input": []} if is_fragment(item) else {"input": [item]}


def _short(item: Json, names: dict[str, str]) -> Short | None:
    """Return the short content that may say the same as *item*.

    *names* are the tools of the calls so far, by the calls' ids. A system message stays as it came:
    whether a short one becomes the instructions depends on what stands before it. An empty text
    stays, too, because a short one is left out of requests.
    """
    if is_fragment(item):
        return instructed(item["instructions"])
    role, call_id = item.get("role"), item.get("call_id")
    match kind_of(item):
        case "message" if role in ("user", "assistant") and item.get("content"):
            return said(role, item["content"])
        case "function_call" if isinstance(item.get("arguments"), str):
            found = called(call_id, item.get("name"), item["arguments"])
            if found is not None:
                names[str(call_id)] = item["name"]
            return found
        case "function_call_output" if isinstance(call_id, str):
            return answered(call_id, names.get(call_id), item.get("output"))
    return None
