"""Anthropic's Messages API: items in and out, replies whole and streamed, tools."""

from __future__ import annotations

from tract.formats.anthropic_messages.contents import from_anthropic
from tract.formats.anthropic_messages.format import AnthropicFormat
from tract.formats.anthropic_messages.public import to_anthropic

__all__ = ["AnthropicFormat", "from_anthropic", "to_anthropic"]
