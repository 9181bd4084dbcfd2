"""A branch costs what it holds, however much its siblings have committed.

Counted are SQLite's own steps, for each verb on a small branch among many commits of another, by
those on the same branch in a tract of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.opening import COUNTER
from support.working import counted
from tract import (
    AsyncTract,
    BranchNotMergedError,
    CommitInfo,
    CommitOperation,
    Priority,
    TokenUsage,
    TractStore,
    config,
)

pytestmark = pytest.mark.unmeasured
MOST = 5
SIBLINGS = 4_000
INTERLEAVED = {
    "between the last two": [0] * 20 + [SIBLINGS, 0],
    "after all": [0] * 21 + [SIBLINGS],
    "one each": [1] * 22,
    "ten each": [10] * 22,
    "many each": [SIBLINGS // 22] * 22,
    "in bursts": [0, 0, 0, SIBLINGS // 5] * 5 + [0, 0],
}


@dataclass
class Scene:
    """A small branch, another that left it halfway, and what the small one holds, newest first."""

    small: AsyncTract
    side: AsyncTract
    log: list[CommitInfo]

    @property
    def oldest(self) -> str:
        return self.log[-1].commit_hash


async def say(tract: AsyncTract, texts: Iterable[str]) -> None:
    async with tract.batch() as batch:
        for text in texts:
            batch.commit(
                {"content_type": "dialogue", "role": "user", "text": text},
                generation_config={"model": "small", "temperature": 0.5},
            )


async def grow(path: Path, siblings: list[int]) -> None:
    """Make 22 commits, and after each so many commits of a sibling."""
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        small, sibling = store.tract("agent", branch="small"), store.tract("agent", branch="big")
        await say(sibling, ["the first"])
        for number, beside in enumerate(siblings):
            if number == 11:
                await say(await small.fork("side"), ["an aside"])
            await say(small, [f"{number}"])
            await say(sibling, [f"{number}: {count}" for count in range(beside)])


async def first(commits: AsyncIterator[Any]) -> Any:
    async for commit in commits:
        return commit


async def refused(call: Awaitable[None]) -> None:
    with pytest.raises(BranchNotMergedError):
        await call


async def edit(tract: AsyncTract, target: str) -> None:
    await tract.commit(
        {"content_type": "dialogue", "role": "user", "text": "changed"},
        operation=CommitOperation.EDIT,
        edit_target=target,
    )


VERBS: dict[str, Callable[[Scene], Awaitable[object]]] = {
    "first compile": lambda on: on.small.compile(),
    "log(5)": lambda on: on.small.log(5),
    "log(None)": lambda on: on.small.log(None),
    "log in context order": lambda on: on.small.log(5, order="context"),
    "log in context order, next page": lambda on: on.small.log(
        5, before=on.log[3].commit_hash, order="context"
    ),
    "log in context order, all": lambda on: on.small.log(None, order="context"),
    "log, next page": lambda on: on.small.log(5, before=on.log[3].commit_hash),
    "compile at a time": lambda on: on.small.compile(at_time=on.log[2].created_at),
    "compile at an early time": lambda on: on.small.compile(at_time=on.log[20].created_at),
    "compile at a commit": lambda on: on.small.compile(at_commit=on.log[4].commit_hash),
    "query": lambda on: on.small.query(config("temperature") > 0, branch_only=True),
    "query that finds nothing": lambda on: on.small.query(
        config("model") == "none", branch_only=True
    ),
    "diff": lambda on: on.small.diff("small", "side"),
    "compare": lambda on: on.small.compare(["small", "side"]),
    "compare alone": lambda on: on.small.compare(["side"]),
    "stats": lambda on: on.small.stats(),
    "record_usage": lambda on: on.small.record_usage(TokenUsage(1)),
    "commit": lambda on: on.small.user("more"),
    "edit": lambda on: edit(on.small, on.oldest),
    "edit of the other branch's": lambda on: edit(on.side, on.oldest),
    "annotate": lambda on: on.side.annotate(on.oldest, Priority.PINNED),
    "get_annotations": lambda on: on.side.get_annotations(on.oldest),
    "watch": lambda on: first(on.small.watch(after=on.log[3].commit_hash)),
    "cherry_pick": lambda on: on.small.cherry_pick(on.oldest),
    "merge": lambda on: on.small.merge("side", on_conflict="ours"),
    "origins": lambda on: on.small.origins(on.log[0].commit_hash),
    "origins of all": lambda on: on.small.origins(),
    "compile a merge": lambda on: on.small.compile(),
    "log after a merge": lambda on: on.small.log(5, before=on.log[2].commit_hash),
    "log of a merge in context order": lambda on: on.small.log(None, order="context"),
    "watch what a merge brought": lambda on: first(on.small.watch(after=on.log[0].commit_hash)),
    "fork": lambda on: on.small.fork("late", at_commit=on.log[5].commit_hash),
    "reset": lambda on: on.side.reset(on.oldest),
    "delete_branch": lambda on: on.small.delete_branch("side"),
    "delete_branch refused": lambda on: refused(on.small.on("late").delete_branch("small")),
}


async def costs(path: Path) -> dict[str, int]:
    """Return the steps of each verb, all in one store that was just opened."""
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        log = await store.tract("agent", branch="small").log(None)
    async with counted(path) as (store, work):
        small = store.tract("agent", branch="small")
        on = Scene(small, small.on("side"), log)
        return {name: await work.of(verb(on)) for name, verb in VERBS.items()}


@pytest.mark.parametrize("way", INTERLEAVED)
async def test_a_verb_costs_what_its_branch_holds(tmp_path: Path, way: str) -> None:
    await grow(tmp_path / "own.db", [0] * 22)
    await grow(tmp_path / "among.db", INTERLEAVED[way])

    alone, among = await costs(tmp_path / "own.db"), await costs(tmp_path / "among.db")

    dear = {name: (alone[name], among[name]) for name in VERBS if among[name] > MOST * alone[name]}
    assert not dear
