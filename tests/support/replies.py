"""Replies of a provider as streams of events, and reading a recording to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from tract import CommitInfo, Recording

__all__ = ["drained", "reply"]


async def reply(*events: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Yield *events* as a provider's stream does."""
    for event in events:
        yield event


async def drained(recording: Recording[Any]) -> Sequence[CommitInfo]:
    """Read a recording to its end, and return the commits that it became."""
    async for _ in recording:
        pass
    return recording.commits
