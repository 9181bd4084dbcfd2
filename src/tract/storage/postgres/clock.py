"""The server's time, so that machines whose clocks differ agree."""

from __future__ import annotations

import time

from tract.storage.postgres.connections.links import Raw

__all__ = ["ServerClock"]

_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_LOOK = 60.0  # seconds after which two clocks may have drifted apart


class ServerClock:
    """Tells the server's time without asking it each time: by how far this machine's is off."""

    def __init__(self) -> None:
        self._ahead = 0
        self._looked = float("-inf")

    def __call__(self) -> int:
        """Return the server's time, in microseconds since 1970-01-01 UTC."""
        return time.monotonic_ns() // 1000 + self._ahead

    @property
    def is_due(self) -> bool:
        """Whether the server should be asked again."""
        return time.monotonic() - self._looked > _LOOK

    async def set(self, raw: Raw) -> None:
        """Ask the server; the answer is taken as that of the middle of the trip."""
        before = time.monotonic_ns() // 1000
        theirs = await raw.fetchval(_NOW)
        after = time.monotonic_ns() // 1000
        self._ahead = theirs - (before + after) // 2
        self._looked = time.monotonic()
