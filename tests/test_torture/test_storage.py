"""Disks and files that fail take nothing that was acknowledged, and leave nothing half done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.torture import short_form
from torture import storage
from torture.model import Fault

pytestmark = pytest.mark.long


@pytest.mark.parametrize("fault", storage.FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_of_the_storage_loses_nothing(fault: Fault[Any], tmp_path: Path) -> None:
    report = await short_form(fault, tmp_path)

    assert report.faults == fault.quick.rounds
    assert report.acknowledged > 20
