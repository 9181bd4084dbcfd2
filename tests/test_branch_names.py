"""Names of branches and tags are those that git admits, at every call that takes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.rows import row_counts
from support.saying import say
from tract import AsyncTract, RefNameError, TractStore

BAD_NAMES: list[Any] = [
    *("", "a b", "a..b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "/a", "a/", "a//b"),
    *(".a", "a/.b", "a.", "a.lock", "a.lock/b", "@", "a@{b", "-a", "HEAD", "a\x00", "a\x7f"),
    *("a\ud800", "x" * 1_025, "0" * 64, None, 1, b"a", ["a"]),
]


NAMED: dict[str, Callable[[AsyncTract, Any], Any]] = {
    "fork": lambda tract, name: tract.fork(name),
    "on": lambda tract, name: tract.on(name).head(),
    "delete_branch": lambda tract, name: tract.delete_branch(name, force=True),
    "merge": lambda tract, name: tract.merge(name),
    "compare": lambda tract, name: tract.compare(["main", name]),
    "tag": lambda tract, name: tract.tag(name),
    "delete_tag": lambda tract, name: tract.delete_tag(name),
}


@pytest.mark.parametrize("call", NAMED)
async def test_a_bad_name_is_refused_by_every_call_that_takes_one(
    main: AsyncTract, db_path: Path, call: str
) -> None:
    await say(main, "a")
    before = row_counts(db_path)

    for name in BAD_NAMES:
        with pytest.raises(RefNameError) as told:
            await NAMED[call](main, name)
        assert told.value.name is name
    assert row_counts(db_path) == before


async def test_a_branch_of_a_bad_name_is_made_by_no_commit(store: TractStore) -> None:
    for name in BAD_NAMES:
        with pytest.raises(RefNameError):
            await store.tract("t", branch=name).user("x")

    assert await store.tract_ids() == []


async def test_one_string_is_no_list_of_names(main: AsyncTract) -> None:
    with pytest.raises(ValueError, match="names must be a list of branches, not 'main'"):
        await main.compare("main")


@pytest.mark.parametrize(
    "name", ["a/b/c", "é", "中文", "a.b", "a@b", "{a}", "x" * 1_024, "head", "#1"]
)
async def test_a_good_name_is_kept_as_it_is(main: AsyncTract, name: str) -> None:
    await say(main, "a")
    fork, tag = await main.fork(name), await main.tag(name)

    assert fork.branch == tag.name == name
    assert name in {branch.name for branch in await main.branches()}
    assert await main.on(name).head() == await main.head()
    await main.delete_branch(name)
    await main.delete_tag(name)
