"""Does to stores what must not harm them, and counts what was lost."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from support.markdown import POSTGRES, SQLITE, write_measured
from support.postgres.shared import URL
from torture.alone import inject_alone, until_told
from torture.model import Fault, Report
from torture.register import FAULTS
from torture.results import Outcome, markdown, summary

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says; return the exit status, 0 only where everything held."""
    options = _parser().parse_args(arguments)
    if options.url is not None:
        os.environ[URL] = options.url
        options.only = options.only or ["postgres"]
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    outcome = Outcome(describe(), "quick" if options.quick else "full", seed, [])
    sys.stderr.write(f"seed {seed}\n")
    try:
        asyncio.run(until_told(_inject_all(outcome, options)))
    except asyncio.CancelledError:
        sys.stderr.write("interrupted\n")
        return 1
    sys.stdout.write(summary(outcome).encode(errors="backslashreplace").decode())
    return 0 if outcome.sound else 1


async def _inject_all(outcome: Outcome, options: argparse.Namespace) -> None:
    """Inject the chosen faults, some at a time, into *outcome*, which keeps their order."""
    turns = asyncio.Semaphore(options.jobs)

    async def inject_one(fault: Fault[Any]) -> None:
        async with turns:
            try:
                report = await inject_alone(fault, quick=options.quick, seed=outcome.seed)
            except Exception:  # whatever it is, the other faults go on
                report = Report(Path())
                report.check(False, traceback.format_exc())
        outcome.reports.append((fault, report))
        outcome.reports.sort(key=lambda pair: FAULTS.index(pair[0]))
        _keep(outcome, options.json, options.markdown)  # a run that is stopped loses little

    async with asyncio.TaskGroup() as running:
        for fault in FAULTS:
            if _is_chosen(fault, options.only):
                running.create_task(inject_one(fault))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, those of the tests")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="have the faults of `postgres` take place in new databases of the server at "
        "postgresql://…, not of one that is started for them; without --only, inject no others",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="make the choices of an earlier run")
    parser.add_argument(
        "--jobs",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="faults injected at the same time, each in a process of its own (%(default)s)",
    )
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


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _is_chosen(fault: Fault[Any], only: Sequence[str] | None) -> bool:
    return only is None or fault.name in only or fault.name.split(".")[0] in only


def _keep(outcome: Outcome, json_path: Path | None, markdown_path: Path | None) -> None:
    if json_path is not None:
        text = json.dumps(outcome.plain(), indent=2)
        json_path.write_text(text + "\n", encoding="utf-8")
    if markdown_path is not None:
        of_server = all(fault.name.startswith("postgres") for fault, _ in outcome.reports)
        write_measured(markdown_path, markdown(outcome), POSTGRES if of_server else SQLITE)
