"""A process that goes on and on holds no more than one that has just begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.torture import short_form
from torture import long_life

pytestmark = pytest.mark.long


async def test_a_long_life_keeps_nothing_but_the_database(tmp_path: Path) -> None:
    [fault] = long_life.FAULTS
    report = await short_form(fault, tmp_path)

    assert report.acknowledged == fault.quick.commits
