"""Killed in whatever step of a tool turn, a context is one that every API takes."""

from __future__ import annotations

from pathlib import Path

from support.torture import short_form
from torture import turns


async def test_a_killed_turn_hides_no_call_and_every_api_takes_what_is_left(tmp_path: Path) -> None:
    [fault] = turns.FAULTS
    report = await short_form(fault, tmp_path)

    assert report.faults == 10
    assert report.acknowledged > 10
