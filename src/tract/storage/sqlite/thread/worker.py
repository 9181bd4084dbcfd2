"""One connection and the thread that owns it: the only way to the database.

aiosqlite runs every call on a thread of its own, and each trip there costs more than the SQL of a
commit. So a whole transaction is sent as one function. aiosqlite has no public call for that. This
file is the one place that uses its queue (as SQLAlchemy's dialect does), which is why
pyproject.toml bounds its version.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Self, TypeVar

import aiosqlite

from tract.exceptions import StorageError
from tract.running.forking import PROCESS, keep_for_ever
from tract.running.waiting import Waiter, from_thread
from tract.storage.sqlite.errors import explained

__all__ = ["OwnConnection", "Worker"]

T = TypeVar("T")


class OwnConnection(aiosqlite.Connection):
    """A connection that is closed even if connecting was cancelled.

    A cancelled `connect` would leave it open: https://github.com/omnilib/aiosqlite/issues/389
    A forked child leaves it to the parent.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(self._make, iter_chunk_size=64)
        self._connect_it = connect
        self._made: list[sqlite3.Connection] = []
        self._forks = PROCESS.forks
        self._lock = PROCESS.new_lock()
        self._closed: Future[None] = Future()
        self._closed.set_running_or_notify_cancel()  # no caller's cancellation reaches it
        self._thread.daemon = True  # a forgotten store must not keep the interpreter alive
        self.before_closing: Callable[[], bool] = bool
        """Called on the connection's thread before closing; return True to never close it."""

    async def close(self) -> None:
        """Close the connection after the trips already sent; a second call waits for that too."""
        if self._thread.is_alive():
            if not self._closed.done():
                self.stop()
            await from_thread(self._closed)

    def stop(self) -> asyncio.Future[Any] | None:
        """Close the connection after the trips already sent, and end its thread."""
        self._running = False
        self._connection = None  # else aiosqlite would close it, but it may have to stay open
        self._tx.put_nowait((None, self.close_made))
        # On that thread it finds no event loop to notify, which may be closed by then.
        self._tx.put_nowait((None, super().stop))
        return None

    def close_made(self) -> None:
        """Close the connection, if one was made; call this on its thread."""
        try:
            self._close_all()
        except BaseException as error:
            if not self._closed.done():
                self._closed.set_exception(error)
        else:
            if not self._closed.done():
                self._closed.set_result(None)

    def _close_all(self) -> None:
        with self._lock:
            while self._made:
                made = self._made.pop()
                if self.before_closing():
                    keep_for_ever(made)
                else:
                    made.close()
                PROCESS.closed(made)

    async def _connect(self) -> Self:
        made: Future[sqlite3.Connection] = Future()
        try:
            self._tx.put_nowait((None, partial(_run_into, made, self._make)))
            self._connection = await from_thread(made)
        except BaseException:
            self.stop()
            raise
        return self

    def _make(self) -> sqlite3.Connection:
        with self._lock:
            made = self._connect_it()
            PROCESS.opened(made)
        self._made.append(made)
        return made

    def __del__(self) -> None:
        if self._forks == PROCESS.forks:
            super().__del__()  # type: ignore[no-untyped-call]  # aiosqlite's own


def _run_into(outcome: Future[T], function: Callable[[], T]) -> None:
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        outcome.set_result(function())
    except BaseException as error:
        outcome.set_exception(error)


class Worker:
    """Runs functions on a connection's thread, in the order in which they were sent."""

    def __init__(
        self, connection: aiosqlite.Connection, path: str, *, borrowed: bool = False
    ) -> None:
        self._connection = connection
        self._borrowed = borrowed
        self.path = path
        self._loop = asyncio.get_running_loop()
        self.lock: threading.RLock = PROCESS.new_lock()
        """Held while a function runs, so that a fork can wait for it."""
        self.trips: int = 0
        """Functions sent so far."""
        self.waiting: int = 0
        """Functions sent that have not come back."""
        self._callers: set[Waiter[Any]] = set()
        self._landed: deque[tuple[Callable[[Any, Any], None], Any, BaseException | None]] = deque()

    @property
    def is_gone(self) -> bool:
        """Whether the connection was closed, so that nothing can be sent."""
        return self._connection._connection is None or not self._connection._running

    @property
    def is_at_work(self) -> bool:
        """Whether it may still be working on what was sent before its connection was closed.

        Nothing more can be sent then that would report when it is done.
        """
        return self.is_gone and self.waiting > 0 and self._connection._thread.is_alive()

    def _closed_by_its_owner(self) -> StorageError:
        return StorageError(
            "the engine's connection was closed while the store used it. Close the store and open "
            "it again; dispose of an engine after closing its stores.",
            self.path,
        )

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of *function*; errors of SQLite are raised as ours.

        Cancelling the caller does not stop a function that has been sent.
        """
        future: Waiter[T] = Waiter(loop=self._loop)
        try:
            self._callers.add(future)
            self.send(function, future.settle)
            return await future
        finally:
            self._callers.discard(future)

    def send(
        self,
        function: Callable[[sqlite3.Connection], T],
        deliver: Callable[[T | None, BaseException | None], None],
    ) -> None:
        """Run *function* on the thread, then *deliver* its result or error on the event loop.

        *deliver* is called again if a KeyboardInterrupt cut it short.
        """
        connection = self._connection._connection
        if connection is None or not self._connection._running:
            self.waiting += 1
            self._landed.append((deliver, None, self._closed_by_its_owner()))
            self._loop.call_soon(self.collect)
            return
        trip = _Trip(self, connection, function, deliver)
        self._connection._tx.put_nowait((None, trip))
        self.trips += 1
        self.waiting += 1

    def deliver(
        self, result: Any, error: BaseException | None, deliver: Callable[[Any, Any], None]
    ) -> None:
        """Hand the outcome of a trip to the event loop; called on the thread."""
        self._landed.append((deliver, result, error))
        self._loop.call_soon_threadsafe(self.collect)

    @property
    def is_quiet(self) -> bool:
        """Whether no caller waits for anything here."""
        return not self.waiting and not self._callers

    def recover(self) -> None:
        """Deliver what has come back, and notify again callers that missed it."""
        self.collect()
        for caller in [*self._callers]:
            if caller.done():
                caller.settle()

    def collect(self) -> None:
        """Deliver what has come back; a delivery that an interrupt cut short is repeated."""
        while self._landed:
            deliver, result, error = self._landed[0]
            try:
                deliver(result, error)
            except Exception:
                self._landed.popleft()
                self.waiting = max(0, self.waiting - 1)
                raise
            except BaseException:
                self._loop.call_soon(self.collect)
                raise
            self._landed.popleft()
            self.waiting = max(0, self.waiting - 1)

    def abandon(self, closed: Callable[[], None]) -> None:
        """Close the connection after what was sent, without waiting for that.

        *closed* is called then, on the thread. A borrowed connection is left to its owner at once.
        """
        if self._borrowed:
            closed()
            return
        connection = self._connection
        assert isinstance(connection, OwnConnection)
        connection._connection = None  # it has nothing left to warn about
        connection._tx.put_nowait((None, connection.close_made))
        connection._tx.put_nowait((None, closed))
        connection.stop()


class _Trip:
    """A function on its way; it drops all references once it is done.

    aiosqlite's thread keeps the last function that it ran until it gets another.
    """

    def __init__(
        self,
        worker: Worker,
        connection: sqlite3.Connection,
        function: Callable[[sqlite3.Connection], Any],
        deliver: Callable[[Any, Any], None],
    ) -> None:
        self._load = (worker, connection, function, deliver)

    def __call__(self) -> None:
        worker, connection, function, deliver = self._load
        del self._load
        try:
            with worker.lock:
                outcome: tuple[Any, BaseException | None] = (function(connection), None)
        except BaseException as error:
            outcome = (None, explained(error, worker.path))
        worker.deliver(*outcome, deliver)
