"""Rows of tracts: titles and metadata, and the list of all tracts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from tract.models.query import Condition
from tract.protocols import UNSET, UnsetType

__all__ = ["Listing", "TractOrder", "TractRepository", "TractRow"]


class TractOrder(StrEnum):
    """What tracts are sorted by; those that are equal there, by their ids."""

    UPDATED = "updated"
    CREATED = "created"
    ID = "id"


class TractRow(NamedTuple):
    """A tract as a whole; see `TractInfo`."""

    tract_id: str
    title: str | None
    metadata_json: str | None
    created_at: int
    updated_at: int
    commits: int
    branches: int
    prompt_tokens: int
    completion_tokens: int


class Listing(NamedTuple):
    """Which tracts to list: those with *prefix* whose metadata meets all *conditions*.

    *after* is the time, 0 if ids are the order, and the id of the tract before the first.
    """

    order: TractOrder = TractOrder.UPDATED
    descending: bool = True
    prefix: str = ""
    conditions: Sequence[Condition] = ()
    after: tuple[int, str] | None = None
    limit: int | None = None


class TractRepository(ABC):
    """Keeps and lists what is known of tracts as a whole.

    A tract has a row once anything but an attachment or a part of a stream was written to it.
    """

    @abstractmethod
    async def ids(self) -> list[str]:
        """Return the ids of all tracts that have a row, sorted."""

    @abstractmethod
    async def get(self, tract_id: str) -> TractRow | None:
        """Return a tract's row; None if there is none."""

    @abstractmethod
    async def listed(self, listing: Listing) -> list[TractRow]:
        """Return tracts in exactly the order that was asked for.

        Raises:
            QueryError: a field has too many keys that JSON escapes for the database to search.
        """

    @abstractmethod
    async def describe(
        self,
        tract_id: str,
        title: str | UnsetType | None = UNSET,
        metadata_json: str | UnsetType | None = UNSET,
        check: Callable[[str | None], None] | None = None,
    ) -> None:
        """Set a tract's title, or its metadata, or both.

        *check* is called with the present metadata, and nothing is written if it raises a
        `TractError`. It may be called more than once.
        """
