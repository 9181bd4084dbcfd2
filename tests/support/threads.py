"""The threads of open connections."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable

__all__ = ["connection_threads", "ended", "left_of"]

_PATIENCE = 20.0  # seconds


def connection_threads() -> frozenset[threading.Thread]:
    """Return the threads of all connections that are open in this process."""
    return frozenset(
        thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name
    )


def left_of(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Return those of *threads* that are still alive after they have had time to end."""
    deadline = time.monotonic() + _PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in threads if thread.is_alive()]


async def ended(threads: Iterable[threading.Thread]) -> bool:
    """Return True once *threads* have ended, False if they do not."""
    deadline = time.monotonic() + _PATIENCE
    while any(thread.is_alive() for thread in threads):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
