"""What a line may ask of AsyncTract and of its peers alike."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.workload import ChatMessage

__all__ = ["Backend", "Conversation", "Opened"]


class Conversation(Protocol):
    """One agent's context."""

    async def append(self, message: ChatMessage) -> None:
        """Store one message; it is safe when this returns."""

    async def extend(self, messages: Sequence[ChatMessage]) -> None:
        """Store many messages the fastest way that there is."""

    async def load(self) -> object:
        """Return the whole context in the library's own form."""

    async def read(self) -> list[Any]:
        """Return the whole context as provider messages."""


class Opened(Protocol):
    """An open database."""

    def conversation(self, name: str) -> Conversation:
        """Return a conversation that is stored in the database."""


class Backend(Protocol):
    """A library, by a name that a fresh process can find it by."""

    name: str
    module: str
    """What a program imports to use it."""

    def open(self, path: Path) -> AbstractAsyncContextManager[Opened]:
        """Open a database file, creating it if need be."""
