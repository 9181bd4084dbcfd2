"""Heads of watched branches, read again only if something was written since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tract.storage.repositories import BranchName
from tract.storage.sql.ancestry.arrivals import heads_of
from tract.storage.sqlite.connection import SqliteConnection

__all__ = ["WatchedHeads"]


class _Seen(NamedTuple):
    """What a connection last read, and the writes that it knew of by then."""

    version: tuple[int, int]
    branches: tuple[BranchName, ...]
    heads: tuple[str | None, ...]


class WatchedHeads:
    """The heads that each connection read last; use this on the connections' threads."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def look(
        self, connection: SqliteConnection, *, branches: Sequence[BranchName]
    ) -> Sequence[str | None]:
        """See `ArrivalRepository.heads`.

        A connection counts others' commits in one number and its own changes in another:
        https://www.sqlite.org/pragma.html#pragma_data_version
        """
        raw = connection.raw
        version = raw.execute("PRAGMA data_version").fetchall()[0][0], raw.total_changes
        seen = self._seen.get(id(raw))
        if seen is not None and (seen.version, seen.branches) == (version, tuple(branches)):
            return seen.heads
        heads = tuple(heads_of(connection, branches=branches))
        self._seen[id(raw)] = _Seen(version, tuple(branches), heads)  # as of before the read
        return heads
