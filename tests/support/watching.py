"""Reading from a watch with a time limit, and moving branches behind its back."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from tract import AsyncTract, BranchReset, CommitInfo, Watch

__all__ = ["SOON", "commits_from", "copied", "move", "nothing_more", "say", "take"]

T = TypeVar("T")

SOON = 20.0  # seconds; no wait of these tests comes near, however busy the machine


async def say(tract: AsyncTract, *texts: str) -> list[CommitInfo]:
    return [await tract.user(text) for text in texts]


async def take(watch: Watch[T], count: int) -> list[T]:
    """Return the next *count* items, which must arrive soon."""
    async with asyncio.timeout(SOON):
        return [await anext(watch) for _ in range(count)]


async def commits_from(watch: Watch[Any], count: int) -> list[CommitInfo]:
    items = await take(watch, count)
    return [item for item in items if isinstance(item, CommitInfo)]


async def nothing_more(watch: Watch[Any]) -> bool:
    """Return True if nothing arrives for longer than any commit would take."""
    try:
        async with asyncio.timeout(0.2):
            await anext(watch)
    except TimeoutError:
        return True
    return False


def move(path: Path, commit_hash: str | None, branch: str = "main") -> None:
    """Point a branch elsewhere, as another process that resets it would; None deletes it."""
    with closing(sqlite3.connect(path)) as raw, raw:
        if commit_hash is None:
            raw.execute("DELETE FROM refs WHERE name = ?", [f"refs/heads/{branch}"])
        else:
            segment = "(SELECT max(segment) + 1 FROM commits)"
            raw.execute(
                f"UPDATE refs SET commit_hash = ?1, start_hash = ?1, segment = {segment} "
                "WHERE name = ?2",
                [bytes.fromhex(commit_hash), f"refs/heads/{branch}"],
            )


def copied(history: list[CommitInfo], item: CommitInfo | BranchReset) -> None:
    """Treat an item as the loop in the docs does."""
    if isinstance(item, BranchReset):
        hashes = [None, *(info.commit_hash for info in history)]
        assert item.old_hash == hashes[-1]
        del history[hashes.index(item.new_hash) :]
    else:
        history.append(item)
