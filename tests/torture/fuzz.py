"""Hostile input: minutes of search for arguments that break a promise.

By itself, without the rest: `python -m torture.fuzz --minutes 5 --keep`, with `tests` on the path.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from torture.fuzzer import CORPUS
from torture.model import Fault, Report, inject

__all__ = ["FAULTS", "main"]

_TARGETS = {
    "config": "configs and metadata",
    "content": "content dicts and messages",
    "from_openai": "message lists for `from_openai`",
    "query": "arguments of `query_by_config`",
}
_FULL = 60.0  # minutes, all targets together
_EXECUTED = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long one target is fuzzed."""

    seconds: float


async def run(report: Report, sizes: Sizes, rng: Random, *, target: str) -> None:
    """Fuzz *target*; each input is a fault, and the first that breaks a promise a finding."""
    found = report.folder / target
    found.mkdir()
    prefix = f"{report.folder / target}-"
    status, log = await _fuzzer(
        target,
        str(found),
        f"-max_total_time={max(1, round(sizes.seconds))}",
        f"-seed={rng.randrange(1, 2**31)}",
        f"-artifact_prefix={prefix}",
        "-print_final_stats=1",
    )
    _note(report, prefix, status, log)


def _note(report: Report, prefix: str, status: int | None, log: bytes) -> None:
    Path(f"{prefix}log").write_bytes(log)
    counted = _EXECUTED.search(log)
    report.faults += int(counted[1]) if counted else 1
    report.tell(f"{report.faults:,} inputs")
    last = log[-3_000:].decode("utf-8", "replace")
    report.check(status == 0, f"ended with {status}, see {prefix}*\n{last}")


async def keep(target: str, found: Path) -> int:
    """Make the corpus of *target* the fewest of its inputs and those found that reach as much."""
    with tempfile.TemporaryDirectory() as kept:
        status, log = await _fuzzer(
            target, kept, str(found), "-set_cover_merge=1", "-use_counters=0"
        )
        if status:
            raise RuntimeError(log[-3_000:].decode("utf-8", "replace"))
        shutil.rmtree(CORPUS / target)
        shutil.copytree(kept, CORPUS / target)
    return len(list((CORPUS / target).iterdir()))


async def _fuzzer(*arguments: str) -> tuple[int | None, bytes]:
    """Run the fuzzer in a process of its own, for libFuzzer ends the one that it is in."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "torture.fuzzer",
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, log


def _fault(target: str, minutes: float) -> Fault[Sizes]:
    return Fault(
        f"fuzz.{target}",
        f"hostile {_TARGETS[target]}",
        partial(run, target=target),
        Sizes(minutes * 60 / len(_TARGETS)),
        Sizes(2),
        limit=minutes * 60 / len(_TARGETS) + 120,
    )


FAULTS = tuple(_fault(target, _FULL) for target in _TARGETS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz as the command line says; return the exit status, 0 only where every promise held."""
    parser = argparse.ArgumentParser(prog="python -m torture.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=_FULL, help="for all (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="where random choices begin")
    parser.add_argument("--keep", action="store_true", help="minimise what was found as the corpus")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="torture-fuzz-"))
    reports = []
    for fault in (_fault(target, options.minutes) for target in _TARGETS):
        report = Report(folder)
        asyncio.run(inject(fault, report, quick=False, seed=options.seed))
        reports.append(report)
        sys.stdout.write(f"{fault.name}: {report.faults:,} inputs in {report.seconds:.0f} s\n")
        sys.stdout.write("".join(f"{finding}\n" for finding in report.findings))
    sound = all(report.sound for report in reports)
    if options.keep and sound:
        for target in _TARGETS:
            sys.stdout.write(
                f"{target}: {asyncio.run(keep(target, folder / target))} inputs kept\n"
            )
    if sound:
        shutil.rmtree(folder)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
