"""Erasing contents, for good."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from tract.storage.values import TractTimes

__all__ = ["Erased", "ErasureRepository", "Freed", "Marker", "Residue"]

Residue = Literal["log", "vacuum"]
"""Where erased bytes may still be: in the write-ahead log, or where only `VACUUM` takes them out."""


class Marker(NamedTuple):
    """What stands in the place of an erased content.

    With *along*, it does for all commits of the tract that hold the content; otherwise only for
    those that are named.
    """

    content_hash: str
    data: bytes
    along: bool = True


class Erased(NamedTuple):
    """What an erasure did.

    `commits` are those that were named and had anything, `along` others with the same contents. `contents` is the
    number of contents that are gone, `kept` of those that are needed elsewhere. `erasures` is the
    time of the tract's last erasure, which is later than all before.
    """

    commits: Sequence[str]
    along: Sequence[str]
    contents: int
    kept: int
    attachments: int
    erasures: int


class Freed(NamedTuple):
    """What was deleted: commits, and blobs that nothing else shows, with their bytes.

    `more` says whether there may be something left, and `after` is the last blob looked at.
    """

    commits: int = 0
    blobs: int = 0
    nbytes: int = 0
    more: bool = False
    after: bytes = b""


class ErasureRepository(ABC):
    """Erases contents."""

    @abstractmethod
    async def erase(
        self, tract_id: str, named: Sequence[str], markers: Mapping[str, Marker]
    ) -> Erased:
        """Erase commits, given by their hashes; *markers* are by the hashes of their contents.

        Gone are also their messages, metadata, configs, keys and raw reports of usage, even of
        commits that have lost their contents already, along with others.
        """

    @abstractmethod
    async def times(self, tract_ids: Sequence[str]) -> Mapping[str, TractTimes]:
        """Return when tracts were begun and last erased; those that are gone are left out."""

    @abstractmethod
    async def scrub(self) -> Residue | None:
        """Take what was erased out of the write-ahead log; return where it may still be."""

    @abstractmethod
    async def vacuum(self) -> Residue | None:
        """Take what was erased or deleted out of everything, and give its space back.

        It may wait for other writers, and they for it. If the caller is cancelled, it has happened
        or not. Return where erased bytes may still be.
        """

    @abstractmethod
    async def drop_names(self, tract_id: str) -> int:
        """Delete all that leads to a tract's commits; return the time of the last of these."""

    @abstractmethod
    async def drop_commits(self, tract_id: str, through: int) -> Freed:
        """Delete the next of a tract's commits up to a time; when none are left, its attachments.

        When none are left of these either, and there are no later commits, the tract is gone.
        """

    @abstractmethod
    async def collect(self, after: bytes) -> Freed:
        """Delete those of the next blobs that nothing refers to; empty those only erased commits do."""
