"""Threads for work that would block the event loop, and a way to recognise such work."""

from __future__ import annotations

import copy
import marshal
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel

from tract.exceptions import ContentValidationError
from tract.history.canonical import MAX_DEPTH
from tract.running.waiting import Lock, from_thread

__all__ = ["HEAVY", "Breath", "Threads", "freeze", "is_heavy"]

T = TypeVar("T")

HEAVY = 16_000
"""Characters, or nodes times `_NODE`, that take about a millisecond of work."""

_MOMENT = 0.00005  # seconds; what sleeps, another wakes up instead
_EVERY = 0.003
_OFTEN = 0.0005
_WANTED = 0.0002
"""A sleep that took longer than this found that another thread wants to run."""
_STAYS_WANTED = 16
"""Sleeps without such a finding until the breaths become seldom again."""
_NODE = 16
_SCALARS = frozenset({int, float, bool, type(None)})
_TEXTS = frozenset({str})
_FEW = 200  # nodes that are copied in less than a millisecond, however long their texts are
_AT_ONCE = 4  # more threads would only wait for the GIL


class Threads:
    """Runs functions on threads, a few at a time.

    The threads are its own. The loop's and anyio's shared ones may all be taken by callers that
    wait for us. And anyio ends its threads by a callback of the event loop: if an interrupt loses
    it, the interpreter waits for them for ever when it exits.
    """

    def __init__(self) -> None:
        self._executor = _executor()
        # Otherwise one thread could run the whole queue before another has passed on its result.
        self._lock = Lock(_AT_ONCE)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns; it runs to its end even if the caller is cancelled."""
        called = partial(copy_context().run, _called, function, *arguments)
        async with self._lock:
            return await from_thread(self._begin(called))

    async def run_if_long(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called on a thread if *size*, in bytes, is large."""
        return await self.run_if(size > HEAVY, function, *arguments)

    async def run_if(self, long: bool, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called on a thread if it takes *long*."""
        return await self.run(function, *arguments) if long else function(*arguments)

    def close(self) -> None:
        """Let the threads end once they are idle."""
        self._executor.shutdown(wait=False)

    def _begin(self, called: Callable[[], T]) -> Future[T]:
        try:
            return self._executor.submit(called)
        except BaseException:
            # An interrupt while a thread was being started: nothing would end it at exit.
            self._executor.shutdown(wait=False)
            self._executor = _executor()
            raise


def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, "tract-work")


def _called(function: Callable[..., T], *arguments: Any) -> T:
    try:
        return function(*arguments)
    except StopIteration as stopped:  # futures refuse it: the caller would wait for ever
        raise RuntimeError("a StopIteration was raised on a thread") from stopped


class Breath:
    """Lets other threads run now and then, for work that keeps the interpreter busy.

    Python makes a busy thread give way only every 5 milliseconds, and then to any other. The event
    loop would wait for that several times in each of its turns, after each of its system calls. So
    a breath is due more often while another thread is seen to make use of them.
    """

    def __init__(self) -> None:
        self._due = time.perf_counter() + _EVERY
        self._wanted = 0

    def take(self) -> None:
        """Sleep for a moment if that is due; call this on a thread, often."""
        start = time.perf_counter()
        if start <= self._due:
            return
        time.sleep(_MOMENT)
        end = time.perf_counter()
        self._wanted = _STAYS_WANTED if end - start > _WANTED else max(0, self._wanted - 1)
        self._due = end + (_OFTEN if self._wanted else _EVERY)


def is_heavy(*values: object) -> bool:
    """Return True if checking and writing *values* would block the event loop for long."""
    room = HEAVY
    for value in values:
        if value is not None:
            room = _room_after(value, room, 0)
    return room < 0


def _room_after(value: object, room: int, depth: int) -> int:
    """Return *room* minus the size of *value*; stop as soon as that is below 0."""
    kind = type(value)
    if kind in _SCALARS:  # the quick way for most values
        return room - 1
    if issubclass(kind, str):
        return room - str.__len__(value)  # type: ignore[arg-type]  # perhaps a subclass of str
    if kind is bytes:
        return room - len(value)  # type: ignore[arg-type]  # `kind` tells, not `isinstance`
    if depth > MAX_DEPTH:
        return room - 1  # deeper nesting is refused anyway
    parts = _parts(value, kind)
    room -= _NODE * len(parts) or 1
    if room >= 0 and _TEXTS.issuperset(map(type, parts)):  # quicker than the loop
        return room - sum(map(len, parts))
    for item in parts:
        if room < 0:
            break
        inner = type(item)
        if inner is str:
            room -= len(item)
        elif inner not in _SCALARS:  # scalars were subtracted with the nodes
            room = _room_after(item, room, depth + 1)
    return room


def _parts(value: Any, kind: type) -> Sequence[Any]:
    """Return the keys and items of *value*; nothing if it is unreadable, and so will be refused."""
    if kind is list or kind is tuple:
        return value  # type: ignore[no-any-return]  # `kind` tells
    if kind is dict:
        return [*value, *value.values()]
    try:
        if issubclass(kind, BaseModel):
            value = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        if issubclass(kind, (BaseModel, Mapping)):
            return [*value, *value.values()]
        if is_dataclass(kind):  # a part of a message
            return [getattr(value, each.name) for each in fields(kind)]
    except Exception:  # the caller's class may raise anything
        return ()
    if issubclass(kind, list):
        return [*list.__iter__(value)]
    return [*tuple.__iter__(value)] if issubclass(kind, tuple) else ()


def freeze(value: Any) -> Callable[[], Any]:
    """Copy *value* as fast as possible; return a function that rebuilds it on any thread.

    The caller may change the original as soon as this has returned.
    """
    if _nodes(value) <= _FEW:  # long texts or bytes, which cannot change
        return partial(_itself, _copy(value))
    try:
        return partial(marshal.loads, marshal.dumps(value))
    except ValueError:  # other types than plain dicts, lists, strings and numbers
        pass
    try:
        return partial(_unpickled, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception:  # a local class, say
        return partial(_itself, _copy(value))


def _nodes(value: Any) -> int:
    """Return how many values there are in *value*, or some number beyond `_FEW`."""
    pending: list[Any] = [value]
    count = 1
    while pending and count <= _FEW:
        taken = pending.pop()
        kind = type(taken)
        if kind in _SCALARS or issubclass(kind, (str, bytes)):
            continue
        parts = _parts(taken, kind)
        count += len(parts)
        if count <= _FEW:
            pending += parts
    return count


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
    except Exception:  # an object that cannot be copied
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
    except Exception:  # the caller's class may raise anything
        pass
    return value
