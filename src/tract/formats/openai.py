"""Messages of OpenAI's Chat Completions API; see `tract.formats.openai_chat`."""

from __future__ import annotations

from tract.formats.openai_chat.format import from_openai, to_openai
from tract.formats.openai_chat.plain import has_ids, message_to_openai

__all__ = ["from_openai", "has_ids", "message_to_openai", "to_openai"]
