"""Runs programs of the documentation as a user does, many times for the price of one start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["environment", "run_each"]

_EACH = """
import io, json, runpy, sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
program, *lists = json.load(sys.stdin)
sys.path.insert(0, str(Path(program).parent))
told = []
for arguments in lists:
    sys.argv = [program, *arguments]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            runpy.run_path(program, run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code or 0
    told.append([status, out.getvalue(), err.getvalue()])
json.dump(told, sys.stdout)
"""


def environment() -> dict[str, str]:
    """Return the environment without the variables that make rich take a pipe for a terminal."""
    plain = {"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"}
    return {name: value for name, value in os.environ.items() if name not in plain}


def run_each(program: Path, arguments: Sequence[Sequence[object]]) -> list[tuple[int, str, str]]:
    """Run a program once per list of arguments; return the status, output and errors of each.

    All runs share an interpreter, in which warnings are errors and a traceback ends the process.
    """
    lists = [list(map(str, given)) for given in arguments]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", _EACH],
        input=json.dumps([str(program), *lists]),
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [(status, out, err) for status, out, err in json.loads(ran.stdout)]
