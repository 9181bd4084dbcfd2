"""Chat Completions, and what speaks like it, as a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from tract.formats.format import (
    Events,
    Format,
    Json,
    Reading,
    Reply,
    Rules,
    Sent,
    Tool,
    Writing,
)
from tract.formats.function_tools import function_tools
from tract.formats.items import is_model, listed, plain_items, plain_object
from tract.formats.openai_chat.contents import contents
from tract.formats.openai_chat.plain import has_ids, join_calls, message_to_openai
from tract.formats.openai_chat.reading import read
from tract.formats.openai_chat.replies import read_reply, sendable
from tract.formats.openai_chat.shapes import API, RULES
from tract.formats.openai_chat.streaming import ChatEvents, is_chunk
from tract.formats.openai_chat.tools import write_tools
from tract.formats.openai_chat.writing import write
from tract.models.content import ContentModel, ToolsContent
from tract.protocols import Message

__all__ = ["ChatFormat", "from_openai", "to_openai"]


class ChatFormat(Format):
    """OpenAI's Chat Completions API and its many compatible APIs.

    Of a reply with several choices the first is kept.
    """

    api: ClassVar[str] = API
    rules: ClassVar[Rules] = RULES

    def read(self, item: Json, *, keep: bool = False) -> Reading:
        """Return a message as parts."""
        return read(item, keep=keep)

    def contents(self, items: Sequence[Json]) -> list[ContentModel]:
        """Return the contents to commit for messages."""
        return contents(items)

    def write(self, messages: Sequence[Sent], writing: Writing) -> Json:
        """Return the argument `messages`."""
        return {"messages": write(messages, writing)}

    def write_tools(self, tools: Sequence[Json], api: str, writing: Writing) -> Json:
        """Return the argument `tools`."""
        return write_tools(tools, api, writing)

    def read_tool(self, tool: Json) -> Sequence[Tool]:
        """Return the function that a tool is."""
        return function_tools(tool, API)

    def reply(self, reply: Json) -> Reply | None:
        """Return a whole answer."""
        return read_reply(reply)

    def is_event(self, event: Json) -> bool:
        """Return True for a chunk."""
        return is_chunk(event)

    def events(self) -> Events:
        """Return a reader of chunks."""
        return ChatEvents()


def from_openai(
    messages: Sequence[Mapping[str, Any] | BaseModel],
    *,
    tools: Sequence[Mapping[str, Any] | BaseModel] | None = None,
) -> list[ContentModel]:
    """Return the contents that compile back to *messages*, in the order to commit them.

    Messages are dicts or the SDK's own objects, of any API that speaks like Chat Completions. A
    plain system message becomes an instruction, a user's or assistant's text a dialogue, and each
    plain tool call and tool result a `ToolIOContent`. Any other message (parts, images, thinking,
    refusals, other roles, keys that only one provider has) becomes a `NativeContent` that holds it
    as it is. So does a message of calls alone at the beginning of *messages* or behind another one
    of the assistant's, which it would join.

    All that dicts hold comes back, arguments and ids byte for byte; only a tool result's `name` is
    kept as `tool_name` and not sent again. Of the SDK's own messages, what says nothing
    (`refusal=None`, `annotations=[]`) is left out, as the next request wants it.

    Args:
        messages: the messages of a request, or replies.
        tools: the tools of the request, which become a `ToolsContent` that comes first.

    Raises:
        ContentValidationError: *messages* is not a list, a message is not a JSON object, or one
            holds what JSON cannot. Its `path` says where, such as `messages[3].content`.
    """
    made: list[ContentModel] = []
    if tools is not None:
        made.append(ToolsContent(api=API, tools=plain_items(tools, "tools")))
    items = []
    for index, message in enumerate(listed(messages, "messages")):
        item = plain_object(message, f"messages[{index}]")
        is_reply = is_model(message) and item.get("role") == "assistant"
        items.append(sendable(item) if is_reply else item)
    return made + contents(items)


def to_openai(
    messages: Sequence[Message],
    *,
    exact: bool = False,
    model: str | None = None,
    load: Callable[[str], bytes] = lambda _: b"",
) -> list[Any]:
    """Return a Chat Completions message list, as new plain dicts.

    Tool calls in messages of their own, as `compile(aggregate_same_role=False)` leaves them, are
    merged into the assistant's message before them, because the API wants a turn's calls in one
    message. Missing ids are made up: `call_1`, `call_2`, … A tool result's name is not sent.
    Messages that came from this API go out as they came; those of others are translated.

    Args:
        messages: the messages of a context.
        exact: send what was committed, message by message, and mend nothing.
        model: the model that the request goes to, if it is known: thinking of others is left out.
        load: returns the bytes of an attachment by their SHA-256.
    """
    if all(map(has_ids, messages)):
        return [message_to_openai(message) for message in join_calls(messages)]
    return write([Sent(message) for message in messages], Writing(exact, load, model))
