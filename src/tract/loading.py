"""What the first store of a process loads, on a thread: validators, and the parts of anyio.

Importing `tract` leaves both out, so that it stays quick. Together they take some 30 ms, for which
the event loop would stand still if they were loaded at their first use.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio

from tract.forking import PROCESS
from tract.models.building import build_models

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
        await asyncio.get_running_loop().run_in_executor(executor, _load)
    finally:
        executor.shutdown(wait=False)


class _Turn:
    """What those take who load; a fork waits for whoever has it."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Be usable in a process that was forked while a thread was loading all the same."""
        self.lock = PROCESS.new_lock()


_turn = _Turn()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turn.renew)


def _load() -> None:
    with _turn.lock:  # two who open at once would only hinder each other
        if is_loaded():
            return
        anyio.run(anyio.sleep, 0)  # has it load what it does everything with
        build_models()
        _loaded.set()
