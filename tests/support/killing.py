"""Processes to be killed, forked from one that has imported the package.

An interpreter of its own would take a second to import it, many times what a program lives.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

__all__ = ["Running", "kill_often", "started"]

_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
_CONTEXT: Any = multiprocessing.get_context("forkserver" if _FORKS else "spawn")
if _FORKS:
    _CONTEXT.set_forkserver_preload(["tract"])


class Running(NamedTuple):
    """A running program."""

    process: BaseProcess

    async def kill(self) -> None:
        """Kill it, which must not have ended by itself."""
        self.process.kill()
        assert await self.ended() < 0

    async def ended(self) -> int:
        """Return its status once it has ended."""
        await asyncio.to_thread(self.process.join)
        status = self.process.exitcode
        assert status is not None
        self.process.close()
        return status


async def started(program: str, *arguments: object) -> Running:
    """Start Python code with *arguments*, and return once it has printed something, or ended."""
    told, tells = _CONTEXT.Pipe(duplex=False)
    with told:
        with tells:
            process = _CONTEXT.Process(
                target=_run, args=(program, [*map(str, arguments)], tells), daemon=True
            )
            process.start()
        with suppress(EOFError):
            await asyncio.to_thread(told.recv)
    return Running(process)


async def kill_often(
    program: str,
    path: Path,
    check: Callable[[Path], Awaitable[object]],
    *,
    kills: int,
    seed: int,
    within: float,
) -> None:
    """Kill *program* at random moments, and check what each process leaves at *path*.

    Args:
        program: Python code that works on the file of its first argument without end. Its second
            argument names the process. It prints a line when it begins.
        path: The file.
        check: Is called after each process.
        kills: How many processes are killed.
        seed: Of the moments.
        within: Seconds from its beginning in which a process is killed.
    """
    rng = Random(seed)
    for number in range(kills):
        running = await started(program, path, f"{seed}.{number}")
        await asyncio.sleep(rng.random() * within)
        await running.kill()
        await check(path)


class _Telling(io.TextIOBase):
    """Sends what is printed."""

    def __init__(self, tells: Connection) -> None:
        self._tells: Connection | None = tells

    def write(self, text: str) -> int:
        if self._tells is not None:  # the first word is all that is waited for
            self._tells.send(text)
            self._tells.close()
            self._tells = None
        return len(text)


def _run(program: str, arguments: list[str], tells: Connection) -> None:
    sys.argv = ["-c", *arguments]
    sys.stdout = _Telling(tells)
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
