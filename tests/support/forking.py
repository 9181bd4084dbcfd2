"""What scripts that fork share; they import it in processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import closing

from support.opening import COUNTER
from tract import AsyncTract, ForkedProcessError

__all__ = ["child", "commit", "committed", "content_is_sound", "opened"]

_LIMIT = 20  # seconds that a child may take


def child(work: Callable[[], object], *, exits: bool = False) -> str:
    """Run *work* in a forked child, and return what it reported: a result, or an error's name.

    With *exits* it ends as interpreters do, and what that writes to standard error is returned too.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        signal.alarm(_LIMIT)
        os.write(writing, _told(work).encode())
        if exits:
            os.dup2(writing, 2)
            sys.exit(0)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return text if status == 0 else f"{text} ended with {status}"


def _told(work: Callable[[], object]) -> str:
    try:
        return str(work())
    except ForkedProcessError as error:
        stuck = "another thread" in error.cause
        return f"{type(error).__name__}{' for good' if stuck else ''}"
    except BaseException:
        return traceback.format_exc()


def opened(path: object) -> str:
    """Open another store at *path* and commit to it, as a process that never forked may."""
    return asyncio.run(commit(path))


async def commit(path: object, text: str = "hello") -> str:
    async with AsyncTract.open(str(path), tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user(text)
    return "committed"


async def committed(path: object) -> list[str | None]:
    """Return the messages of all commits in the file."""
    async with AsyncTract.open(str(path), tract_id="t", tokenizer=COUNTER) as tract:
        return [info.message for info in await tract.log(None)]


def content_is_sound(path: object) -> bool:
    with closing(sqlite3.connect(str(path))) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def refuses(call: Awaitable[object]) -> bool:
    try:
        await call
    except ForkedProcessError:
        return True
    return False
