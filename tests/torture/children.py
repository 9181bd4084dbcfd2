"""Processes that a fault starts: modules of this package, run by the interpreter that runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["child"]

_LINE = 1 << 20  # bytes; a process may tell all that it has read in one line
_PATIENCE = 60.0  # seconds to end in


@asynccontextmanager
async def child(module: str, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `torture.module` with *arguments*, input and output piped.

    On leaving its input ends, and it must end too, with status 0 unless it was killed.
    """
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
        async with asyncio.timeout(_PATIENCE):
            await process.communicate(b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"torture.{module} ended with {process.returncode}")
