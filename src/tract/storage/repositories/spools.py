"""Streams that are still open, part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tract.storage.values import (
    SpooledStream,
    SpoolPart,
    StreamName,
)

__all__ = ["SpoolRepository"]


class SpoolRepository(ABC):
    """Streams that are still open, part by part, each with the owner that writes it.

    Signs of life have a time, by the store's clock; each sign of a stream is later than the one before.
    """

    @abstractmethod
    async def save(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName] = ()
    ) -> list[StreamName]:
        """Add *parts* to streams of *owner*, and note that it still writes those *touched*.

        Part 0 begins a stream. Return those of the streams that are not, or no longer, the owner's:
        they are left alone.
        """

    @abstractmethod
    async def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        """Have those of *streams* that are *owner*'s belong to the owner "", which is nobody."""

    @abstractmethod
    async def spooled(self) -> list[SpooledStream]:
        """Return every stream of the store of which something is stored, oldest sign first."""

    @abstractmethod
    async def fragments(self, stream: StreamName) -> list[Any]:
        """Return what is stored of a stream, in order; empty if nothing is."""

    @abstractmethod
    async def drop(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        """Forget a stream, with *claim* only if it is still as it was then."""
