"""Many processes on one branch of one file make one line of commits, and none is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.torture import short_form
from torture import many_processes

pytestmark = pytest.mark.long

COMMITS, EXPECTED_HEAD = many_processes.FAULTS


async def test_processes_that_open_and_commit_at_once_make_one_line(tmp_path: Path) -> None:
    report = await short_form(COMMITS, tmp_path)

    assert report.acknowledged == COMMITS.quick.writers * COMMITS.quick.commits


async def test_one_of_many_processes_wins_an_expected_head(tmp_path: Path) -> None:
    report = await short_form(EXPECTED_HEAD, tmp_path)

    assert report.faults == EXPECTED_HEAD.quick.rounds <= report.acknowledged
