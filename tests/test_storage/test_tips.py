"""Where branches point, and rows of them that do not fit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from support.opening import COUNTER
from tract import TractStore


async def test_verify_tells_of_a_branch_whose_segment_is_anothers(db_path: Path) -> None:
    """Its next commit would be taken for one of the other branch, whose entries it could edit."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("mine")
        await store.tract("t", branch="other").user("theirs")
    with closing(sqlite3.connect(db_path)) as damaging, damaging:
        damaging.execute("UPDATE refs SET segment = 1 WHERE name = 'refs/heads/main'")

    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        assert (await store.tract("t").verify()).faults


async def test_a_fork_without_commits_of_its_own_fits(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        first = await tract.user("first")
        side = await tract.fork("side")
        await tract.user("second")
        await tract.reset(first.commit_hash)

        assert (await tract.verify()).faults == ()
        await side.user("on the side")
        await tract.user("after the reset")
        assert (await tract.verify()).faults == ()
