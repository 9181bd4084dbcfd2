"""The formats, by the names of their APIs."""

from __future__ import annotations

from tract.formats.anthropic_messages.format import AnthropicFormat
from tract.formats.format import Format
from tract.formats.google_genai.format import GoogleFormat
from tract.formats.openai_chat.format import ChatFormat
from tract.formats.openai_responses.format import ResponsesFormat

__all__ = ["FORMATS"]

_ALL: tuple[Format, ...] = (ChatFormat(), ResponsesFormat(), AnthropicFormat(), GoogleFormat())

FORMATS: dict[str, Format] = {each.api: each for each in _ALL}
"""One format an API; a new API is one more line."""
