"""Attachments: bytes beside contents, stored once, each known only to the tracts that gave them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tract.storage.values import Attached

__all__ = ["AttachmentRepository"]


class AttachmentRepository(ABC):
    """Keeps attachments. Commits bring theirs along, too; see `CommitRepository.write`."""

    @abstractmethod
    async def add(self, tract_id: str, attached: Attached) -> None:
        """Give bytes to a tract. Given again, only a media type changes anything."""

    @abstractmethod
    async def load(self, tract_id: str, hashes: Sequence[str]) -> dict[str, bytes]:
        """Return bytes by hash, in one trip: of those that the tract was given and that are there.

        They are returned as they are stored, right or wrong.
        """

    @abstractmethod
    async def uses(self, content_hashes: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return the attachments that contents are recorded to refer to; none are left out."""
