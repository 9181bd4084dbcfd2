"""A stdin that can be ended from within: the protocol's own waits for its client, whatever happens."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

__all__ = ["interruptible_stdin"]

_MOST = 65_536  # bytes that are passed on at once


@contextmanager
def interruptible_stdin() -> Iterator[Callable[[], None]]:
    """Replace `sys.stdin` by a pipe that passes it on; the result ends it.

    A thread that reads stdin cannot be cancelled, so Ctrl-C would wait for the next line.
    """
    own = sys.stdin
    readable, writable = os.pipe()
    pipe = os.fdopen(writable, "wb", buffering=0)
    source = own.buffer.fileno()
    # The process may end while it waits for input.
    Thread(target=_pass_on, args=(source, pipe), name="stdin", daemon=True).start()
    sys.stdin = io.TextIOWrapper(os.fdopen(readable, "rb"), encoding="utf-8")
    try:
        yield pipe.close
    finally:
        sys.stdin = own


def _pass_on(source: int, pipe: io.RawIOBase) -> None:
    with suppress(OSError, ValueError), pipe:  # closed by the other side
        while some := os.read(source, _MOST):
            pipe.write(some)
