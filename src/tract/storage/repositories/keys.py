"""Commits by the keys that callers gave them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tract.storage.values import CommitRow

__all__ = ["KeyRepository"]


class KeyRepository(ABC):
    """Reads commits by key. Keys belong to a tract, whatever the branch."""

    @abstractmethod
    async def find(self, tract_id: str, keys: Sequence[str]) -> dict[str, CommitRow]:
        """Return the commits that *keys* name, in that order; those that name none are left out."""

    @abstractmethod
    async def listed(
        self,
        tract_id: str,
        prefix: str = "",
        *,
        newest: bool = False,
        before: str | None = None,
        limit: int | None = None,
    ) -> list[CommitRow]:
        """Return the commits whose keys begin with *prefix*, by the code points of the keys.

        Keys of more than 1,500 bytes go by their first 256 characters. With *newest*, the newest
        commit comes first. *before* is the last key of the page before.

        Raises:
            CommitNotFoundError: *before* names no commit, and the order is that of time.
        """
