"""Does to stores what must not harm them, and counts what was lost."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.machine import describe
from support.markdown import write_measured
from torture.model import Fault, Report, inject
from torture.register import FAULTS
from torture.results import Outcome, markdown, summary

__all__ = ["main"]

_EVERY = 5  # seconds between two lines of progress
_GRACE = 60  # seconds that a fault has beyond its limit before the whole run ends


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says; return the exit status, 0 only where everything held."""
    options = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    outcome = Outcome(describe(), "quick" if options.quick else "full", seed, [])
    sys.stderr.write(f"seed {seed}\n")
    for fault in FAULTS:
        if _is_chosen(fault, options.only):
            outcome.reports.append((fault, _injected(fault, quick=options.quick, seed=seed)))
            _keep(outcome, options.json, options.markdown)  # a run that is stopped loses little
    sys.stdout.write(summary(outcome))
    return 0 if outcome.sound else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, those of the tests")
    parser.add_argument("--seed", type=int, metavar="N", help="make the choices of an earlier run")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures here")
    parser.add_argument(
        "--markdown", type=Path, metavar="PATH", help="write the table here, between its marks"
    )
    names = [fault.name for fault in FAULTS]
    parser.add_argument(
        "--only",
        action="append",
        choices=sorted({*names, *(name.split(".")[0] for name in names)}),
        metavar="FAULT",
        help="inject this fault; may be given several times. Faults: %(choices)s",
    )
    return parser


def _is_chosen(fault: Fault[Any], only: Sequence[str] | None) -> bool:
    return only is None or fault.name in only or fault.name.split(".")[0] in only


def _injected(fault: Fault[Any], *, quick: bool, seed: int) -> Report:
    """Inject a fault on an event loop of its own; where it finds anything, its folder is kept."""
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{fault.name}-"))
    report = Report(folder, _progress(fault.name), _warning(fault.name))
    faulthandler.dump_traceback_later(fault.limit + _GRACE, exit=True)
    try:
        asyncio.run(inject(fault, report, quick=quick, seed=seed))
    finally:
        faulthandler.cancel_dump_traceback_later()
    if report.sound:
        shutil.rmtree(folder)
    else:
        sys.stderr.write(f"{fault.name}: NOT SOUND, its files are in {folder}\n")
    sys.stderr.write(f"{fault.name}: {report.seconds:.1f} s\n")
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


def _keep(outcome: Outcome, json_path: Path | None, markdown_path: Path | None) -> None:
    if json_path is not None:
        text = json.dumps(outcome.plain(), indent=2, ensure_ascii=False)
        json_path.write_text(text + "\n", encoding="utf-8")
    if markdown_path is not None:
        write_measured(markdown_path, markdown(outcome))
