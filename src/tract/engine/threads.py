"""Threads for work that would keep the event loop, and what tells such work from the rest."""

from __future__ import annotations

import copy
import marshal
import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar, cast

import anyio
from pydantic import BaseModel

from tract.exceptions import ContentValidationError
from tract.history.canonical import MAX_DEPTH
from tract.waiting import from_thread

__all__ = ["HEAVY", "Threads", "freeze", "is_heavy"]

T = TypeVar("T")

HEAVY = 16_000
"""Characters, or nodes times `_NODE`, that are about a millisecond of work."""

_NODE = 16
_SCALARS = frozenset({int, float, bool, type(None)})
_AT_ONCE = 4  # more would only wait for the interpreter's lock


class Threads:
    """Runs functions on threads, a few at a time.

    On its own: the loop's and anyio's common ones may be used up by callers who wait for us. And
    anyio's end by a callback of the event loop: where an interrupt loses that, the interpreter waits
    for them for ever at its end.
    """

    def __init__(self) -> None:
        self._executor = _executor()
        # Else a thread could do all that is queued while another has yet to hand over what came first.
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns; cancelling the caller leaves it to itself."""
        called = partial(copy_context().run, _called, function, *arguments)
        async with self._limiter:
            return await from_thread(self._begin(called))

    async def run_if_long(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, on a thread where *size*, in bytes, makes that long work."""
        if size <= HEAVY:
            return function(*arguments)
        return await self.run(function, *arguments)

    def close(self) -> None:
        """Let the threads end when they are done."""
        self._executor.shutdown(wait=False)

    def _begin(self, called: Callable[[], T]) -> Future[T]:
        try:
            return self._executor.submit(called)
        except BaseException:
            # An interrupt while a thread was started, which nobody would end at the interpreter's end.
            self._executor.shutdown(wait=False)
            self._executor = _executor()
            raise


def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, "tract-work")


def _called(function: Callable[..., T], *arguments: Any) -> T:
    try:
        return function(*arguments)
    except StopIteration as stopped:  # which no future takes: its caller would wait for ever
        raise RuntimeError("a StopIteration was raised on a thread") from stopped


def is_heavy(*values: object) -> bool:
    """Tell whether checking and writing *values* would keep the event loop for long."""
    room = HEAVY
    for value in values:
        if value is not None:
            room = _room_after(value, room, 0)
    return room < 0


def _room_after(value: object, room: int, depth: int) -> int:
    """Return what is left of *room* after the size of *value*; below 0 as soon as it is used up."""
    kind = type(value)
    if kind in _SCALARS:  # spares them the questions below
        return room - 1
    if issubclass(kind, str):
        return room - str.__len__(value)  # type: ignore[arg-type]  # a string of some class
    if depth > MAX_DEPTH:
        return room - 1  # what is nested deeper is refused anyway
    parts = _parts(value, kind)
    room -= _NODE * len(parts) or 1
    for item in parts:
        if room < 0:
            break
        inner = type(item)
        if inner is str:
            room -= len(item)
        elif inner not in _SCALARS:  # these are paid for
            room = _room_after(item, room, depth + 1)
    return room


def _parts(value: Any, kind: type) -> Sequence[Any]:
    """Return what *value* is made of; nothing where it cannot be read, and so will be refused."""
    if kind is list or kind is tuple:
        return cast(Sequence[Any], value)
    if kind is dict:
        return [*value, *value.values()]
    try:
        if issubclass(kind, BaseModel):
            value = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        if issubclass(kind, (BaseModel, Mapping)):
            return [*value, *value.values()]
    except Exception:  # whatever a foreign class raises
        return ()
    if issubclass(kind, list):
        return [*list.__iter__(value)]
    return [*tuple.__iter__(value)] if issubclass(kind, tuple) else ()


def freeze(value: Any) -> Callable[[], Any]:
    """Take down *value* as it is now, as fast as can be; what is returned makes it anew, anywhere.

    So the caller may change the original as soon as this has returned.
    """
    try:
        return partial(marshal.loads, marshal.dumps(value))
    except ValueError:  # something else than plain dicts, lists, strings and numbers
        pass
    try:
        return partial(_unpickled, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception:  # a class of a function's own, say
        return partial(_itself, _copy(value))


def _itself(value: Any) -> Any:
    return value


def _unpickled(data: bytes) -> Any:
    try:
        return pickle.loads(data)
    except Exception as error:
        raise ContentValidationError(f"cannot be copied: {error}") from error


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever that object objects to
        return _copy_containers(value, 0)


def _copy_containers(value: Any, depth: int) -> Any:
    """Return *value* with its containers copied; anything else in it is refused later."""
    if depth > MAX_DEPTH:
        return value  # refused as well
    kind = type(value)
    try:
        if issubclass(kind, Mapping):
            return {key: _copy_containers(item, depth + 1) for key, item in value.items()}
        if issubclass(kind, (list, tuple)):
            return [_copy_containers(item, depth + 1) for item in value]
    except Exception:  # whatever a foreign class raises
        pass
    return value
