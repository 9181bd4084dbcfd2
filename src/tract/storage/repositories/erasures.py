"""Erasing contents, for good."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from typing import Literal, NamedTuple

from tract.storage.values import TractTimes

__all__ = [
    "Dropped",
    "Erased",
    "ErasureRepository",
    "Freed",
    "Marker",
    "Page",
    "PrunePlan",
    "PruneRepository",
    "Residue",
    "Taken",
]

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
    `tracts` counts the rows of tracts in which nothing was ever written.
    """

    commits: int = 0
    blobs: int = 0
    nbytes: int = 0
    more: bool = False
    after: bytes = b""
    tracts: int = 0


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
        """Delete those of the next blobs that nothing refers to; empty those only erased commits do.

        The first portion also deletes rows of tracts in which nothing was ever written.
        """


class PrunePlan(NamedTuple):
    """What a prune goes by: the state of a tract's refs at one moment.

    Everything made before `boundary` may go, unless it is needed. Whoever plans compiles the
    contexts of all `roots`, and puts the commits whose contents they show into `live`. `touched`
    are the entries that were annotated since the boundary: contexts between the roots may show what
    the roots hide. `since` is the moment, `reached` says up to which time branches, tags, keys
    and what a reflog since the boundary names reach into each segment. `was_cut_short` is True if a
    prune was, or is still under way.
    """

    boundary: int
    since: int
    roots: Mapping[str, None]
    touched: Set[str]
    reached: Mapping[int, int]
    was_cut_short: bool = False
    live: Set[str] = frozenset()


class Page(NamedTuple):
    """Commits that may go, and where to look for others; `more` is False if there are none."""

    commits: Sequence[str]
    at: int
    more: bool


class Taken(NamedTuple):
    """Of how many commits the contents were taken, and the numbers that an `Erased` has."""

    commits: int = 0
    contents: int = 0
    kept: int = 0
    attachments: int = 0


class Dropped(NamedTuple):
    """How many commits were deleted, and contents and attachments that only they used."""

    commits: int = 0
    contents: int = 0
    attachments: int = 0


class PruneRepository(ABC):
    """Shortens histories, in portions that are one transaction each.

    A portion that a plan has been overtaken for does nothing and returns None: a branch or a tag
    began elsewhere than at a root or a later commit, or a merge came. Then plan again.
    """

    @abstractmethod
    async def plan(
        self,
        tract_id: str,
        *,
        before: str | int | None,
        keep: int | None,
        former: PrunePlan | None = None,
    ) -> PrunePlan:
        """Return a plan; the boundary is the earlier of *before* and the *keep*-th newest commit.

        *before* is a time or names a commit, the first that stays. A *former* plan gives its
        boundary, and what it knows.

        Raises:
            CommitNotFoundError: *before* is not a commit of the tract.
        """

    @abstractmethod
    async def drop_runs(self, tract_id: str, plan: PrunePlan) -> int:
        """Delete runs that ended before the boundary without a commit; return how many, 0 at last."""

    @abstractmethod
    async def unreached(self, tract_id: str, plan: PrunePlan, at: int) -> Page:
        """Return the next commits that nothing reaches, the newest first, made before a time."""

    @abstractmethod
    async def drop(self, tract_id: str, plan: PrunePlan, commits: Sequence[str]) -> Dropped | None:
        """Delete those of *commits* that the plan does not reach, in the order of `unreached`."""

    @abstractmethod
    async def unneeded(self, tract_id: str, plan: PrunePlan, at: int) -> Page:
        """Return the next commits whose contents nothing shows, oldest first, made after a time."""

    @abstractmethod
    async def take(
        self, tract_id: str, plan: PrunePlan, markers: Mapping[str, Marker]
    ) -> Taken | None:
        """Put *markers* in the place of contents, given by hash, that the plan does not need.

        A content stays if any commit of the tract that holds it is needed.
        """

    @abstractmethod
    async def finish(self, tract_id: str) -> int:
        """Have everybody forget what was read of a tract; return its count of erasures.

        The first portion does so, too. A prune that is cut short between the two has to be finished
        by another, which its plan tells. Where no portion came since another finished, this does
        nothing.
        """
