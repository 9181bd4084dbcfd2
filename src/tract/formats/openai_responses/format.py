"""OpenAI's Responses API as a format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

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
from tract.formats.openai_responses.contents import contents
from tract.formats.openai_responses.kinds import API, RULES
from tract.formats.openai_responses.reading import read
from tract.formats.openai_responses.replies import whole_reply
from tract.formats.openai_responses.streaming import ResponseEvents, is_event
from tract.formats.openai_responses.tools import read_tool, write_tools
from tract.formats.openai_responses.writing import write
from tract.models.content import ContentModel

__all__ = ["ResponsesFormat"]


class ResponsesFormat(Format):
    """OpenAI's Responses API."""

    api: ClassVar[str] = API
    rules: ClassVar[Rules] = RULES

    def read(self, item: Json, *, keep: bool = False) -> Reading:
        return read(item, keep=keep)

    def contents(self, items: Sequence[Json]) -> list[ContentModel]:
        return contents(items)

    def write(self, messages: Sequence[Sent], writing: Writing) -> Json:
        return write(messages, writing)

    def write_tools(self, tools: Sequence[Json], api: str, writing: Writing) -> Json:
        return write_tools(tools, api, self.rules, writing)

    def read_tool(self, tool: Json) -> Sequence[Tool]:
        return read_tool(tool)

    def reply(self, reply: Json) -> Reply | None:
        return whole_reply(reply)

    def is_event(self, event: Json) -> bool:
        return is_event(event)

    def events(self) -> Events:
        return ResponseEvents()
