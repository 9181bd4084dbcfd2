"""What lists cost: the page, and not what they are taken from. Counted are SQLite's own steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from support.opening import COUNTER
from support.working import counted
from tract import TractStore

pytestmark = pytest.mark.unmeasured

FEW, MANY = 1_500, 4_500
Verb = Callable[[TractStore], Awaitable[object]]
PAGES: dict[str, Verb] = {
    "newest keys of a prefix": lambda store: store.tract("t").keys(
        prefix="thread/", newest=True, limit=10
    ),
    "keys of a prefix": lambda store: store.tract("t").keys(prefix="thread/", limit=10),
    "a key": lambda store: store.tract("t").get_by_keys(["thread/0000"]),
    "branches of a commit": lambda store: store.tract("t").reached_by(["first", "main"]),
    "numbers of the store": lambda store: store.info(),
}


async def filled(path: Path, commits: int) -> Path:
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        async with tract.batch() as batch:
            for number in range(commits):
                content = {"content_type": "dialogue", "role": "user", "text": "same"}
                batch.commit(content, key=f"thread/{number * 7919 % commits:04}")
        await tract.tag(
            "first", (await tract.get_by_keys(["thread/0000"])).popitem()[1].commit_hash
        )
        await tract.fork("side")
    return path


async def test_a_page_of_many_takes_as_many_steps_as_one_of_few(tmp_path: Path) -> None:
    steps: dict[str, list[int]] = {name: [] for name in PAGES}
    for commits in (FEW, MANY):
        path = await filled(tmp_path / f"{commits}.db", commits)
        async with counted(path) as (store, work):
            for name, page in PAGES.items():
                await page(store)
                steps[name].append(await work.of(page(store)))

    assert {name: few for name, (few, many) in steps.items() if many > 1.2 * few + 100} == {}
