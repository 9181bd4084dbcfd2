"""Contents as the messages that a compile makes of them, one by one."""

from __future__ import annotations

from collections.abc import Iterable

from tract import ContentModel, Message
from tract.engine.contents.provided import TOOLS
from tract.engine.contents.rendering import render

__all__ = ["shown"]


def shown(contents: Iterable[ContentModel]) -> list[Message]:
    """Return the message of each content; definitions of tools are none."""
    found = []
    for content in contents:
        fields = content.model_dump()
        found.append(render(fields["content_type"], fields))
    return [message for message in found if message.role is not TOOLS]
