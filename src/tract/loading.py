"""Loading validators and anyio's backend on a thread, when a process opens its first store.

`import tract` skips both to stay fast. Together they take about 30 ms, which would block the event
loop if they were loaded on first use.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import anyio

from tract.models.base import build_models
from tract.running.forking import PROCESS
from tract.running.waiting import from_thread

__all__ = ["is_loaded", "load"]

_loaded = threading.Event()


def is_loaded() -> bool:
    """Return True if everything is loaded that opening a store needs."""
    return _loaded.is_set()


async def load() -> None:
    """Load what is not loaded yet; if the caller is cancelled, the thread goes on.

    It runs on its own thread: the event loop's default threads may all be taken by callers that
    wait for this, and anyio's are not loaded yet.
    """
    if is_loaded():
        return
    executor = ThreadPoolExecutor(1, "tract-load")
    try:
        await from_thread(executor.submit(_load))
    finally:
        executor.shutdown(wait=False)


def _load() -> None:
    with PROCESS.loading:  # two threads at once would only slow each other down
        if is_loaded():
            return
        anyio.run(anyio.sleep, 0)  # makes anyio load its backend
        build_models()
        _loaded.set()
