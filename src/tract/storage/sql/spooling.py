"""What a transaction does with the parts of open streams."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from tract.exceptions import StreamRecoveredError
from tract.storage.repositories import BranchName, SpooledStream, SpoolPart, StreamName
from tract.storage.sql import statements as sql

__all__ = ["SpoolWrites", "spooled_of"]


class SpoolWrites:
    """Writes of parts of streams; see `SpoolRepository`."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._clock = clock

    def spool(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName]
    ) -> list[StreamName]:
        """Add parts of open streams and note signs of life; see `SpoolRepository.save`."""
        lost: list[StreamName] = []
        for part in parts:
            now = self._next_sign(owner, part.stream, begins=part.number == 0)
            if now is None:
                lost.append(part.stream)
            else:
                self._add_part(owner, part, now)
        for stream in touched:
            now = self._next_sign(owner, stream, begins=False)
            if now is None:
                lost.append(stream)
            else:
                sql.TOUCH_SPOOL.run(self._connection, **_key(stream), now=now)
        return lost

    def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        """Give streams up; see `SpoolRepository.release`."""
        for stream in streams:
            sql.RELEASE_SPOOL.run(self._connection, **_key(stream), holder=owner)

    def unspool(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        """Drop the parts of a stream; see `SpoolRepository.drop`."""
        if claim is None or self._is_as_claimed(claim):
            sql.DROP_SPOOL.run(self._connection, **_key(stream))

    def _is_as_claimed(self, claim: SpooledStream) -> bool:
        found = self._spooled(claim.stream)
        return found is not None and found[1:] == claim[1:]

    def _check_owner(self, owner: str, stream: StreamName) -> None:
        found = self._spooled(stream)
        if found is None or found.owner != owner:
            raise StreamRecoveredError(stream.branch.tract_id, stream.branch.branch)

    def _next_sign(self, owner: str, stream: StreamName, *, begins: bool) -> int | None:
        """Return the time of a stream's next sign of life; None: it is not this owner's to give."""
        found = self._spooled(stream)
        if found is None:
            return self._clock() if begins else None
        return max(self._clock(), found.updated_at + 1) if found.owner == owner else None

    def _spooled(self, stream: StreamName) -> SpooledStream | None:
        row = sql.SPOOLED_STREAM.one(self._connection, **_key(stream))
        return None if row is None else spooled_of(row)

    def _add_part(self, owner: str, part: SpoolPart, now: int) -> None:
        sql.ADD_SPOOL.run(
            self._connection,
            **_key(part.stream),
            number=part.number,
            branch=part.stream.branch.branch,
            owner=owner,
            data=json.dumps(part.fragments, separators=(",", ":")),
            updated_at=now,
        )


def spooled_of(row: Sequence[Any]) -> SpooledStream:
    """Return what `SPOOLED` tells of a stream."""
    tract_id, branch, stream_id, owner, updated_at = row
    return SpooledStream(StreamName(BranchName(tract_id, branch), stream_id), owner, updated_at)


def _key(stream: StreamName) -> dict[str, str]:
    return {"tract_id": stream.branch.tract_id, "stream_id": stream.stream_id}
