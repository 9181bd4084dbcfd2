"""Text search: an index over what contents say, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tract.models.queries.searching import SearchTerm
from tract.storage.values import BranchName, CommitRow

__all__ = ["Candidates", "Found", "SearchRepository", "Standing", "Unindexed", "Unread"]


class Unread(NamedTuple):
    """A commit whose text is not in the index yet; `content_hash` is that of what it shows."""

    number: int
    tract_id: str
    content_hash: bytes
    content_type: str
    data: bytes | None


class Unindexed(NamedTuple):
    """The commits that are to be indexed next: those after one number, up to another."""

    after: int
    through: int
    commits: Sequence[Unread]


class Found(NamedTuple):
    """A commit whose content may have what was looked for. Later commits have higher numbers."""

    number: int
    record: CommitRow
    content_type: str
    data: bytes | None


class Candidates(NamedTuple):
    """Commits that may be hits, newest first; `bottom` is the last number looked at, or 0 if all."""

    found: Sequence[Found]
    bottom: int


class Standing(NamedTuple):
    """What became of a commit in a branch.

    `is_current` says whether its entry shows its content now. `priority` is the content of the
    newest annotation, or of the entry itself if there is none, of the type `priority_type`.
    `may_be_hidden` says whether the tract has compactions.
    """

    is_reached: bool = False
    is_current: bool = False
    priority_type: str = ""
    priority: bytes | None = None
    may_be_hidden: bool = False


class SearchRepository(ABC):
    """Keeps the index of a database, if it was switched on, and asks it.

    All but the first two raise a `QueryError` if there is none. The index holds nothing of contents
    that were erased.
    """

    @abstractmethod
    async def enable(self, *, rebuild: bool = False) -> None:
        """List all commits, to be indexed, and note each new one from now on.

        An index that is there stays, but for *rebuild*.
        """

    @abstractmethod
    async def disable(self) -> None:
        """Drop the index, if there is one."""

    @abstractmethod
    async def unindexed(self) -> Unindexed | None:
        """Return what is to be indexed next; None if nothing is left, or nothing can be written."""

    @abstractmethod
    async def index(self, batch: Unindexed, words: Mapping[int, Sequence[str]]) -> None:
        """Add the words of commits, by their numbers, unless others have.

        What was erased since *batch* was read is left out.
        """

    @abstractmethod
    async def find(
        self, terms: Sequence[SearchTerm], tract_id: str | None, below: int, limit: int
    ) -> Candidates:
        """Return the newest commits below a number that may meet all terms, newest first.

        They may be fewer than *limit* though there are more.
        """

    @abstractmethod
    async def standings(
        self, branches: Sequence[BranchName], commits: Sequence[CommitRow]
    ) -> dict[tuple[str, str], Standing]:
        """Return what became of commits in a branch of each of their tracts, all at one moment.

        They are by tract and hash.
        """
