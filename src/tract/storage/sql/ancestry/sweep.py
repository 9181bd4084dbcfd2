"""All that some heads reach, sound or damaged; runs on the connection's thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tract.storage.sql.port import Connection, Row
from tract.storage.sql.statements.commits import Walk

__all__ = ["Filing", "Sweep"]

_BATCH = 1000
_LATEST = 2**62


class Sweep:
    """A walk in batches that finds every commit even if times are wrong.

    One scan by time meets a sound history in order. A commit that the scan does not meet, because
    its time was changed or it is missing, is looked up by hash.
    """

    def __init__(self, heads: set[bytes], walk: Walk) -> None:
        self.wanted: set[bytes] = heads
        self._walk = walk
        self._seen: set[bytes] = set()
        self._through: int | None = _LATEST

    def next_batch(self, connection: Connection, *, tract_id: str) -> list[Row]:
        """Return the next commits' rows; empty if none of the commits sought exists."""
        if self._through is None:
            return self._by_hash(connection, tract_id)
        return self._by_time(connection, tract_id, self._through)

    def _by_time(self, connection: Connection, tract_id: str, through: int) -> list[Row]:
        rows = connection.all(self._walk.by_time, tract_id=tract_id, through=through, limit=_BATCH)
        self._through = rows[-1][self._walk.time] - 1 if len(rows) == _BATCH else None
        return [self._found(row) for row in rows if row[0] in self.wanted]

    def _by_hash(self, connection: Connection, tract_id: str) -> list[Row]:
        batch: list[Row] = []
        while self.wanted and len(batch) < _BATCH:
            key = self.wanted.pop()
            row = connection.one(self._walk.by_hash, tract_id=tract_id, hash=key)
            if row is not None:
                batch.append(self._found(row))
        return batch

    def _found(self, row: Row) -> Row:
        self.wanted.discard(row[0])
        self._seen.add(row[0])
        parents = (row[self._walk.parent], row[self._walk.merged])
        self.wanted |= {key for key in parents if key is not None} - self._seen
        return row


class _Link(NamedTuple):
    """What ties a commit to its line."""

    parent: bytes | None
    segment: int


class Filing:
    """Finds the commits whose segment contradicts others of their line.

    A segment numbers one run of commits: it is not interrupted, and it begins once.
    """

    def __init__(self) -> None:
        self._links: dict[bytes, _Link] = {}

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows of `WALK_FILED`, newest first; values that cannot be read count as blank."""
        for key, parent, _, _, segment in rows:
            name = key if isinstance(key, bytes) else b""
            self._links[name] = _Link(
                parent if isinstance(parent, bytes) else None,
                segment if isinstance(segment, int) else 0,
            )

    def __contains__(self, key: object) -> bool:
        return key in self._links

    def misplaced(self) -> Iterator[bytes]:
        """Yield the commits whose place is wrong."""
        links = self._links
        interrupting = {link.parent for link in links.values() if self._is_interrupted(link)}
        yield from filter(None, interrupting)
        begun: set[int] = set()
        for name, link in reversed(links.items()):
            if name in interrupting or link.parent in interrupting:
                continue
            parent = links.get(link.parent or b"")
            if parent is not None and parent.segment == link.segment:
                continue
            if link.segment in begun:
                yield name
            begun.add(link.segment)

    def _is_interrupted(self, link: _Link) -> bool:
        """Return True if the segment of a commit continues behind its parent, but not in it."""
        parent = self._links.get(link.parent or b"")
        if parent is None:
            return False
        before = self._links.get(parent.parent or b"")
        return before is not None and before.segment == link.segment != parent.segment
