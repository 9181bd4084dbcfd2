"""Processes killed while they commit lose nothing of what they acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.torture import short_form
from torture import kills
from torture.model import Fault

pytestmark = pytest.mark.long


@pytest.mark.parametrize("fault", kills.FAULTS, ids=lambda fault: fault.name)
async def test_a_killed_process_loses_nothing(fault: Fault[Any], tmp_path: Path) -> None:
    report = await short_form(fault, tmp_path)

    assert report.faults == 10
    assert report.acknowledged > 100
