"""The parts of open streams: written in a transaction, and read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tract.exceptions import StreamRecoveredError
from tract.history.canonical import stored_json
from tract.storage.repositories import BranchName, SpooledStream, SpoolPart, StreamName
from tract.storage.sql.port import Connection
from tract.storage.sql.statements import commits as sql

__all__ = ["SpoolWrites", "fragments", "spooled"]


class SpoolWrites:
    """Writes parts of streams; see `SpoolRepository`."""

    def __init__(
        self,
        connection: Connection,
        clock: Callable[[], int],
        once_committed: list[Callable[[], None]],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._once_committed = once_committed

    def spool(
        self, owner: str, parts: Sequence[SpoolPart], touched: Sequence[StreamName]
    ) -> list[StreamName]:
        """Add parts of open streams and record signs of life; see `SpoolRepository.save`."""
        lost: list[StreamName] = []
        for part in parts:
            if part.fate is not None and part.fate.ended:
                continue
            now = self._next_sign(owner, part.stream, begins=_begins(part))
            if now is None:
                lost.append(part.stream)
            else:
                self._add_part(owner, part, now)
        for stream in touched:
            now = self._next_sign(owner, stream, begins=False)
            if now is None:
                lost.append(stream)
            else:
                self._connection.run(sql.TOUCH_SPOOL, **_key(stream), now=now)
        return lost

    def release(self, owner: str, streams: Sequence[StreamName]) -> None:
        """Give streams up; see `SpoolRepository.release`."""
        for stream in streams:
            self._connection.run(sql.RELEASE_SPOOL, **_key(stream), holder=owner)

    def unspool(self, stream: StreamName, claim: SpooledStream | None = None) -> None:
        """Delete the parts of a stream; see `SpoolRepository.drop`."""
        if claim is None or self.is_as_claimed(claim):
            self._connection.run(sql.DROP_SPOOL, **_key(stream))

    def is_as_claimed(self, claim: SpooledStream) -> bool:
        """Return True if a stream is still as it was when claimed."""
        found = self._spooled(claim.stream)
        return found is not None and found[1:] == claim[1:]

    def check_owner(self, owner: str, stream: StreamName) -> None:
        """Raise a StreamRecoveredError if *owner* no longer owns a stream."""
        found = self._spooled(stream)
        if found is None or found.owner != owner:
            raise StreamRecoveredError(stream.branch.tract_id, stream.branch.branch)

    def _next_sign(self, owner: str, stream: StreamName, *, begins: bool) -> int | None:
        """Return the time of a stream's next sign of life, or None if *owner* does not own it."""
        found = self._spooled(stream)
        if found is None:
            return self._clock() if begins else None
        return max(self._clock(), found.updated_at + 1) if found.owner == owner else None

    def _spooled(self, stream: StreamName) -> SpooledStream | None:
        row = self._connection.one(sql.SPOOLED_STREAM, **_key(stream))
        return None if row is None else _spooled_of(row)

    def _add_part(self, owner: str, part: SpoolPart, now: int) -> None:
        self._connection.run(
            sql.ADD_SPOOL,
            **_key(part.stream),
            number=part.number,
            branch=part.stream.branch.branch,
            owner=owner,
            data=json.dumps(part.fragments, separators=(",", ":")),
            updated_at=now,
        )
        if part.fate is not None:
            self._once_committed.append(partial(part.fate.save, part))


def _begins(part: SpoolPart) -> bool:
    """Return True if a part is the first of its stream, and was not saved before."""
    return part.number == 0 and (part.fate is None or part.fate.saved is None)


def _spooled_of(row: Sequence[Any]) -> SpooledStream:
    """Return a row of `SPOOLED` as a stream."""
    tract_id, branch, stream_id, owner, updated_at = row
    return SpooledStream(StreamName(BranchName(tract_id, branch), stream_id), owner, updated_at)


def spooled(connection: Connection) -> list[SpooledStream]:
    """See `SpoolRepository.spooled`."""
    return [_spooled_of(row) for row in connection.all(sql.SPOOLED)]


def fragments(connection: Connection, *, stream: StreamName) -> list[Any]:
    """See `SpoolRepository.fragments`."""
    rows = connection.all(sql.SPOOL, **_key(stream))
    return [item for row in rows for item in stored_json(row[0], "what was left of a stream")]


def _key(stream: StreamName) -> dict[str, str]:
    return {"tract_id": stream.branch.tract_id, "stream_id": stream.stream_id}
