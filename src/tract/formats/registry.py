"""The formats, by the names of their APIs."""

from __future__ import annotations

from tract.formats.anthropic_messages.format import ANTHROPIC
from tract.formats.format import Format
from tract.formats.google_genai.format import GOOGLE
from tract.formats.openai_chat.format import CHAT
from tract.formats.openai_responses.format import RESPONSES

__all__ = ["FORMATS", "format_of"]

FORMATS: dict[str, Format] = {each.api: each for each in (CHAT, RESPONSES, ANTHROPIC, GOOGLE)}
"""One format an API; a new API is one more."""


def format_of(api: str) -> Format:
    """Return the format of an API.

    Raises:
        ValueError: there is none of that name.
    """
    found = FORMATS.get(api)
    if found is None:
        raise ValueError(
            f"{api!r} is not an API that is known here. Use one of: {', '.join(FORMATS)}."
        )
    return found
