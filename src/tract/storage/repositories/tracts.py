"""Rows of tracts: titles and metadata, and the list of all tracts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

from tract.models.queries.query import Condition
from tract.protocols import UNSET, UnsetType

__all__ = [
    "Listing",
    "StoreCounts",
    "StoreFacts",
    "StoreRepository",
    "TractOrder",
    "TractRepository",
    "TractRow",
]


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


class StoreFacts(NamedTuple):
    """What a database is, and its sizes in bytes; see `StoreInfo`."""

    engine: Literal["sqlite", "postgresql"]
    engine_version: str
    durability: Literal["normal", "full"]
    read_only: bool
    nbytes: int
    free_nbytes: int | None = None
    log_nbytes: int | None = None


class StoreCounts(NamedTuple):
    """How much a database holds; the last four are None unless they were asked for."""

    schema_version: int
    tracts: int
    commits: int
    branches: int
    tags: int
    streams: int
    contents: int | None = None
    attachments: int | None = None
    attachment_nbytes: int | None = None
    keys: int | None = None


class StoreRepository(ABC):
    """Describes a database."""

    @abstractmethod
    async def facts(self) -> StoreFacts:
        """Return what the database is, and how large."""

    @abstractmethod
    async def counts(self, *, exact: bool = False) -> StoreCounts:
        """Return how much is in it, all read at one moment.

        What only reading an index from end to end can count is counted if *exact*.
        """
