"""The formats, by the names of their APIs."""

from __future__ import annotations

from tract.formats.anthropic_messages.format import AnthropicFormat
from tract.formats.format import Format
from tract.formats.openai_chat.format import ChatFormat

__all__ = ["FORMATS"]

FORMATS: dict[str, Format] = {each.api: each for each in (AnthropicFormat(), ChatFormat())}
"""One format an API; a new API is one more line."""
