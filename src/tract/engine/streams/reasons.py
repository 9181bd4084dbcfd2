"""Why a stream was interrupted: the kind of interruption, and nothing else.

An exception's text may hold addresses, paths, prompts and keys, and a task's name may tell where
the program runs. The caller gets the exception itself.
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
"""It was recovered: its process was killed, or its store closed, before it ended."""
_CANCELLED: Final = "cancelled"
_LONGEST = 100


def reason_of(error: BaseException) -> str:
    """Return the kind of interruption that *error* stands for."""
    if isinstance(error, asyncio.CancelledError):
        return _CANCELLED
    if isinstance(error, GeneratorExit):
        return CLOSED
    return f"error: {_class_name(type(error))}"


def _class_name(kind: type[BaseException]) -> str:
    """Return the first plain class name of the MRO; classes made at run time may have any name."""
    names = (parent.__name__ for parent in kind.__mro__)
    return next(name for name in names if name.isidentifier() and len(name) <= _LONGEST)
