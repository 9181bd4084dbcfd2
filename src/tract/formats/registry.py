"""The formats, by the names of their APIs."""

from __future__ import annotations

from tract.formats.anthropic_messages.format import AnthropicFormat
from tract.formats.format import Format
from tract.formats.google_genai.format import GoogleFormat

__all__ = ["FORMATS"]

FORMATS: dict[str, Format] = {format_.api: format_ for format_ in (GoogleFormat(),)}
"""One format an API; a new API is one more line."""
