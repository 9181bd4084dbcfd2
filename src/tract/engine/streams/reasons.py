"""Why a stream was left before its end: the kind of the interruption, and nothing else.

An exception's text may hold addresses, paths, prompts and keys, and what names a task tells
where the program runs. The caller has the exception itself.
"""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["CLOSED", "INCOMPLETE", "RECOVERED", "reason_of"]

CLOSED: Final = "closed"
"""The reader stopped, or closed or dropped the stream."""
INCOMPLETE: Final = "incomplete"
"""The response ended without a finish reason."""
RECOVERED: Final = "recovered"
"""It was found in the spool: its process was killed, or its store closed, before it ended."""
_CANCELLED: Final = "cancelled"
_LONGEST = 100


def reason_of(error: BaseException) -> str:
    """Return the kind of interruption that *error* is."""
    if isinstance(error, asyncio.CancelledError):
        return _CANCELLED
    if isinstance(error, GeneratorExit):
        return CLOSED
    return f"error: {_class_name(type(error))}"


def _class_name(kind: type[BaseException]) -> str:
    """Return the name of the first class with a plain one; a class made at run time may have any."""
    names = (parent.__name__ for parent in kind.__mro__)
    return next(name for name in names if name.isidentifier() and len(name) <= _LONGEST)
