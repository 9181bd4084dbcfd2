"""Blocking twins of handles: the same calls, for threads that have no running event loop.

A twin is made from the class of its handle, so it has every call that the class has.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from functools import wraps
from typing import Any, ClassVar, TypeVar

from tract.exceptions import StorageError, TractError
from tract.handles.abroad import home_of, is_handle, kind_of
from tract.running.crossing import driven, is_in_loop

__all__ = ["Twin", "opened", "pair", "twin"]

T = TypeVar("T")
_Function = Callable[..., Any]

_MAGIC = {"__aenter__": "__enter__", "__aexit__": "__exit__", "__anext__": "__next__"}
_twins: dict[type[Any], type[Twin]] = {}


class Twin:
    """A handle whose calls block."""

    _kind: ClassVar[Any]
    """The class of the handle."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _blocking(getattr(self._handle, name))

    def __repr__(self) -> str:
        return f"{self._handle!r}.sync"


def twin(handle: Any) -> Any:
    """Return the twin of a handle.

    Raises:
        TractError: its store has no loop of its own.
    """
    if home_of(handle) is None:
        raise TractError("Blocking calls need `TractStore.open(..., own_loop=True)`.")
    kind = kind_of(handle)
    return (_twins.get(kind) or pair(kind, type(f"Sync{kind.__name__}", (Twin,), {})))(handle)


def pair(kind: type[Any], blocking: type[Any]) -> type[Any]:
    """Make *blocking* the class of the twins of *kind*: give it the calls; return it."""
    for name, member in inspect.getmembers_static(kind):
        if isinstance(member, property) and not name.startswith("_"):
            setattr(blocking, name, property(_attribute(name), doc=member.__doc__))
        elif inspect.isfunction(member) and (name in _MAGIC or not name.startswith("_")):
            setattr(blocking, _MAGIC.get(name, name), _call(name, member))
    if hasattr(kind, "__aiter__"):
        blocking.__iter__ = _itself
    blocking._kind, _twins[kind] = kind, blocking
    return blocking


def opened(opening: Awaitable[Any]) -> Any:
    """Return the twin of what *opening* gives."""
    _check_free()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return twin(runner.run(_result_of(opening)))


async def _result_of(opening: Awaitable[T]) -> T:
    return await opening


def _attribute(name: str) -> _Function:
    return lambda self: _blocking(getattr(self._handle, name))


def _call(name: str, method: _Function) -> _Function:
    awaited = inspect.iscoroutinefunction(method)
    iterated = [
        each.name
        for each in inspect.signature(method).parameters.values()
        if str(each.annotation).startswith("AsyncIterable")
    ]

    @wraps(method)
    def call(self: Twin, *args: Any, **kwargs: Any) -> Any:
        if awaited:
            _check_free()
        given = [_awaiting(each) for each in args]
        named = {key: _awaiting(value) for key, value in kwargs.items()}
        if iterated:
            at = 0 if given else iterated[0]
            holder: Any = given or named
            holder[at] = _Iterated(holder[at])
        result = getattr(self._handle, name)(*given, **named)
        if name == "__aenter__":
            _block(result)
            return self
        return _blocking(_block(result) if awaited else result)

    call.__name__ = _MAGIC.get(name, name)
    del call.__wrapped__  # it is a coroutine function, this is none
    call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]  # as documented
    return call


def _check_free() -> None:
    """Raise a StorageError if this thread has a running event loop, which would be blocked."""
    if is_in_loop():
        raise StorageError(
            "a blocking call would block the event loop of this thread. Await the same call "
            "without `sync`, or make it on another thread, as by `asyncio.to_thread`."
        )


def _block(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a call."""
    try:
        return driven(work)
    except StopAsyncIteration:
        raise StopIteration from None


def _blocking(result: Any) -> Any:
    """Return a result with twins in place of handles."""
    if type(result) is list:
        return [_blocking(each) for each in result]
    return twin(result) if is_handle(kind_of(result)) else result


def _awaiting(argument: Any) -> Any:
    """Return an argument with a handle in place of its twin."""
    return argument._handle if isinstance(argument, Twin) else argument


def _itself(self: T) -> T:
    return self


class _Iterated(AsyncIterator[T]):
    """A caller's iterable, iterated over in the caller's thread."""

    def __init__(self, source: Iterable[T]) -> None:
        self._source = source
        self._iterator = iter(source)

    async def __anext__(self) -> T:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
