"""The life of an open store: opening, calls under way, closing, and cancellation of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

import anyio

from tract.exceptions import StorageError, StoreClosedError, TractError
from tract.running.callers import calling_line, noted
from tract.running.forking import PROCESS
from tract.running.waiting import one_of

__all__ = ["CallGate", "Opening", "despite_cancellation", "ended", "running_loop", "to_the_end"]

T = TypeVar("T")


class _Closable(Protocol):
    async def aclose(self) -> None: ...


C = TypeVar("C", bound=_Closable)


def running_loop(path: str = "") -> asyncio.AbstractEventLoop:
    """Return the running event loop; *path* names the store in the error.

    Raises:
        StorageError: no event loop is running, or it is not asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise StorageError(
            "AsyncTract runs on asyncio, and no asyncio event loop is running. Under anyio choose "
            "the asyncio backend, `anyio.run(main, backend='asyncio')`; elsewhere use "
            "`asyncio.run(main())`.",
            path,
        ) from None


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await *work* even if the caller is cancelled; raise the cancellation once it is done.

    Neither an anyio scope nor `task.cancel()` stops *work*: it runs in a task of its own. If the
    caller was cancelled, the result or error of *work* is dropped. A shutdown that cancels every
    task of the loop does reach *work*, but not before it has begun.
    """
    begun = False

    async def begin() -> T:
        nonlocal begun
        begun = True
        return await work

    cancelled: asyncio.CancelledError | None = None
    while not begun:  # a task that is cancelled before its first step does nothing at all
        with noted(calling_line()):
            task = asyncio.create_task(begin())
        cancelled = await ended(task) or cancelled
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report it
        raise cancelled
    return task.result()


async def despite_cancellation(attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what *attempt* gives, attempting again each time that the task is cancelled.

    For the last steps of work that runs `to_the_end`, because a shutdown that cancels every task
    reaches them. An attempt must do no harm if an earlier one was cancelled too late.
    """
    task = asyncio.current_task()
    assert task is not None
    while True:
        requests = task.cancelling()
        try:
            return await attempt()
        except asyncio.CancelledError:
            if task.cancelling() == requests:
                raise  # nobody cancelled the task


async def ended(task: asyncio.Task[Any]) -> asyncio.CancelledError | None:
    """Wait until *task* has ended; return the caller's cancellation, if any, for it to raise."""
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):  # else anyio would cancel again at every step
        while not task.done():
            try:
                await one_of(task)
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


class Opening(Generic[C]):
    """A store or handle to be opened: `await` it, or use it in `async with`, which closes it.

    *prepare* is awaited first and may be cancelled; the opening itself always runs to its end.
    Without a running asyncio event loop, both raise a `StorageError`.
    """

    def __init__(
        self, open_it: Callable[[], Coroutine[Any, Any, C]], prepare: Callable[[], Awaitable[None]]
    ) -> None:
        self._open_it = open_it
        self._prepare = prepare
        self._entered = False
        self._opened: C | None = None

    def __await__(self) -> Generator[Any, Any, C]:
        return self._open().__await__()

    if not TYPE_CHECKING:  # type checkers report a forgotten `await` themselves

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"{name!r} is not available before opening: `await` what `open()` returned, or "
                "enter it with `async with`"
            )

    async def _open(self) -> C:
        running_loop()
        await self._prepare()
        opened: list[C] = []

        async def opening() -> None:
            opened.append(await self._open_it())

        try:
            await to_the_end(opening())
        except asyncio.CancelledError:
            for item in opened:
                await to_the_end(item.aclose())
            raise
        return opened[0]

    async def __aenter__(self) -> C:
        if self._entered:
            raise TractError("This opening was entered before; call `open()` for another.")
        self._entered = True
        self._opened = await self._open()
        return self._opened

    async def __aexit__(self, *_: object) -> None:
        if self._opened is not None:
            await self._opened.aclose()


class _Call:
    """A call under way."""

    __slots__ = ("_gate", "_token", "active")

    def __init__(self, gate: CallGate) -> None:
        self._gate = gate
        self._token: Token[_Call | None] | None = None
        self.active: bool = False

    def __enter__(self) -> None:
        gate = self._gate
        if gate.closed:
            gate.check_open()
        gate.check_loop()
        gate._calls[self] = asyncio.current_task()
        self.active = True
        self._token = _under_way.set(self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.active = False
        self._gate._leave(self)
        if isinstance(exc, StorageError):
            exc.locate(self._gate.path)
        if (
            self._token is not None and _under_way.get() is self
        ):  # else closed from outside its task
            _under_way.reset(self._token)

    def is_of(self, gate: CallGate) -> bool:
        """Return True if this call is under way on *gate*."""
        return self.active and self._gate is gate


_under_way: ContextVar[_Call | None] = ContextVar("tract_call_under_way", default=None)


class CallGate:
    """Admits calls while the store is open, and lets closing wait for the last of them.

    Used as `with gate.call():` around every call. Nested calls, such as those of a budget's
    callback, are admitted until the outer call ends, even if closing has begun.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        """Where the store is used."""
        self._forks = PROCESS.forks
        self._calls: dict[_Call, asyncio.Task[Any] | None] = {}
        self._empty: asyncio.Future[None] | None = None
        self.closed: bool = False

    def call(self) -> _Call:
        """Return a context manager that admits one call.

        Raises, on entering:
            StoreClosedError: closing has begun.
            ForkedProcessError: this is a forked child of the process that opened the store.
            StorageError: the running event loop is another one, or not asyncio's.
        """
        return _Call(self)

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked since the store was opened, and only inherited it."""
        return self._forks != PROCESS.forks

    def check_open(self) -> None:
        """Raise a StoreClosedError once closing has begun, a ForkedProcessError in a child."""
        PROCESS.check(self._forks, self.path)
        if self.closed and not self._is_inside():
            raise StoreClosedError(self.path)

    def check_loop(self) -> None:
        """Raise a StorageError unless called on the event loop that opened the store."""
        if self._forks != PROCESS.forks:  # first: a forked child may have no loop at all
            PROCESS.check(self._forks, self.path)
        try:
            found = asyncio.get_running_loop()
        except RuntimeError:
            found = running_loop(self.path)  # raises the error that says so
        if found is not self.loop:
            raise StorageError(
                "the store belongs to another event loop. Open one in each loop, which may share "
                "the file, or open it with `TractStore.open(..., own_loop=True)`.",
                self.path,
            )

    def check_outside(self) -> None:
        """Raise a StorageError if called from within a call, which closing would wait for."""
        if self._is_inside():
            raise StorageError(
                "a call under way cannot close the store. Close it after the call.",
                self.path,
            )

    def _is_inside(self) -> bool:
        call = _under_way.get()
        return call is not None and call.is_of(self)

    def _leave(self, call: _Call) -> None:
        self._calls.pop(call, None)
        if not self._calls and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def close(self) -> None:
        """Refuse new calls, and wait for those under way or for the end of their tasks.

        A keyboard interrupt may end a task just before its call is marked as finished.
        """
        self.closed = True
        while calls := [t for t in self._calls.values() if t is None or not t.done()]:
            self._empty = self.loop.create_future()
            tasks = [task for task in calls if task is not None]
            await one_of(self._empty, *tasks)
