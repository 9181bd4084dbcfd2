"""What most tests of branches do: commit words, and read what a context says."""

from __future__ import annotations

from tract import UNSET, AsyncTract, CommitInfo, UnsetType

__all__ = ["say", "texts"]


async def say(tract: AsyncTract, *words: str) -> list[CommitInfo]:
    """Commit one user's text per word."""
    return [await tract.user(word) for word in words]


async def texts(tract: AsyncTract, at: str | UnsetType = UNSET) -> list[str]:
    """Return the texts of a context, message by message."""
    context = await tract.compile(at_commit=at, aggregate_same_role=False)
    return [str(message.content) for message in context.messages]
