"""Anthropic's Messages API as a format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tract.formats.anthropic_messages.contents import contents
from tract.formats.anthropic_messages.kinds import API
from tract.formats.anthropic_messages.reading import read
from tract.formats.anthropic_messages.streaming import MessageEvents, is_event, whole_reply
from tract.formats.anthropic_messages.tools import write_tools
from tract.formats.anthropic_messages.writing import write
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
from tract.models.content import ContentModel

__all__ = ["AnthropicFormat"]


class AnthropicFormat(Format):
    """Anthropic's Messages API."""

    api: ClassVar[str] = API
    # "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"; ids have the same
    # characters, and no limit of length that is known.
    rules: ClassVar[Rules] = Rules(id_longest=256, name_longest=128)

    def read(self, item: Json, *, keep: bool = False) -> Reading:
        return read(item, keep=keep)

    def contents(self, items: Sequence[Json]) -> list[ContentModel]:
        return contents(items)

    def write(self, messages: Sequence[Sent], writing: Writing) -> Json:
        return write(messages, writing)

    def write_tools(self, tools: Sequence[Json], api: str, writing: Writing) -> Json:
        return write_tools(tools, api, self.rules, writing)

    def read_tool(self, tool: Json) -> Sequence[Tool]:
        return function_tools(tool, API)

    def reply(self, reply: Json) -> Reply | None:
        return whole_reply(reply)

    def is_event(self, event: Json) -> bool:
        return is_event(event)

    def events(self) -> Events:
        return MessageEvents()
