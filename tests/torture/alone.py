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
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from torture.model import Fault, Report, inject
from torture.register import FAULTS

__all__ = ["inject_alone", "main"]

_EVERY = 5  # seconds between two lines of progress
_GRACE = 60  # seconds that a fault has beyond its limit before its process ends
_REPORT = "report.json"


async def inject_alone(fault: Fault[Any], *, quick: bool, seed: int) -> Report:
    """Inject *fault* in a new process; where it finds anything, its folder is kept.

    A process that ends without a report, killed or hung, is a finding.
    """
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
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = _read(folder, status)
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
    work = options.folder / "work"
    work.mkdir()
    report = Report(work, _progress(fault.name), _warning(fault.name))
    faulthandler.dump_traceback_later(fault.limit + _GRACE, exit=True)
    asyncio.run(inject(fault, report, quick=options.quick, seed=options.seed))
    faulthandler.cancel_dump_traceback_later()
    (options.folder / _REPORT).write_text(json.dumps(report.plain()), encoding="utf-8")
    return 0


def _read(folder: Path, status: int) -> Report:
    report = Report(folder)
    path = folder / _REPORT
    if status == 0 and path.is_file():
        for name, value in json.loads(path.read_text(encoding="utf-8")).items():
            setattr(report, name, value)
    else:
        report.check(False, f"its process ended with {status} and left no report")
    return report


def _progress(name: str) -> Callable[[str], None]:
    last = monotonic()

    def tell(text: str) -> None:
        nonlocal last
        if monotonic() - last >= _EVERY:
            last = monotonic()
            sys.stderr.write(f"{name}: {text}\n")

    return tell


def _warning(name: str) -> Callable[[str], None]:
    return lambda text: print(f"{name}: NOT SOUND: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
