"""What is replayed in: a way to keep a conversation within a window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

from benchmarks.workload import ChatMessage
from tract import TiktokenCounter

__all__ = ["COUNTER", "Way", "shortened"]

COUNTER = TiktokenCounter()


class Way(ABC):
    """Keeps one conversation, and says what a model is sent of it."""

    title: ClassVar[str]

    def __init__(self, window: int, mean: float) -> None:
        """*window* is in tokens; *mean* is what a message of the conversation costs."""
        self.window = window
        self.mean = mean

    async def __aenter__(self) -> None:  # noqa: B027  (most keep a list and open nothing)
        """Open what it keeps the conversation in."""

    async def __aexit__(self, *_: object) -> None:  # noqa: B027
        """Close that."""

    @abstractmethod
    async def add(self, message: ChatMessage) -> None:
        """Keep the next message."""

    @abstractmethod
    async def request(self) -> Sequence[ChatMessage]:
        """Return what the model is sent, shortened first if need be."""

    async def finds(self, word: str) -> bool | None:
        """Return True if it still finds a word that was said; None if it keeps nothing itself."""
        return None


def shortened(texts: Iterable[str], tokens: int) -> str:
    """Summarise without a model: the first words of each text, as many as fit in *tokens*."""
    said = [" ".join(text.split()[:12]) for text in texts if text.strip()]
    while said and COUNTER.count_text(summary := "Summary: " + " / ".join(said)) > tokens:
        said = said[len(said) // 8 + 1 :]
    return summary if said else "Summary."
