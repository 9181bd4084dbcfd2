"""The caller's line, for warnings to name.

While a coroutine runs, the coroutines that await it are on the stack below it. So the first frame
outside the package, and outside `contextlib`, is the caller's. A task of its own has no caller on
its stack; code that starts one on behalf of a caller does so inside `noted`, which passes on the
caller's line.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, NamedTuple

__all__ = ["Line", "calling_line", "noted", "warn"]

_PACKAGE = __name__.partition(".")[0]
_BETWEEN = frozenset({_PACKAGE, "contextlib"})  # an exit stack leaves blocks for its caller
_LOOPS = _BETWEEN | {"asyncio", "uvloop"}


class Line(NamedTuple):
    """A line of the caller's code, and the globals of its module."""

    filename: str
    number: int
    scope: dict[str, Any]


_noted: ContextVar[Line | None] = ContextVar("tract_calling_line", default=None)


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning for the caller's line; filters such as "once per line" apply to that line."""
    line = calling_line()
    if line is None:
        warnings.warn(message, category, stacklevel=2)
        return
    warnings.warn_explicit(
        message,
        category,
        line.filename,
        line.number,
        module=line.scope.get("__name__"),
        registry=line.scope.setdefault("__warningregistry__", {}),
    )


def calling_line() -> Line | None:
    """Return the line that called the library; None if there is none.

    A task that the caller made of one of our coroutines (`gather(tract.user(...))`) has no calling
    line on its stack. The line that runs the event loop is returned instead.
    """
    frame: FrameType | None = sys._getframe(1)
    root = _root()
    while frame is not None and _is_in(frame, _BETWEEN):
        if frame is root:
            return _noted.get() or _line(_outside(frame, _LOOPS))
        frame = frame.f_back
    return _line(frame)


@contextmanager
def noted(line: Line | None) -> Iterator[None]:
    """Let tasks that are started inside report *line* as their caller's."""
    token = _noted.set(line)
    try:
        yield
    finally:
        _noted.reset(token)


def _root() -> FrameType | None:
    """Return the frame that the current task began with."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # there is no event loop
        return None
    return None if task is None else getattr(task.get_coro(), "cr_frame", None)


def _outside(frame: FrameType | None, packages: Set[str]) -> FrameType | None:
    """Return the first frame, from *frame* outwards, outside all *packages*."""
    while frame is not None and _is_in(frame, packages):
        frame = frame.f_back
    return frame


def _is_in(frame: FrameType, packages: Set[str]) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in packages


def _line(frame: FrameType | None) -> Line | None:
    return (
        None if frame is None else Line(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
    )
