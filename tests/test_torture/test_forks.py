"""Forked processes and logs that lose their names take nothing that was acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from support.torture import short_form
from torture import forks
from torture.model import Fault

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform == "win32", reason="no process forks there"),
]


@pytest.mark.parametrize("fault", forks.FAULTS, ids=lambda fault: fault.name)
async def test_no_fork_and_no_lost_log_takes_a_commit(fault: Fault[Any], tmp_path: Path) -> None:
    report = await short_form(fault, tmp_path)

    assert report.faults == fault.quick.processes * fault.quick.each
    assert report.acknowledged > 20
