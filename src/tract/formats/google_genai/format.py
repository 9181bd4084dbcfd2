"""Google's generateContent as a format."""

from __future__ import annotations

import re
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
from tract.formats.function_tools import function_tools
from tract.formats.google_genai.contents import contents
from tract.formats.google_genai.kinds import API
from tract.formats.google_genai.reading import read
from tract.formats.google_genai.replies import is_reply, whole_reply
from tract.formats.google_genai.streaming import ContentEvents
from tract.formats.google_genai.tools import write_tools
from tract.formats.google_genai.writing import write
from tract.models.content import ContentModel

__all__ = ["GoogleFormat"]


class GoogleFormat(Format):
    """Google's generateContent, of the Gemini API and of Vertex AI."""

    api: ClassVar[str] = API
    rules: ClassVar[Rules] = Rules(
        results_are_named=True,
        id_refused=re.compile(r"[^!-~]"),
        id_longest=256,
        # A name begins with a letter or an underscore: one is put before anything else.
        name_refused=re.compile(r"[^a-zA-Z0-9_.:-]|\A(?=[^a-zA-Z_])"),
    )

    def read(self, item: Json, *, keep: bool = False) -> Reading:
        return read(item, keep=keep)

    def contents(self, items: Sequence[Json]) -> list[ContentModel]:
        return contents(items)

    def write(self, messages: Sequence[Sent], writing: Writing) -> Json:
        return write(messages, writing)

    def write_tools(self, tools: Sequence[Json], api: str, writing: Writing) -> Json:
        return write_tools(tools, api, self.rules, writing)

    def request(self, given: Json, tools: Json) -> Json:
        config = {**given.get("config", {}), **tools.get("config", {})}
        return {**given, "config": config} if config else given

    def read_tool(self, tool: Json) -> Sequence[Tool]:
        return function_tools(tool, API)

    def reply(self, reply: Json) -> Reply | None:
        return whole_reply(reply)

    def is_event(self, event: Json) -> bool:
        return is_reply(event)

    def events(self) -> Events:
        return ContentEvents()
