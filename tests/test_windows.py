"""The comparison of components that shorten contexts, on one recorded conversation."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.windows.__main__ import WAYS
from benchmarks.windows.measuring import Figures, replayed, tokens_of
from benchmarks.windows.ours import Whole
from benchmarks.windows.ways import COUNTER, Way


@pytest.fixture(autouse=True, scope="module")
def vocabulary() -> None:
    """Load the vocabulary, which no event loop should wait for."""
    COUNTER.count_text("")


async def figures_of(way: type[Way], airline: list[dict[str, Any]]) -> Figures:
    messages = max((chat["messages"] for chat in airline[:10]), key=len)
    return await replayed(way, messages, tokens_of(messages) // 3)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title)
async def test_every_way_replays_every_request(
    airline: list[dict[str, Any]], way: type[Way]
) -> None:
    figures, whole = await figures_of(way, airline), await figures_of(Whole, airline)

    assert figures.requests == whole.requests > 10
    assert figures.early == whole.in_last > 0
    if way is not Whole:
        assert figures.tokens < whole.tokens


@pytest.mark.parametrize("way", WAYS[1:3], ids=lambda way: way.title)
async def test_ours_part_no_call_from_its_result_and_find_what_was_hidden(
    airline: list[dict[str, Any]], way: type[Way]
) -> None:
    figures = await figures_of(way, airline)

    assert figures.orphans == 0
    assert figures.found == figures.looked == figures.early
