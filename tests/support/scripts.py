"""Python code run in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Script", "printed", "started"]


class Script(NamedTuple):
    """A running script that talks in lines."""

    process: asyncio.subprocess.Process
    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader

    async def line(self) -> str:
        """Return the next line that it prints."""
        return (await self.stdout.readline()).decode().strip()

    def tell(self, line: str = "") -> None:
        """Send it a line."""
        self.stdin.write(f"{line}\n".encode())


async def started(code: str, *arguments: object, env: Mapping[str, str] | None = None) -> Script:
    """Start a script."""
    process = await asyncio.create_subprocess_exec(
        *_command(code, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=env,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    return Script(process, process.stdin, process.stdout)


def printed(code: str, *arguments: object) -> str:
    """Run a script to its end, which must succeed, and return what it printed."""
    done = subprocess.run(
        _command(code, arguments), capture_output=True, text=True, timeout=240, check=True
    )
    return done.stdout.strip()


def _command(code: str, arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]
