"""Threads for work that would keep the event loop, and what tells such work from the rest."""

from __future__ import annotations

import copy
import marshal
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel

from tract.canonical import MAX_DEPTH
from tract.exceptions import ContentValidationError

__all__ = ["HEAVY", "Threads", "freeze", "is_heavy"]

T = TypeVar("T")

HEAVY = 16_000
"""Characters, or nodes times `_NODE`, that are about a millisecond of work."""

_NODE = 16
_SCALARS = frozenset({int, float, bool, type(None)})
_AT_ONCE = 4  # more would only wait for the interpreter's lock


class Threads:
    """Runs functions on threads, a few at a time.

    With a limit of its own: anyio's common one may be used up by callers who wait for us.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_AT_ONCE)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns; cancelling the caller leaves it to itself."""
        return await to_thread.run_sync(
            function, *arguments, abandon_on_cancel=True, limiter=self._limiter
        )


def is_heavy(*values: object) -> bool:
    """Tell whether checking and writing *values* would keep the event loop for long."""
    room = HEAVY
    for value in values:
        room = _room_after(value, room, 0)
    return room < 0


def _room_after(value: object, room: int, depth: int) -> int:
    """Return what is left of *room* after the size of *value*; below 0 as soon as it is used up."""
    kind = type(value)
    if kind in _SCALARS:  # spares them the questions below
        return room - 1
    if isinstance(value, str):
        return room - len(value)
    if kind is dict:
        value = [*value, *value.values()]  # type: ignore[attr-defined, misc]  # a dict
    elif isinstance(value, BaseModel):
        fields = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        value = [*fields, *fields.values()]
    elif kind is not list and isinstance(value, Mapping):
        value = [*value, *value.values()]
    if not isinstance(value, (list, tuple)) or depth > MAX_DEPTH:
        return room - 1  # what is nested deeper is refused anyway
    room -= _NODE * len(value)
    for item in value:
        if room < 0:
            break
        if type(item) is str:  # the most of all; spares them a call
            room -= len(item)
        else:
            room = _room_after(item, room, depth + 1)
    return room


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
    if isinstance(value, Mapping):
        return {key: _copy_containers(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy_containers(item, depth + 1) for item in value]
    return value
