"""One fault in a process of its own: what it does to memory, files and threads strikes no other.

`python -m torture.alone FAULT`, with `tests` on the path, is what `torture.run` starts.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from torture.model import Fault, Report, inject
from torture.register import FAULTS

__all__ = ["inject_alone", "main", "until_told"]

_EVERY = 5  # seconds between two lines of progress
_GRACE = 60  # seconds that a fault has beyond its limit before its process ends
_REPORT = "report.json"
_BY_ITSELF = 1.0  # seconds that an interrupted process has, which may have been told already,
_TO_CLEAN_UP = 10.0  # and once it is told


async def inject_alone(fault: Fault[Any], *, quick: bool, seed: int) -> Report:
    """Inject *fault* in a new process; where it finds anything, its folder is kept.

    A process that ends before its time, killed or hung, is a finding.
    """
    start = monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{fault.name}-"))
    form = ["--quick"] if quick else []
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "torture.alone",
        fault.name,
        f"--seed={seed}",
        f"--folder={folder}",
        *form,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        status = await process.wait()
    finally:
        await _end(process)
    report = _read(folder, status)
    report.seconds = report.seconds or monotonic() - start
    if report.sound:
        shutil.rmtree(folder)
    else:
        sys.stderr.write(f"{fault.name}: NOT SOUND, its files are in {folder}\n")
    sys.stderr.write(f"{fault.name}: {report.seconds:.1f} s\n")
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Inject the fault that the command line names, and leave a report in its folder."""
    parser = argparse.ArgumentParser(prog="python -m torture.alone", description=__doc__)
    parser.add_argument("fault", choices=[fault.name for fault in FAULTS])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    [fault] = [fault for fault in FAULTS if fault.name == options.fault]
    folder = options.folder / "work"
    folder.mkdir()
    path = options.folder / _REPORT
    report = Report(folder, _progress(fault.name))

    def warn(text: str) -> None:
        print(f"{fault.name}: NOT SOUND: {text}", file=sys.stderr)
        _write(report, path)  # what comes next may be this process's end

    report.warn = warn
    faulthandler.dump_traceback_later(fault.limit + _GRACE, exit=True)
    work = inject(fault, report, quick=options.quick, seed=options.seed)
    try:
        asyncio.run(until_told(work))
    except asyncio.CancelledError:
        return 1
    faulthandler.cancel_dump_traceback_later()
    _write(report, path)
    return 0


async def until_told(work: Awaitable[object]) -> None:
    """Await *work*; the first interrupt or SIGTERM cancels it, and it may clean up in peace.

    That holds for processes in the background, too, which begin with interrupts ignored.
    """
    task = asyncio.current_task()
    assert task is not None
    told = False

    def tell() -> None:
        nonlocal told
        if not told:
            told = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, tell)
    await work


async def _end(process: asyncio.subprocess.Process) -> None:
    """Have a process that was interrupted end its own processes, and then itself."""
    for patience, strike in ((_BY_ITSELF, process.terminate), (_TO_CLEAN_UP, process.kill)):
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
        if process.returncode is not None:
            return
        strike()
    await process.wait()


def _write(report: Report, path: Path) -> None:
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps(report.plain()), encoding="utf-8")
    whole.replace(path)


def _read(folder: Path, status: int) -> Report:
    report = Report(folder)
    path = folder / _REPORT
    if path.is_file():
        for name, value in json.loads(path.read_text(encoding="utf-8")).items():
            setattr(report, name, value)
    report.check(
        status == 0 and path.is_file(), f"its process ended with {status}, before its time"
    )
    return report


def _progress(name: str) -> Callable[[str], None]:
    last = monotonic()

    def tell(text: str) -> None:
        nonlocal last
        if monotonic() - last >= _EVERY:
            last = monotonic()
            sys.stderr.write(f"{name}: {text}\n")

    return tell


if __name__ == "__main__":
    sys.exit(main())
