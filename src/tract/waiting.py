"""Waiting that an interrupt from the keyboard cannot make endless.

`KeyboardInterrupt` is raised wherever the event loop is, in its own lines, too. Between taking a callback
and calling it, or while it notes the callbacks of a future, that callback is lost. If it would have
woken a task, the task sleeps for ever: cancelling it does nothing, as what it waits for is done, and
`asyncio.run`, which waits for every task, never returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

__all__ = ["Waiter", "from_thread", "one_of"]

T = TypeVar("T")

_await = asyncio.Future.__await__
_LOOK = 1.0  # seconds between looks whether the news of an end was lost


class Waiter(asyncio.Future[T]):
    """A future that one task awaits, and that can wake it again where its waking was lost.

    Cancelling the task does that, and settling the future once more.
    """

    __slots__ = ("_told",)

    _told: Sequence[tuple[Callable[[Any], object], Context]]
    """What was told that it is done, while that may have been in vain."""

    # `add_done_callback` must stay what it is: an interrupt within it, written in Python, would have
    # the task sleep before anybody knows what wakes it.
    def __await__(self) -> Generator[Any, None, T]:
        try:
            return (yield from _await(self))
        finally:
            self._told = ()  # the task is awake

    def settle(self, result: T | None = None, error: BaseException | None = None) -> None:
        """Set the result or the *error*; where that is done, wake the task if it still sleeps."""
        if self.done():
            self._wake_again()
            return
        self._told = [*(self._callbacks or ())]
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(result)  # type: ignore[arg-type]  # None only where T admits it

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel, or wake the task that is being cancelled and sleeps on."""
        if self.done():
            self._wake_again()
            return False
        self._told = [*(self._callbacks or ())]
        return super().cancel(msg)

    def _wake_again(self) -> None:
        loop, told = self.get_loop(), getattr(self, "_told", ())
        if not loop.is_closed():
            for wake, context in told:  # after the first time, if that is to come
                loop.call_soon(self._wake, wake, context=context)

    def _wake(self, wake: Callable[[Any], object]) -> None:
        if self._told:
            wake(self)


async def one_of(*awaited: asyncio.Future[Any]) -> None:
    """Return when one of *awaited* has ended or a second is over, for the caller to look again.

    None of them is cancelled with the caller.
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
    """Return what a thread makes of *work*; cancelling the caller leaves to it what has begun."""
    loop = asyncio.get_running_loop()
    try:
        while not work.done():
            waiter: Waiter[None] = Waiter(loop=loop)
            work.add_done_callback(partial(_tell, loop, waiter))
            timer = loop.call_later(_LOOK, waiter.settle)
            try:
                await waiter
            finally:
                timer.cancel()
    except asyncio.CancelledError:
        work.cancel()
        raise
    return work.result()


def _tell(loop: asyncio.AbstractEventLoop, waiter: Waiter[None], _: object) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(waiter.settle)
