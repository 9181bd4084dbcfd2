"""A cancelled call has done all or nothing, and nobody else notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.torture import short_form
from torture import cancellation
from torture.moves import CALLS
from torture.victims import public_calls

pytestmark = pytest.mark.long

[CANCELLATION] = cancellation.FAULTS


async def test_a_cancelled_call_has_done_all_or_nothing(tmp_path: Path) -> None:
    report = await short_form(CANCELLATION, tmp_path)

    assert report.faults >= CANCELLATION.quick.cancellations


def test_every_public_asynchronous_call_is_cancelled() -> None:
    assert set(CALLS) == public_calls()
