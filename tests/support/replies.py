"""Replies of a provider as streams of events, and reading a recording to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from tract import AsyncTract, CommitInfo, Recording

__all__ = ["contents", "drained", "reply"]


async def reply(*events: Any) -> AsyncIterator[Any]:
    """Yield *events* as a provider's stream does."""
    for event in events:
        yield event


async def drained(recording: Recording[Any]) -> Sequence[CommitInfo]:
    """Read a recording to its end, and return the commits that it became."""
    async for _ in recording:
        pass
    return recording.commits


async def contents(tract: AsyncTract, commits: Iterable[CommitInfo]) -> list[Any]:
    """Return what commits hold, without the annotations among them."""
    own = [info.commit_hash for info in commits if info.content_type != "annotation"]
    return [await tract.get_content(commit_hash) for commit_hash in own]
