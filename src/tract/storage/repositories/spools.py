"""Open streams, part by part."""

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
    """Keeps open streams, part by part, each with the owner that writes it.

    Signs of life carry a time of the store's clock; those of one stream strictly increase.
    """

    @abstractmethod
    async def save(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName] = ()
    ) -> list[StreamName]:
        """Add *parts* to streams of *owner*, and record a sign of life for those *touched*.

        Part 0 begins a stream, unless its fate says that a part was saved. Parts of a stream that
        was ended, according to its fate, are left out. Streams that *owner* does not own, or no
        longer does, are left alone and returned. The fates of the others are set once the parts
        have been committed.
        """

    @abstractmethod
    async def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        """Give up those of *streams* that *owner* owns; their owner becomes "", which is nobody."""

    @abstractmethod
    async def spooled(self) -> list[SpooledStream]:
        """Return every stream of the store that has stored parts, oldest sign of life first."""

    @abstractmethod
    async def fragments(self, stream: StreamName) -> list[Any]:
        """Return the stored fragments of a stream, in order; empty if there are none."""

    @abstractmethod
    async def drop(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        """Delete the parts of a stream; given a *claim*, only if the stream is still as claimed."""
