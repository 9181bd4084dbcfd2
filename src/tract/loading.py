"""What the first store of a process loads, on a thread: validators, and the parts of anyio.

Importing `tract` leaves both out, so that it stays quick. Together they take some 30 ms, for which
the event loop would stand still if they were loaded at their first use.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import anyio

from tract.forking import PROCESS
from tract.models.building import build_models
from tract.waiting import from_thread

__all__ = ["is_loaded", "load"]

_loaded = threading.Event()


def is_loaded() -> bool:
    """Tell whether opening a store has nothing more to load."""
    return _loaded.is_set()


async def load() -> None:
    """Load what is not loaded yet; cancelling the caller leaves it to the thread.

    On a thread of its own: the loop's common ones may all be taken by callers who wait for us, and
    anyio's are among what is loaded.
    """
    if is_loaded():
        return
    executor = ThreadPoolExecutor(1, "tract-load")
    try:
        await from_thread(executor.submit(_load))
    finally:
        executor.shutdown(wait=False)


def _load() -> None:
    with PROCESS.loading:  # two who open at once would only hinder each other
        if is_loaded():
            return
        anyio.run(anyio.sleep, 0)  # has it load what it does everything with
        build_models()
        _loaded.set()
