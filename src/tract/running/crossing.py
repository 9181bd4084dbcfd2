"""Calls that cross from one event loop to another: to a store's own loop, and back to its callers.

A store that was opened with `own_loop=True` has a `Home`: a thread with an event loop in which
everything of it happens. A call is a trip there, and a callback is a trip back to the loop or
thread that called. Whoever sent a trip waits until it has ended, even if cancelled: the
cancellation goes along, so that a call has done all of its work or none when its caller goes on.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

import anyio

from tract.exceptions import StorageError, StoreClosedError
from tract.running.callers import Line, calling_line, noted
from tract.running.forking import PROCESS
from tract.running.lifecycle import running_loop
from tract.running.waiting import done_or_look

__all__ = ["Caller", "Home", "called_back", "caller", "driven", "is_in_loop", "serving"]

T = TypeVar("T")
_Job = Callable[[], object]
_LOOK = 1.0  # seconds between checks of what a thread waits for


class _Trip(Generic[T]):
    """Work on its way to another loop or thread."""

    def __init__(self, work: Callable[[], Awaitable[T]], returns_to: Caller | None) -> None:
        self.outcome: Future[T] = Future()
        self._work = work
        self._returns_to = returns_to
        self._line: Line | None = calling_line()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None] | None:
        """Start the work, unless it was cancelled; called on the event loop that does it."""
        if not self.outcome.done():
            self._task = asyncio.get_running_loop().create_task(self.run())
            self._task.add_done_callback(self._never_began)
        return self._task

    def cancel(self) -> None:
        """Cancel the work; called where `begin` is, after it or in its place."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._never_began()

    def _never_began(self, _: object = None) -> None:
        """Note so: a task that is cancelled before its first step does nothing at all."""
        if not self.outcome.done():
            self.outcome.set_exception(asyncio.CancelledError())

    async def run(self) -> None:
        """Do the work."""
        _caller.set(self._returns_to)
        try:
            with noted(self._line):
                result = await self._work()
        except BaseException as error:
            is_exit = isinstance(error, (KeyboardInterrupt, SystemExit))
            if is_exit and self._returns_to is None:  # let it end the program of the caller
                self.outcome.set_exception(asyncio.CancelledError())
                raise
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(result)


class Caller(ABC):
    """Where a call came from, and where its callbacks run."""

    async def call(self, function: Callable[..., object], *arguments: Any) -> Any:
        """Return what the caller's *function* returns there, awaited if it is awaitable.

        Raises:
            StorageError: the caller's event loop has ended.
        """
        trip: _Trip[Any] = _Trip(partial(self._answer, function, *arguments), None)
        context = copy_context()
        self._send(partial(self._begin, trip), context)
        return await _ended(trip, partial(self._send, trip.cancel, context), self._check)

    @abstractmethod
    def _send(self, job: _Job, context: Context) -> None: ...

    @abstractmethod
    def _begin(self, trip: _Trip[Any]) -> None: ...

    @abstractmethod
    async def _answer(self, function: Callable[..., object], *arguments: Any) -> Any: ...

    @abstractmethod
    def _check(self) -> None: ...


class _LoopCaller(Caller):
    """An event loop; a callback is a task of it, in the context of the call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def _send(self, job: _Job, context: Context) -> None:
        with suppress(RuntimeError):  # the loop is closed, as `_check` reports
            self._loop.call_soon_threadsafe(job, context=context)

    def _begin(self, trip: _Trip[Any]) -> None:
        trip.begin()

    async def _answer(self, function: Callable[..., object], *arguments: Any) -> Any:
        return await _answer(function, *arguments)

    def _check(self) -> None:
        if not self._loop.is_running():
            raise StorageError("the event loop of the call ended before its callback had run.")


class _ThreadCaller(Caller):
    """A thread without an event loop, which runs callbacks while it waits for its call."""

    def __init__(self, check: _Job) -> None:
        self._check_home = check
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._gone = False

    def wait_for(self, trip: _Trip[T], begin: _Job, cancel: _Job) -> T:
        """Return the outcome of a trip; an interrupt cancels it, waits for it, and is raised."""
        trip.outcome.add_done_callback(lambda _: self._jobs.put(_nothing))
        try:
            begin()
            self._serve(trip.outcome)
        except (KeyboardInterrupt, SystemExit):
            cancel()
            self._serve(trip.outcome)
            raise
        finally:
            with self._lock:
                self._gone = True
            while not self._jobs.empty():
                self._jobs.get()()
        return trip.outcome.result()

    def _serve(self, outcome: Future[Any]) -> None:
        while not outcome.done():
            try:
                job = self._jobs.get(timeout=_LOOK)
            except Empty:
                self._check_home()
            else:
                job()

    def _send(self, job: _Job, context: Context) -> None:
        with self._lock:
            if not self._gone:
                self._jobs.put(partial(context.run, job))
                return
        # Something that was left in the background: no thread waits for it.
        asyncio.get_running_loop().run_in_executor(None, context.run, job)

    def _begin(self, trip: _Trip[Any]) -> None:
        driven(trip.run())

    async def _answer(self, function: Callable[..., object], *arguments: Any) -> Any:
        answer = function(*arguments)
        if not inspect.isawaitable(answer):
            return answer
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(_result_of(answer))

    def _check(self) -> None:
        pass


_caller: ContextVar[Caller | None] = ContextVar("tract_caller", default=None)
_is_driven: ContextVar[bool] = ContextVar("tract_is_driven", default=False)


async def called_back(function: Callable[..., object], *arguments: Any) -> Any:
    """Return what a caller's *function* returns, awaited if it is awaitable.

    It runs where its caller is. Everything that callers pass to be called later goes through here.
    """
    found = _caller.get()
    if found is None:
        return await _answer(function, *arguments)
    return await found.call(function, *arguments)


def caller() -> Caller | None:
    """Return where callbacks run; None for right here."""
    return _caller.get()


@contextmanager
def serving(found: Caller | None) -> Iterator[None]:
    """Let tasks that are started inside run callbacks with *found*."""
    token = _caller.set(found)
    try:
        yield
    finally:
        _caller.reset(token)


def driven(work: Coroutine[Any, Any, T]) -> T:
    """Run *work*, which awaits nothing but trips, on this thread, which has no event loop."""
    token = _is_driven.set(True)
    try:
        work.send(None)
    except StopIteration as ended:
        return cast(T, ended.value)
    finally:
        _is_driven.reset(token)
        work.close()
    raise RuntimeError(f"{work!r} awaited something that needs an event loop")


def is_in_loop() -> bool:
    """Return True if this thread has a running event loop."""
    return _running() is not None


class Home:
    """A thread with the event loop of one store.

    It is a daemon, so a program that ends without closing its store does not wait for it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._trips: set[asyncio.Task[None]] = set()
        self._forks = PROCESS.forks
        self.path: str = ""
        """The store, for errors to name."""
        self.ended: bool = False
        """Whether the store was closed. What is left to do then needs no loop of its own."""
        threading.Thread(target=self._run, name="tract-loop", daemon=True).start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_over())

    async def _until_over(self) -> None:
        await self._over.wait()
        while self._trips:
            await asyncio.wait(self._trips)

    def end(self) -> None:
        """Let the thread end once the trips under way have."""
        self.ended = True
        if self._forks == PROCESS.forks:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._over.set)

    @property
    def is_here(self) -> bool:
        """Whether the caller needs no trip: it runs on this loop, or the store was closed.

        Raises:
            ForkedProcessError: this is a forked child of the process that opened the store.
        """
        PROCESS.check(self._forks, self.path)
        return self.ended or _running() is self._loop

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of *work*, done on this loop, whichever loop or thread calls.

        If the caller is cancelled, so is *work*, and the cancellation is raised once it has ended.
        """
        if _is_driven.get() and _running() is None:
            return self._blocking(work)
        trip = _Trip(work, _LoopCaller(running_loop(self.path)))
        self._send(partial(self._begin, trip))
        return await _ended(trip, partial(self._send, trip.cancel), self._check)

    def at_once(self, function: Callable[[], T]) -> T:
        """Return the result of *function*, called on this loop; the calling thread is blocked."""

        async def work() -> T:
            return function()

        return self._blocking(work)

    def _blocking(self, work: Callable[[], Awaitable[T]]) -> T:
        waiting, loop = _ThreadCaller(self._check), _running()
        trip = _Trip(work, waiting if loop is None else _LoopCaller(loop))
        cancel = partial(self._send, trip.cancel)
        return waiting.wait_for(trip, partial(self._send, partial(self._begin, trip)), cancel)

    def _begin(self, trip: _Trip[Any]) -> None:
        task = trip.begin()
        if task is not None:
            self._trips.add(task)
            task.add_done_callback(self._trips.discard)

    def _send(self, job: _Job) -> None:
        try:
            self._loop.call_soon_threadsafe(job)
        except RuntimeError:
            raise StoreClosedError(self.path) from None

    def _check(self) -> None:
        if self.ended:
            raise StoreClosedError(self.path)


async def _ended(trip: _Trip[T], cancel: _Job, check: _Job) -> T:
    """Wait until a trip has ended, even if cancelled; *check* raises if it can no longer end."""
    try:
        await _done(trip.outcome, check)
    except asyncio.CancelledError:
        cancel()
        with anyio.CancelScope(shield=True):  # else anyio would cancel again at every step
            while not trip.outcome.done():
                with suppress(asyncio.CancelledError):
                    await _done(trip.outcome, check)
        raise
    return trip.outcome.result()


async def _done(work: Future[Any], check: _Job) -> None:
    while not work.done():
        await done_or_look(work)
        if not work.done():
            check()


async def _result_of(answer: Awaitable[T]) -> T:
    return await answer


async def _answer(function: Callable[..., object], *arguments: Any) -> Any:
    answer = function(*arguments)
    return await answer if inspect.isawaitable(answer) else answer


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _nothing() -> None:
    pass
