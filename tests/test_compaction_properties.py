"""Promise 16 on random histories: shortening them loses nothing but tokens.

`support.compacted` checks each shortening: no API refuses what is left, no call or result is left
alone, pins and instructions and what was to be kept stay, the target is met or nothing is written,
what stands before the first hidden entry is the same to the byte, and every token count is that of
the messages. Summarisers fail, are cancelled, and are overtaken by writers of two stores.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.compacted import Shortened
from support.counters import WordCounter
from support.effort import effort
from tract import TiktokenCounter, TractConfig, TractStore

_EACH = 50
SEEDS = [
    # In the last one, results are cleared whose call's message is skipped.
    *(pytest.param(range(seed, seed + 1), id=f"{seed}") for seed in (*range(6), 20_260)),
    *(
        pytest.param(range(first, first + _EACH), id=f"from {first}", marks=pytest.mark.long)
        for first in range(6, effort(1_000, 100_000), _EACH)
    ),
]
UNCACHED = TractConfig(cache_max_bytes=0)


@pytest.mark.parametrize("seeds", SEEDS)
async def test_shortening_loses_nothing_but_tokens(tmp_path: Path, seeds: range) -> None:
    """Undoing shows the same again, and every context is the same without a cache."""
    done = 0
    for seed in seeds:
        try:
            done += await shortened(tmp_path / f"{seed}.db", seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise

    assert done > len(seeds) or len(seeds) == 1


async def shortened(path: Path, seed: int) -> int:
    """Check one history, and return how often it was shortened."""
    counter = TiktokenCounter() if seed % 5 == 4 else WordCounter()
    async with (
        TractStore.open(path, tokenizer=counter) as store,
        TractStore.open(path, tokenizer=counter) as beside,
    ):
        history = Shortened(store, beside, counter, seed)
        await history.grow(30 + seed % 30)
        await history.undo_all()
        before = await history.everywhere()
        assert (await history.tract.verify()).faults == ()
    async with TractStore.open(path, config=UNCACHED, tokenizer=counter) as store:
        history.store = store
        assert await history.everywhere() == before
    return history.done
