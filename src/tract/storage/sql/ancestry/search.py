"""Everything that some heads reach, sound or damaged, on the connection's thread."""

from __future__ import annotations

from typing import Any

from tract.storage.repositories import StoredCommit
from tract.storage.sql import statements as sql
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import stored_of

__all__ = ["Search"]

_BATCH = 1000
_LATEST = 2**62


class Search:
    """A walk in batches that loses nothing where times are wrong.

    One scan by time meets a sound history in order. What it has not met by its end, because its
    time was changed or it is not there, is looked up by hash.
    """

    def __init__(self, heads: set[bytes]) -> None:
        self.wanted: set[bytes] = heads
        self._seen: set[bytes] = set()
        self._through: int | None = _LATEST

    def next_batch(self, connection: Connection, *, tract_id: str) -> list[StoredCommit]:
        """Return the next commits; empty where none of those looked for was found."""
        if self._through is None:
            return self._by_hash(connection, tract_id)
        return self._by_time(connection, tract_id, self._through)

    def _by_time(self, connection: Connection, tract_id: str, through: int) -> list[StoredCommit]:
        rows = connection.all(
            sql.WALK_STORED.by_time, tract_id=tract_id, through=through, limit=_BATCH
        )
        self._through = rows[-1][11] - 1 if len(rows) == _BATCH else None
        return [self._found(row) for row in rows if row[0] in self.wanted]

    def _by_hash(self, connection: Connection, tract_id: str) -> list[StoredCommit]:
        batch: list[StoredCommit] = []
        while self.wanted and len(batch) < _BATCH:
            key = self.wanted.pop()
            row = connection.one(sql.WALK_STORED.by_hash, tract_id=tract_id, hash=key)
            if row is not None:
                batch.append(self._found(row))
        return batch

    def _found(self, row: tuple[Any, ...]) -> StoredCommit:
        self.wanted.discard(row[0])
        self._seen.add(row[0])
        parents = {key for key in (row[2], row[12]) if key is not None}
        self.wanted |= parents - self._seen
        return stored_of(row)
