"""A store as a whole, as callers see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tract.models.base import Value

__all__ = [
    "CacheInfo",
    "StoreInfo",
    "TractInfo",
    "VacuumReport",
]


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """The counters and the size of the snapshot cache.

    Attributes:
        hits: compiles answered by a cached snapshot.
        folds: compiles that extended the snapshot of a cached ancestor.
        misses: compiles from the beginning of a history.
        evictions: snapshots evicted to stay within `max_bytes`.
        snapshots: snapshots in the cache now.
        bytes: their approximate memory use in total.
        max_bytes: the limit, `TractConfig.cache_max_bytes`.
    """

    hits: int
    folds: int
    misses: int
    evictions: int
    snapshots: int
    bytes: int
    max_bytes: int


class StoreInfo(Value):
    """A store: what it is, how much it holds, and how large it is.

    `path` is a path, or a URL without its password. `streams` counts those that are open or were
    left. `contents` and `attachments` count what is stored, each once, whichever commits and tracts
    share it; they, `keys` and `attachment_nbytes` are None unless `exact=True` asked for them.
    `nbytes` is the size of the database, and `free_nbytes` of the pages in it that are unused.
    `log_nbytes` is the size of SQLite's write-ahead log, which is beside the database. On PostgreSQL
    `nbytes` is that of the store's tables and indexes, and the other two, which are the server's,
    are None.
    """

    engine: Literal["sqlite", "postgresql"]
    engine_version: str
    path: str
    schema_version: int
    read_only: bool
    durability: Literal["normal", "full"]
    tracts: int
    branches: int
    tags: int
    commits: int
    streams: int
    contents: int | None
    attachments: int | None
    keys: int | None
    nbytes: int
    free_nbytes: int | None
    log_nbytes: int | None
    attachment_nbytes: int | None
    cache: CacheInfo


class VacuumReport(Value):
    """What `vacuum()` did: how long it took, and the size of the database before and after.

    `pending` says where erased bytes may still be; see `ErasureReceipt`.
    """

    seconds: float
    nbytes_before: int
    nbytes: int
    pending: Literal["log", "vacuum"] | None


class TractInfo(Value):
    """One tract. Its dict is the caller's own copy.

    `updated_at` is when the last commit was made, a branch or tag was made, moved or deleted, or
    the title or metadata were set; `created_at` is the first such time. `commits` counts those of
    all branches and of none, and `branches` the branches that exist. `prompt_tokens` and
    `completion_tokens` add up the usage that was reported. `cursor` is where the next page of
    `TractStore.tracts` begins.
    """

    tract_id: str
    title: str | None
    metadata: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    commits: int
    branches: int
    prompt_tokens: int
    completion_tokens: int
    cursor: str
