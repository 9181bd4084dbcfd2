"""Forks, and logs that are taken away, lose nothing that was acknowledged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support.torture import short_form
from torture import forks
from torture.model import Fault

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked"),
]


@pytest.mark.parametrize("fault", forks.FAULTS, ids=lambda fault: fault.name)
async def test_what_was_acknowledged_is_there(fault: Fault[Any], tmp_path: Path) -> None:
    report = await short_form(fault, tmp_path)

    assert report.faults == fault.quick.processes * fault.quick.each
    assert report.acknowledged > 20
