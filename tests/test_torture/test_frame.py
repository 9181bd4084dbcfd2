"""The frame of the long form: what a fault finds is counted, shown, and decides the exit status."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from torture.alone import _read, _write, inject_alone
from torture.model import Fault, Report, inject
from torture.register import FAULTS
from torture.results import Outcome, markdown, summary
from torture.run import main

pytestmark = pytest.mark.long

MACHINE = dict.fromkeys(("processor", "cores", "system", "date", "python", "sqlite"), "some")


async def nothing(report: Report, sizes: int, rng: Random) -> None:
    report.faults += sizes
    report.acknowledged += rng.randrange(10**9)


async def losing(report: Report, sizes: int, rng: Random) -> None:
    report.faults += sizes
    report.check_kept(2, "two are gone")


async def wrecking(report: Report, sizes: int, rng: Random) -> None:
    report.faults += sizes
    report.check_usable(False, "it is broken")


async def raising(report: Report, sizes: int, rng: Random) -> None:
    report.faults += sizes
    raise KeyError("what it raises itself")


async def idle(report: Report, sizes: int, rng: Random) -> None:
    pass


def fault(run: Any) -> Fault[int]:
    return Fault(run.__name__, "a fault", run, full=1000, quick=10)


async def outcome(folder: Path, *runs: Any) -> Outcome:
    """Return the outcome of faults with these *runs*, in the short form."""
    reports = [
        (fault(run), await inject(fault(run), Report(folder), quick=True, seed=1)) for run in runs
    ]
    return Outcome(MACHINE, "quick", 1, reports)


async def test_a_run_that_finds_nothing_is_sound(tmp_path: Path) -> None:
    found = await outcome(tmp_path, nothing)

    assert found.sound
    assert "seed 1: nothing lost, nothing unusable" in summary(found)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (losing, "2 acknowledged commits lost: two are gone"),
        (wrecking, "store unusable: it is broken"),
        (raising, "KeyError: 'what it raises itself'"),
    ],
)
async def test_whatever_is_found_makes_the_run_unsound(run: Any, told: str, tmp_path: Path) -> None:
    found = await outcome(tmp_path, nothing, run)

    assert not found.sound
    assert told in summary(found)
    assert "NOT SOUND" in summary(found)


async def test_a_fault_that_injected_nothing_is_not_sound(tmp_path: Path) -> None:
    assert not (await outcome(tmp_path, idle)).sound
    assert not Outcome(MACHINE, "quick", 1, []).sound


async def test_the_table_adds_up(tmp_path: Path) -> None:
    found = await outcome(tmp_path, losing, wrecking)
    [total] = [line for line in markdown(found).splitlines() if line.startswith("| in total")]

    assert [cell.strip() for cell in total.split("|")[2:7]] == ["20", "0", "2", "1", "2"]
    assert found.plain()["total"]["lost"] == 2


async def test_the_same_seed_makes_the_same_choices(tmp_path: Path) -> None:
    reports = [
        await inject(fault(nothing), Report(tmp_path), quick=True, seed=seed) for seed in (1, 1, 2)
    ]
    first, again, other = (report.acknowledged for report in reports)

    assert first == again != other


def test_each_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]

    assert len(names) == len(set(names))


def test_an_unknown_fault_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(["--only", "no such fault"])

    assert refusal.value.code == 2
    assert "kills.full" in capsys.readouterr().err


def test_each_fault_runs_in_a_process_and_the_table_keeps_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    figures = tmp_path / "run.json"
    chosen = ["storage.full", "storage.deleted"]
    only = [f"--only={name}" for name in reversed(chosen)]

    status = main(["--quick", "--seed=1", "--jobs=2", f"--json={figures}", *only])

    assert status == 0
    kept = json.loads(figures.read_text(encoding="utf-8"))
    assert [fault["name"] for fault in kept["faults"]] == chosen
    assert all(fault["faults"] and fault["acknowledged"] for fault in kept["faults"])
    assert "nothing lost, nothing unusable" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [figures]


async def test_a_process_that_leaves_no_report_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    report = await inject_alone(fault(nothing), quick=True, seed=1)  # none of the register

    assert (report.sound, report.failed) == (False, 1)
    assert "ended with 2" in report.findings[0]
    assert report.seconds > 0


async def test_a_process_that_is_killed_leaves_what_it_had_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = Report(tmp_path)
    found.faults = 3
    found.check_kept(2, "two are gone")
    script = tmp_path / "folder"
    script.mkdir()
    _write(found, script / "report.json")

    report = _read(script, -9)

    assert (report.faults, report.lost, report.failed) == (3, 2, 2)
    assert "two are gone" in report.findings[0]
    assert "ended with -9" in report.findings[1]


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of processes that were told of *folder*."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if str(folder) in line]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes cannot be listed")
async def test_a_run_that_is_interrupted_leaves_no_process(tmp_path: Path) -> None:
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background
    try:
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "torture", "--only=kills.normal", "--jobs=1"),
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=asyncio.subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGINT, usual)
    async with asyncio.timeout(60):
        while not any(  # noqa: ASYNC110  (nobody tells that a process has started)
            "torture.committer" in line for line in processes_in(tmp_path)
        ):
            await asyncio.sleep(0.05)
        run.send_signal(signal.SIGINT)
        status = await run.wait()

    assert status != 0
    assert processes_in(tmp_path) == []


def test_no_jobs_at_all_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--jobs", "0"])

    assert "no number from 1 on" in capsys.readouterr().err
