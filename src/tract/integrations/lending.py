"""`LentStore`: the store that an adapter uses, the caller's own or one that it opens itself."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from tract.exceptions import StorageError, StoreClosedError
from tract.handles.abroad import home_of
from tract.running.crossing import driven, is_in_loop
from tract.store import TractStore

__all__ = ["LentStore"]

T = TypeVar("T")


class LentStore:
    """A store that the caller opened, or a path or URL that is opened when it is first used.

    What is opened here has a loop of its own, because frameworks call from any loop, and from
    several in turn.
    """

    def __init__(self, given: TractStore | str | os.PathLike[str]) -> None:
        self._owned = not isinstance(given, TractStore)
        self._store: TractStore | None = given if isinstance(given, TractStore) else None
        self._target: str = "" if isinstance(given, TractStore) else os.fspath(given)
        self._name = "the store of an adapter"  # a URL may have a password
        self._opening: Future[None] | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def now(self) -> TractStore | None:
        """The store, if it is open."""
        return None if self._closed else self._store

    async def get(self) -> TractStore:
        """Return the store, opened once however many ask at a time.

        Raises:
            StoreClosedError: it was closed.
            and what `TractStore.open` raises.
        """
        while True:
            with self._lock:
                if self._closed:
                    raise StoreClosedError(self._name)
                if self._store is not None:
                    return self._store
                opening, mine = self._opening, self._opening is None
                if opening is None:
                    opening = self._opening = Future()
                    opening.set_running_or_notify_cancel()  # no caller's cancellation reaches it
            if mine:
                await self._open(opening)
            else:
                await asyncio.wrap_future(opening)

    async def run(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Return what *work* does with the store, in one trip to its loop, however many calls it makes.

        *work* gets the store and *args*, which its caller must not change meanwhile.
        """
        store = await self.get()
        home = home_of(store)
        if home is None or home.is_here:
            return await work(store, *args)
        return await home.call(partial(work, store, *args))

    def block(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of *work*, which awaits nothing but `run`, on a thread without a loop.

        Raises:
            StorageError: this thread has a running loop, or the store's is not running.
            and what *work* and `get` raise.
        """
        handed: Future[T] | None = None
        try:
            if is_in_loop():
                raise StorageError(
                    "a blocking call would block the event loop of this thread. Await the call of "
                    "the same name with an `a` before it, or make this one on another thread."
                )
            if self._store is None and not self._closed:
                with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                    runner.run(self.get())
            if self._store is None or home_of(self._store) is not None:
                return driven(work)
            loop = self._store._runtime.gate.loop
            if not loop.is_running():
                raise StorageError("the event loop that opened the store is not running.")
            handed = asyncio.run_coroutine_threadsafe(work, loop)
            return handed.result()
        finally:
            if handed is None:
                work.close()
            else:  # it is that loop's, and still under way if this thread was interrupted
                handed.cancel()

    async def _open(self, opening: Future[None]) -> None:
        try:
            opened = await TractStore.open(self._target, own_loop=True)
            with self._lock:
                self._store, self._name = opened, opened._runtime.database.path
        finally:  # if it failed or was cancelled, the next caller tries
            with self._lock:
                self._opening = None
            opening.set_result(None)

    async def aclose(self) -> None:
        """Close the store if it was opened here. If that was cancelled, calling it again goes on."""
        if not self._owned:
            return
        with self._lock:
            self._closed = True
            opening = self._opening
        if opening is not None:
            await asyncio.wrap_future(opening)
        store = self._store
        if store is not None:
            await store.aclose()
            self._store = None
