"""Processes that a fault starts: modules of this package, run by the interpreter that runs it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["child", "exit_in_peace"]

_LINE = 1 << 20  # bytes; a process may tell all that it has read in one line


@asynccontextmanager
async def child(module: str, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `torture.module` with *arguments*, input and output piped; kill it on leaving."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"torture.{module}",
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def exit_in_peace(process: asyncio.subprocess.Process, seconds: float = 120) -> list[str]:
    """Wait for a process to end by itself; return the lines that it has written since."""
    async with asyncio.timeout(seconds):
        out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"a process ended with {process.returncode}")
    return out.decode().splitlines()
