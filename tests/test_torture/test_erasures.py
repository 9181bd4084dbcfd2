"""What killed processes have erased is nowhere, and all else is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.torture import short_form
from torture.erasures import FAULTS

pytestmark = pytest.mark.long


async def test_killed_processes_erase_all_or_nothing_and_nothing_else(tmp_path: Path) -> None:
    [fault] = FAULTS
    report = await short_form(fault, tmp_path)

    assert report.faults == fault.quick.kills
    assert report.acknowledged > 20
