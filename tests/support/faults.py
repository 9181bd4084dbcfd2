"""What tests of faults do to a store, and what they check afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from support.opening import COUNTER
from tract import AsyncTract, CommitInfo, StorageError, TractConfig
from tract.running.lifecycle import Opening

__all__ = ["check_kept", "commit_all", "opening", "refuse_at_commit"]

_PATIENCE = TractConfig(busy_timeout=0.2)


def opening(path: Path | str) -> Opening[AsyncTract]:
    """Open a test's only tract, with a short wait for other processes."""
    return AsyncTract.open(path, tract_id="t", tokenizer=COUNTER, config=_PATIENCE)


async def commit_all(
    tract: AsyncTract, texts: Iterable[str]
) -> tuple[list[CommitInfo], list[StorageError]]:
    """Commit *texts* at once; return what was acknowledged and what was refused; none may hang.

    Every refusal names the path, as an attribute and in its text.
    """
    async with asyncio.timeout(30):
        results = await asyncio.gather(*map(tract.user, texts), return_exceptions=True)
    made = [item for item in results if isinstance(item, CommitInfo)]
    refused = [item for item in results if isinstance(item, StorageError)]

    assert len(made) + len(refused) == len(results), results
    for error in refused:
        assert error.path
        assert str(error).startswith(f"{error.path}: ")
        assert len({id(other) for other in refused}) == len(refused)
    return made, refused


async def check_kept(path: Path, acknowledged: Iterable[CommitInfo]) -> None:
    """Assert that a database holds exactly what was acknowledged, is sound, and is usable."""
    async with opening(path) as tract:
        log = await tract.log(None)
        assert {info.commit_hash for info in log} == {info.commit_hash for info in acknowledged}
        assert [info.parent_hash for info in log] == [*(i.commit_hash for i in log), None][1:]
        report = await tract.verify()
        assert (report.checked, report.faults) == (len(log), ())
        assert await tract.user("goes on") in await tract.log(1)


def refuse_at_commit(path: Path, message: str) -> None:
    """Make every transaction fail at its COMMIT that wrote a commit with *message*."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE debts (id INTEGER PRIMARY KEY, owed REFERENCES debts (id) DEFERRABLE INITIALLY DEFERRED);"
            f"CREATE TRIGGER owe AFTER INSERT ON commits WHEN NEW.message = '{message}' "
            "BEGIN INSERT INTO debts (owed) VALUES (-1); END;"
        )
