"""Programs run in a process of their own without network and API key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["run_offline"]

_REFUSING = """
import sys


def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError(f"There is no network here: {event}")


sys.addaudithook(refuse)
"""
_RUNNING = """
import runpy

del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_offline(program: str | Path, *arguments: str, given: str = "") -> list[str]:
    """Run a program, given as text or file, with warnings as errors; return the lines it prints."""
    if isinstance(program, Path):
        code, arguments = _REFUSING + _RUNNING, (str(program), *arguments)
    else:
        code = _REFUSING + program
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env={"PYTHONIOENCODING": "utf-8"},
        input=given,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()
