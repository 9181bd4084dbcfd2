"""Tracts whose erasers are killed: gone once another call has ended, and nothing else with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.torture import short_form
from torture.tract_erasures import FAULTS

pytestmark = pytest.mark.long


async def test_killed_processes_erase_tracts_and_nothing_that_comes_later(tmp_path: Path) -> None:
    [fault] = FAULTS
    report = await short_form(fault, tmp_path)

    assert report.faults == fault.quick.kills
    assert report.acknowledged > 20
