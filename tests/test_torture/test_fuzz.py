"""The fuzzer finds no argument that breaks a promise; its short form, some seconds a target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.torture import short_form
from torture import fuzz
from torture.model import Fault

pytestmark = pytest.mark.long


@pytest.mark.parametrize("fault", fuzz.FAULTS, ids=lambda fault: fault.name)
async def test_nothing_breaks_on_hostile_input(fault: Fault[Any], tmp_path: Path) -> None:
    report = await short_form(fault, tmp_path)

    assert report.faults > 50
