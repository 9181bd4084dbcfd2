"""A store does what a naive model of it does, in every field of every result.

The model is in `support.model`, the machine that drives both in `support.stateful`. The long form
is `python -m torture --only model`. A failure tells the calls that led to it;
`MODEL_EXAMPLES=1000 pytest -o faulthandler_timeout=0 tests/test_model.py` looks for fewer calls.
"""

from __future__ import annotations

import os

import pytest

from support.stateful.machine import compare

pytestmark = pytest.mark.long

EXAMPLES = 25


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_store_does_what_the_model_does(part: int) -> None:
    """All promises at once: whatever is called in whatever order, alone and with others."""
    long = os.environ.get("MODEL_EXAMPLES")
    number = part if "CI" in os.environ else None
    tally = compare(int(long or EXAMPLES), number=number, shrinking=long is not None)

    assert tally.databases >= EXAMPLES / 2
    assert tally.commits > 5 * EXAMPLES
