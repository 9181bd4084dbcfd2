"""Copying: what a tract consists of, as it is stored, out of one store and into another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from tract.exceptions import TractError
from tract.protocols import UnsetType
from tract.storage.values import StoredCommit

__all__ = [
    "Bundle",
    "CopyOvertakenError",
    "CopyRepository",
    "CopyTargetRepository",
    "Outline",
    "Portion",
    "Rows",
]

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows of each table, as they are stored."""


class CopyOvertakenError(TractError):
    """Others have written to a tract while it was copied; nothing was written."""


class Outline(NamedTuple):
    """A tract at one moment, but for its commits, of which it has the number and the last time.

    `refs` are by name, `runs` by segment, `streams` are the ids of those with stored parts.
    `missing` are the heads that are not in the store. `facts` are what is kept of a tract as a
    whole.
    """

    last_time: int
    commits: int
    refs: Mapping[str, Mapping[str, Any]]
    runs: Mapping[int, Mapping[str, Any]]
    streams: Sequence[str]
    missing: Sequence[str]
    facts: Mapping[str, Any]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of the tract, but perhaps attachments."""
        times = self.facts["created_at"], self.facts["updated_at"]
        return not (self.commits or self.refs or self.runs or self.streams or any(times))


class Portion(NamedTuple):
    """The next commits of a tract, with the rows that belong to them, up to the time `through`.

    `faults` are commits that contradict others of their tract, each with what is wrong.
    """

    commits: Sequence[StoredCommit]
    rows: Rows
    faults: Sequence[tuple[str, str]]
    through: int


class Bundle(NamedTuple):
    """The history of a commit as a tract of one branch, `main`.

    It has the commits and attachments of these hashes.
    """

    outline: Outline
    commits: Set[bytes]
    attachments: Set[bytes]


class CopyRepository(ABC):
    """Reads tracts for another store.

    Commits go by time. A tract's are written by no one else up to a time once there is a later one,
    so all up to the last time of an `Outline` can be read at leisure.
    """

    @abstractmethod
    async def tract_ids(self) -> list[str]:
        """Return the ids of all tracts that have anything, sorted."""

    @abstractmethod
    async def outline(self, tract_id: str) -> Outline:
        """Return the outline of a tract at one moment.

        Raises:
            StoreCorruptError: its last time cannot be read.
        """

    @abstractmethod
    async def bundle(self, tract_id: str, at: str | None) -> Bundle:
        """Return what there is to copy of the history of a commit alone.

        Raises:
            CommitNotFoundError: *at* is not a commit of the tract.
            TractError: *at* is before the first commit.
        """

    @abstractmethod
    async def line(self, tract_id: str, after: int, through: int) -> list[tuple[int, str]]:
        """Return the times and hashes of the next commits, oldest first; empty after the last."""

    @abstractmethod
    async def commits(self, tract_id: str, after: int, through: int) -> Portion | None:
        """Return the next commits, oldest first; None after the last."""

    @abstractmethod
    async def attachments(self, tract_id: str, after: bytes) -> list[Mapping[str, Any]]:
        """Return the next attachments by hash, without their bytes; empty after the last."""

    @abstractmethod
    async def usages(self, tract_id: str, after: bytes, through: int) -> list[Mapping[str, Any]]:
        """Return the next reports by commit, of commits up to a time; empty after the last."""

    @abstractmethod
    async def parts(self, tract_id: str, stream_id: str) -> list[Mapping[str, Any]]:
        """Return the stored parts of a stream; empty if it has ended."""


class CopyTargetRepository(ABC):
    """Writes tracts that were read from another store."""

    @abstractmethod
    async def attached(self, tract_id: str, hashes: Sequence[bytes]) -> dict[bytes, str | None]:
        """Return the media types of those attachments that the tract has."""

    @abstractmethod
    async def reported(self, tract_id: str, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """Return when usage was reported for commits; those without a report are left out."""

    @abstractmethod
    async def add(self, tract_id: str, rows: Rows, last_time: int) -> None:
        """Add rows to a tract whose last commit is of *last_time*, 0 if it has none.

        Rows that are there stay, but refs, reports, media types and parts of streams are replaced.

        Raises:
            CopyOvertakenError: others have written to the tract.
        """

    @abstractmethod
    async def copy_within(self, source: str, target: str, at: str | UnsetType | None) -> None:
        """Make a tract of everything that another has at one moment, but for streams.

        Of a commit *at*, it gets the history alone, as the branch `main`, and what belongs to it.

        Raises:
            TractExistsError: there is anything of *target*.
            TractNotFoundError: there is nothing of *source*.
            CommitNotFoundError: *at* is not a commit of *source*.
            TractError: *at* is before the first commit.
        """

    @abstractmethod
    async def settle(self, tract_id: str, outline: Outline) -> None:
        """Give a tract that has the commits of *outline* its refs, runs, streams and facts.

        It has no others then.

        It keeps no others. The parts of streams are added before.

        Raises:
            CopyOvertakenError: others have written to the tract.
        """
