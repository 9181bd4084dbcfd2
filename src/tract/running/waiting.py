"""Waiting that a keyboard interrupt cannot make endless.

`KeyboardInterrupt` may be raised anywhere, including inside the event loop's own code. If that
happens between taking a callback and calling it, or while the loop schedules a future's callbacks,
the callback is lost. A task that it would have woken sleeps for ever: cancelling it has no effect,
because the future that it awaits is done, and `asyncio.run` waits for the task and never returns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

__all__ = ["Lock", "Waiter", "done_or_look", "from_thread", "one_of"]

T = TypeVar("T")

_await = asyncio.Future.__await__
_LOOK = 1.0  # seconds between checks for a lost wake-up


class Waiter(asyncio.Future[T]):
    """A future that one task awaits, and that can wake it again if the first wake-up was lost.

    Cancelling the task does that, and so does settling the future again.
    """

    __slots__ = ("_told",)

    _told: Sequence[tuple[Callable[[Any], object], Context]]
    """The callbacks that were scheduled when it was done, as long as they may have been lost."""

    # Do not override `add_done_callback`: an interrupt inside a Python version of it would leave
    # the task asleep before its callback is recorded.
    def __await__(self) -> Generator[Any, None, T]:
        try:
            return (yield from _await(self))
        finally:
            self._told = ()  # the task is awake

    async def done_or_look(self) -> None:
        """Wait until this is done, or for a second and settle it, so that the caller can check."""
        timer = self.get_loop().call_later(_LOOK, self.settle)
        try:
            await self
        finally:
            timer.cancel()

    def settle(self, result: T | None = None, error: BaseException | None = None) -> None:
        """Set the result or the *error*; if already done, wake the task if it still sleeps."""
        if self.done():
            self._wake_again()
            return
        self._told = [*(self._callbacks or ())]
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(result)  # type: ignore[arg-type]  # None only where T admits it

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel; if already done, wake the task that is being cancelled but still sleeps."""
        if self.done():
            self._wake_again()
            return False
        self._told = [*(self._callbacks or ())]
        return super().cancel(msg)

    def _wake_again(self) -> None:
        loop, told = self.get_loop(), getattr(self, "_told", ())
        if not loop.is_closed():
            for wake, context in told:  # after the first call, if that is still pending
                loop.call_soon(self._wake, wake, context=context)

    def _wake(self, wake: Callable[[Any], object]) -> None:
        if self._told:
            wake(self)


async def one_of(*awaited: asyncio.Future[Any]) -> None:
    """Return when one of *awaited* is done, or after a second, so that the caller can check again.

    Cancelling the caller cancels none of them.
    """
    loop = asyncio.get_running_loop()
    waiter: Waiter[None] = Waiter(loop=loop)

    def tell(_: object = None) -> None:
        waiter.settle()

    timer = loop.call_later(_LOOK, tell)
    for future in awaited:
        future.add_done_callback(tell)
    try:
        await waiter
    finally:
        timer.cancel()
        for future in awaited:
            future.remove_done_callback(tell)


async def from_thread(work: Future[T]) -> T:
    """Return the result of *work*, done on a thread; once begun, cancelling does not stop it."""
    try:
        while not work.done():
            await done_or_look(work)
    except asyncio.CancelledError:
        work.cancel()
        raise
    return work.result()


async def done_or_look(work: Future[Any]) -> None:
    """Wait until *work* of another thread is done, or for a second, so that the caller can check.

    Cancelling the caller does not cancel it.
    """
    loop = asyncio.get_running_loop()
    waiter: Waiter[None] = Waiter(loop=loop)
    work.add_done_callback(partial(_tell, loop, waiter))
    await waiter.done_or_look()


def _tell(loop: asyncio.AbstractEventLoop, waiter: Waiter[None], _: object) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(waiter.settle)


class _Place:
    """A task's place in the queue for a lock."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.waiter: Waiter[None] = Waiter(loop=task.get_loop())


class Lock:
    """A lock that up to *most* tasks hold at a time, first come, first served.

    The end of a task releases it, too: an interrupt may come between taking a lock and the block
    whose end would release it.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._holders: set[asyncio.Task[Any]] = set()
        self._queue: deque[_Place] = deque()

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._queue or not self._has_room():
            await self._wait(task)
        self._holders.add(task)

    async def __aexit__(self, *_: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._holders.discard(task)
        self._notify()

    async def _wait(self, task: asyncio.Task[Any]) -> None:
        place = _Place(task)
        self._queue.append(place)
        try:
            while self._first() is not place or not self._has_room():
                place.waiter = Waiter(loop=task.get_loop())
                await place.waiter.done_or_look()
            self._holders.add(task)
        finally:
            self._queue.remove(place)
            self._notify()

    def _first(self) -> _Place | None:
        while self._queue and self._queue[0].task.done():
            self._queue.popleft()
        return self._queue[0] if self._queue else None

    def _has_room(self) -> bool:
        if len(self._holders) >= self._most:
            self._holders = {task for task in self._holders if not task.done()}
        return len(self._holders) < self._most

    def _notify(self) -> None:
        first = self._first()
        if first is not None and self._has_room():
            first.waiter.settle()
