"""The database as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

__all__ = ["StoreCounts", "StoreFacts", "StoreRepository"]


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
