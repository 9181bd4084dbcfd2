"""What a transaction does with the parts of open streams."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence

from tract.storage.repositories import SpoolPart, StreamName
from tract.storage.sql import statements as sql

__all__ = ["SpoolWrites"]


class SpoolWrites:
    """Writes of parts of streams; see `SpoolRepository`."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._clock = clock

    def spool(self, owner: str, parts: Sequence[SpoolPart]) -> None:
        """Add parts of open streams; see `SpoolRepository.save`."""
        for (branch, stream_id), number, fragments in parts:
            sql.ADD_SPOOL.run(
                self._connection,
                tract_id=branch.tract_id,
                stream_id=stream_id,
                number=number,
                branch=branch.branch,
                owner=owner,
                data=json.dumps(fragments, separators=(",", ":")),
                updated_at=self._clock(),
            )

    def touch(self, streams: Sequence[StreamName]) -> None:
        """Note that streams are still being written; see `SpoolRepository.save`."""
        for branch, stream_id in streams:
            sql.TOUCH_SPOOL.run(
                self._connection,
                tract_id=branch.tract_id,
                stream_id=stream_id,
                now=self._clock(),
            )

    def unspool(self, stream: StreamName) -> None:
        """Drop the parts of a stream; see `SpoolRepository.drop`."""
        sql.DROP_SPOOL.run(
            self._connection, tract_id=stream.branch.tract_id, stream_id=stream.stream_id
        )

    def _is_spooled(self, stream: StreamName) -> bool:
        return bool(
            sql.SPOOL.all(
                self._connection, tract_id=stream.branch.tract_id, stream_id=stream.stream_id
            )
        )
