"""The entries of a branch as items of the SDK."""

from __future__ import annotations

from typing import Any

from tract.formats.sending import to_responses
from tract.models.commit import EntryInfo
from tract.models.content import NativeContent
from tract.protocols import UNSET, UnsetType
from tract.tract import AsyncTract

__all__ = ["entries_of", "items_of"]

_API = "openai.responses"
_TOOLS = "$tools"  # the role of entries that define tools, which are not items


async def entries_of(
    tract: AsyncTract, limit: int | None = None, at: str | UnsetType | None = UNSET
) -> list[EntryInfo]:
    """Return the newest entries that a model is shown, oldest first."""
    entries = await tract.entries(at_commit=at, newest=True, limit=limit)
    shown = [entry for entry in entries if entry.role != _TOOLS]
    if limit is not None and len(shown) < limit == len(entries):
        return (await entries_of(tract, None, at))[-limit:]
    return shown[::-1]


def items_of(entry: EntryInfo) -> list[Any]:
    """Return the items that an entry is: one, if a session added it."""
    content = entry.content
    if isinstance(content, NativeContent) and content.api == _API:
        return [content.item]
    items: list[Any] = to_responses(entry.messages, open_calls="keep")["input"]
    return items
