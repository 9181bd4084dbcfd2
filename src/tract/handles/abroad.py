"""The forms of handles whose store has a loop of its own: every call on them is a trip there.

A handle gets its form from `abroad`, and so does each handle that its calls return. The form is a
subclass made from the class itself, so it has every call that the class has.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from functools import cache, partial, wraps
from typing import Any, ParamSpec, TypeVar, cast

from pydantic import BaseModel

from tract.engine.threads import freeze
from tract.running.crossing import Home

__all__ = ["abroad", "at_home", "home_of", "is_handle", "kind_of", "with_caller"]

P = ParamSpec("P")
T = TypeVar("T")
_Function = Callable[..., Any]
_Frozen = Callable[[], Any]

_MAGIC = frozenset({"__aenter__", "__aexit__", "__anext__"})
_CONTAINERS = (dict, list, tuple, Mapping, BaseModel)


def at_home(method: Callable[P, T]) -> Callable[P, T]:
    """Have a private *method* cross to the loop of the store, as public ones do anyway."""
    method._side = "home"  # type: ignore[attr-defined]  # read by `_form`
    return method


def with_caller(method: Callable[P, T]) -> Callable[P, T]:
    """Have a public *method* run in the caller's task; only what it calls may cross."""
    method._side = "caller"  # type: ignore[attr-defined]  # read by `_form`
    return method


def abroad(handle: T, home: Home) -> T:
    """Let a handle be used from any loop; return it."""
    kind: Any = type(handle)
    if not hasattr(kind, "_is_abroad"):
        handle.__class__ = _form(kind)
    handle._home = home  # type: ignore[attr-defined]  # forms have it
    return handle


def home_of(handle: object) -> Home | None:
    """Return where the calls of a handle go; None if they stay on the caller's loop."""
    return getattr(handle, "_home", None)


def kind_of(handle: object) -> Any:
    """Return the class of a handle, not its form."""
    kind: Any = type(handle)
    return cast(Any, kind.__base__ if hasattr(kind, "_is_abroad") else kind)


@cache
def is_handle(kind: type[Any]) -> bool:
    """Return True if *kind* is a class of ours whose instances have calls to be awaited."""
    return kind.__module__.startswith("tract.") and any(
        inspect.iscoroutinefunction(member) for _, member in _members(kind)
    )


@cache
def _form(kind: type[Any]) -> type[Any]:
    made: dict[str, Any] = {"_is_abroad": True, "__module__": kind.__module__}
    made["__qualname__"], made["__doc__"] = kind.__qualname__, kind.__doc__
    for name, member in _members(kind):
        if isinstance(member, property):
            assert member.fget is not None
            made[name] = property(_at_once(member.fget), doc=member.__doc__)
        else:
            crossed = inspect.iscoroutinefunction(member)
            made[name] = (_crossing if crossed else _at_once)(member)
    return type(kind.__name__, (kind,), made)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the methods and properties that cross."""
    for name, member in inspect.getmembers_static(kind):
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and function.__module__.startswith("tract."):
            side = getattr(function, "_side", None)
            if side != "caller" and (side or name in _MAGIC or not name.startswith("_")):
                yield name, member


def _crossing(method: Callable[..., Awaitable[Any]]) -> _Function:
    @wraps(method)
    async def crossing(self: Any, *args: Any, **kwargs: Any) -> Any:
        home: Home = self._home
        if home.is_here:
            return await method(self, *args, **kwargs)
        work = partial(_resumed, method, self, *_frozen(args, kwargs))
        return _found(await home.call(work), home)

    return crossing


def _at_once(method: _Function) -> _Function:
    @wraps(method)
    def at_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        home: Home = self._home
        if home.is_here:
            result = method(self, *args, **kwargs)
            # The twin of a closed store's handle has to say so.
            return _found(result, home) if home.ended else result
        return _found(home.at_once(partial(method, self, *args, **kwargs)), home)

    return at_once


def _frozen(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[_Frozen], dict[str, _Frozen]]:
    """Copy what the caller may change while the call is under way, and use up its iterators."""
    return [_kept(each) for each in args], {name: _kept(each) for name, each in kwargs.items()}


def _kept(value: Any) -> _Frozen:
    kind = type(value)
    if issubclass(kind, _CONTAINERS):
        return freeze(value)
    if issubclass(kind, Iterator) and not issubclass(kind, AsyncIterable):
        return freeze([*value])
    return partial(_itself, value)


def _itself(value: Any) -> Any:
    return value


async def _resumed(
    method: Callable[..., Awaitable[Any]],
    handle: object,
    args: list[_Frozen],
    kwargs: dict[str, _Frozen],
) -> Any:
    given = {name: value() for name, value in kwargs.items()}
    return await method(handle, *(value() for value in args), **given)


def _found(result: Any, home: Home) -> Any:
    """Return a result; handles in it may be used from any loop, too."""
    if type(result) is list:
        for each in result:
            _found(each, home)
    elif is_handle(cast(Any, type(result))):
        abroad(result, home)
    return result
