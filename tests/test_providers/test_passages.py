"""Every recorded request and answer passes through a store and back."""

from __future__ import annotations

import pytest

from providers.exchanges import Exchange
from providers.passages import passages


@pytest.mark.long
async def test_every_recorded_request_and_answer_comes_back(recorded: list[Exchange]) -> None:
    done = await passages(recorded)
    problems = [
        f"{each.exchange.id} ({each.what}): {each.problem}" for each in done if each.problem
    ]

    print(f"\n{len(done) - len(problems)} of {len(done)} passages hold")
    assert problems == []
    assert len(done) == 2362
