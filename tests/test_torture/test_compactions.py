"""What killed processes have shortened is whole, and comes back to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.torture import short_form
from torture.compactions import FAULTS

pytestmark = pytest.mark.long


async def test_killed_processes_shorten_all_or_nothing_and_lose_no_turn(tmp_path: Path) -> None:
    [fault] = FAULTS
    report = await short_form(fault, tmp_path)

    assert report.faults == 2 * fault.quick.kills
    assert report.acknowledged > 20
