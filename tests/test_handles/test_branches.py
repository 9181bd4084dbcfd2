"""Branches: forked for one row, moved, compared and deleted; each handle stays on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from support.probes import probe
from support.rows import row_counts
from support.saying import say, texts
from tract import (
    AsyncTract,
    BranchExistsError,
    BranchNotFoundError,
    BranchNotMergedError,
    CommitNotFoundError,
    CommitOperation,
    EntryChange,
    MergeKind,
    NullTokenCounter,
    Priority,
    StoreClosedError,
    TokenUsage,
    TractError,
    TractStore,
)

COUNTER = NullTokenCounter()


# forking


@pytest.mark.parametrize("length", [1, 300])
async def test_a_fork_is_one_row_whatever_the_history(
    main: AsyncTract, db_path: Path, length: int
) -> None:
    async with main.batch() as batch:
        for number in range(length):
            batch.commit({"content_type": "freeform", "payload": number})
    before, trips = row_counts(db_path), probe(main).trips
    await main.fork("experiment")

    assert probe(main).trips - trips == 1
    assert row_counts(db_path) == {**before, "refs": before["refs"] + 1}


async def test_the_first_compile_of_a_fork_is_a_cache_hit(
    store: TractStore, main: AsyncTract
) -> None:
    await say(main, "a", "b")
    context = await main.compile()
    fork = await main.fork("experiment")
    before = store.cache_info()

    assert await fork.compile() == context
    after = store.cache_info()
    assert (after.hits, after.folds, after.misses) == (
        before.hits + 1,
        before.folds,
        before.misses,
    )


async def test_a_fork_and_its_origin_go_their_own_ways(main: AsyncTract) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    await say(main, "b")
    await say(fork, "c")

    assert (main.branch, fork.branch) == ("main", "experiment")
    assert await texts(main) == ["a", "b"]
    assert await texts(fork) == ["a", "c"]


async def test_a_fork_starts_at_a_commit_a_tag_or_another_branch(main: AsyncTract) -> None:
    a, b, _ = await say(main, "a", "b", "c")
    await main.tag("v1", a.commit_hash)
    side = await main.fork("side", at_commit=b.commit_hash)
    await say(side, "x")

    assert await texts(await main.fork("by-hash", at_commit=b.commit_hash)) == ["a", "b"]
    assert await texts(await main.fork("by-tag", at_commit="v1")) == ["a"]
    assert await texts(await main.fork("by-branch", at_commit="side")) == ["a", "b", "x"]


async def test_a_fork_of_a_fork_may_be_edited_where_it_shares(main: AsyncTract) -> None:
    [a] = await say(main, "a")
    inner = await (await main.fork("outer")).fork("outer/inner")
    await inner.user("A", operation=CommitOperation.EDIT, edit_target=a.commit_hash)
    await inner.annotate(a.commit_hash, Priority.PINNED)

    assert await texts(inner) == ["A"]
    assert await texts(main) == ["a"]
    assert await main.get_annotations(a.commit_hash) == []


async def test_a_name_that_is_taken_makes_no_fork(main: AsyncTract, db_path: Path) -> None:
    await say(main, "a")
    await main.fork("experiment")
    before = row_counts(db_path)

    for name in ("experiment", "main"):
        with pytest.raises(BranchExistsError) as told:
            await main.fork(name)
        assert told.value.name == name
    assert row_counts(db_path) == before


async def test_a_fork_starts_at_a_commit_that_is_there(main: AsyncTract) -> None:
    await say(main, "a")
    for unknown in ("0" * 64, "nothing", ""):
        with pytest.raises(CommitNotFoundError):
            await main.fork("experiment", at_commit=unknown)

    assert [branch.name for branch in await main.branches()] == ["main"]


async def test_forks_of_many_tasks_are_all_there(main: AsyncTract) -> None:
    await say(main, "a")
    forks = await asyncio.gather(*(main.fork(f"b{n}") for n in range(50)))
    await asyncio.gather(*(fork.user(fork.branch) for fork in forks))

    assert [await texts(fork) for fork in forks] == [["a", fork.branch] for fork in forks]
    assert len(await main.branches()) == 51
    assert (await main.verify()).faults == ()


async def test_of_two_forks_of_one_name_one_is_made(main: AsyncTract) -> None:
    await say(main, "a")
    done = await asyncio.gather(*(main.fork("x") for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(item, AsyncTract) for item in done) == 1
    assert sum(isinstance(item, BranchExistsError) for item in done) == 4


# handles


async def test_a_handle_on_a_branch_costs_nothing_and_shares_it(main: AsyncTract) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    trips = probe(main).trips
    again = main.on("experiment")

    assert probe(main).trips == trips
    await say(fork, "b")
    assert await texts(again) == ["a", "b"]
    assert type(again) is AsyncTract


MISSING: dict[str, Callable[[AsyncTract], Awaitable[Any]]] = {
    "commit": lambda tract: tract.user("x"),
    "batch": lambda tract: _batch(tract),
    "compile": lambda tract: tract.compile(),
    "head": lambda tract: tract.head(),
    "log": lambda tract: tract.log(),
    "fork": lambda tract: tract.fork("other"),
    "tag": lambda tract: tract.tag("v1"),
    "reset": lambda tract: tract.reset("0" * 64),
    "merge": lambda tract: tract.merge("main"),
    "stats": lambda tract: tract.stats(),
    "usage": lambda tract: tract.record_usage(TokenUsage(1)),
}


async def _batch(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        batch.commit({"content_type": "freeform", "payload": 1})


@pytest.mark.parametrize("call", MISSING)
async def test_a_branch_that_is_not_there_is_told_by_every_call(
    main: AsyncTract, db_path: Path, call: str
) -> None:
    await say(main, "a")
    before = row_counts(db_path)

    with pytest.raises(BranchNotFoundError, match="'nothing'") as told:
        await MISSING[call](main.on("nothing"))
    assert told.value.name == "nothing"
    assert row_counts(db_path) == before


async def test_main_is_always_there(main: AsyncTract) -> None:
    again = main.on("main")

    assert await again.head() is None
    assert await again.log() == []
    assert (await again.compile()).to_dicts() == []
    assert (await again.stats()).commits == 0
    await say(again, "a")
    assert await texts(main) == ["a"]


async def test_a_handle_outlives_its_branch_and_serves_the_next_of_that_name(
    main: AsyncTract,
) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    await main.delete_branch("experiment")
    for call in ("commit", "compile", "head", "log"):
        with pytest.raises(BranchNotFoundError):
            await MISSING[call](fork)
    await main.fork("experiment")

    await say(fork, "b")
    assert await texts(fork) == ["a", "b"]


async def test_a_closed_handle_leaves_those_on_other_branches_open(main: AsyncTract) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    await fork.aclose()

    with pytest.raises(StoreClosedError):
        fork.on("main")
    with pytest.raises(StoreClosedError):
        await fork.branches()
    assert await texts(main.on("experiment")) == ["a"]


# deleting


async def test_a_handle_does_not_delete_its_own_branch(main: AsyncTract) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")

    for force in (False, True):
        with pytest.raises(TractError, match="own branch"):
            await fork.delete_branch("experiment", force=force)
    assert await fork.head() is not None
    await fork.delete_branch("main")
    assert await main.head() is None


async def test_work_that_is_nowhere_else_is_kept_unless_forced(main: AsyncTract) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    [b] = await say(fork, "b")

    with pytest.raises(BranchNotMergedError) as told:
        await main.delete_branch("experiment")
    assert (told.value.name, told.value.head_hash) == ("experiment", b.commit_hash)
    assert await fork.head() == b.commit_hash
    await main.delete_branch("experiment", force=True)
    assert [branch.name for branch in await main.branches()] == ["main"]
    assert await texts(main, b.commit_hash) == ["a", "b"]
    assert await main.get_commit(b.commit_hash) == b


async def synced(main: AsyncTract, fork: AsyncTract) -> None:
    """Leave the fork a merge that brought it what is here, and that nobody needs."""
    await say(main, "c")
    await main.merge("experiment")
    await fork.merge("main")
    assert (await main.merge("experiment")).kind is MergeKind.UP_TO_DATE
    assert await fork.head() not in [info.commit_hash for info in await main.log(None)]


KEPT: dict[str, Callable[[AsyncTract, AsyncTract], Awaitable[Any]]] = {
    "merged": lambda main, fork: main.merge("experiment", fast_forward=False),
    "fast-forward": lambda main, fork: main.merge("experiment"),
    "squashed": lambda main, fork: main.merge(
        "experiment", squash={"content_type": "freeform", "payload": 1}
    ),
    "merged, and merged back": lambda main, fork: synced(main, fork),
    "tagged": lambda main, fork: fork.tag("v1"),
    "forked": lambda main, fork: fork.fork("other"),
}


@pytest.mark.parametrize("way", KEPT)
async def test_work_that_is_kept_elsewhere_lets_its_branch_go(main: AsyncTract, way: str) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    await say(fork, "b")
    await KEPT[way](main, fork)
    await main.delete_branch("experiment")

    assert "experiment" not in {branch.name for branch in await main.branches()}


async def test_work_after_a_squash_is_not_kept_by_it(main: AsyncTract) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    await say(fork, "b")
    await main.merge("experiment", squash={"content_type": "freeform", "payload": 1})
    await say(fork, "c")

    with pytest.raises(BranchNotMergedError):
        await main.delete_branch("experiment")


async def test_work_behind_a_merge_is_not_kept_by_what_was_merged(main: AsyncTract) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    await say(fork, "b")
    await synced(main, fork)
    await say(fork, "d")
    await say(main, "e")
    await fork.merge("main")

    with pytest.raises(BranchNotMergedError):
        await main.delete_branch("experiment")


async def test_a_branch_that_is_not_there_cannot_be_deleted(main: AsyncTract) -> None:
    await say(main, "a")

    with pytest.raises(BranchNotFoundError):
        await main.delete_branch("nothing", force=True)
    with pytest.raises(BranchNotFoundError):
        await main.on("nothing").delete_branch("nobody")


# beside each other


async def test_branches_are_listed_by_name_with_their_heads_and_times(main: AsyncTract) -> None:
    a, b = await say(main, "a", "b")
    await main.fork("z", at_commit=a.commit_hash)
    fork = await main.fork("b/c")
    [c] = await say(fork, "c")
    listed = await main.branches()

    assert [(branch.name, branch.head_hash) for branch in listed] == [
        ("b/c", c.commit_hash),
        ("main", b.commit_hash),
        ("z", a.commit_hash),
    ]
    assert listed[1].created_at == a.created_at
    assert listed[1].updated_at == b.created_at
    assert b.created_at < listed[0].created_at < listed[0].updated_at == c.created_at
    assert await fork.branches() == listed


async def test_branches_of_other_tracts_are_others(store: TractStore, main: AsyncTract) -> None:
    await say(main, "a")
    await main.fork("experiment")
    other = store.tract("other")
    await say(other, "b")

    assert [branch.name for branch in await other.branches()] == ["main"]
    assert await store.tract("nobody").branches() == []
    for call in (other.on("experiment").head(), other.merge("experiment")):
        with pytest.raises(BranchNotFoundError):
            await call
    await other.fork("experiment")
    assert await texts(main.on("experiment")) == ["a"]


async def test_all_of_it_is_there_after_reopening(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as main:
        await say(main, "a")
        await say(await main.fork("experiment"), "b")
        before = await main.branches()
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as again:
        assert await again.branches() == before
        assert await texts(again.on("experiment")) == ["a", "b"]


async def test_a_difference_is_told_entry_by_entry(main: AsyncTract) -> None:
    a, b, c = await say(main, "a", "b", "c")
    fork = await main.fork("experiment")
    await fork.user("A", operation=CommitOperation.EDIT, edit_target=a.commit_hash)
    await fork.annotate(b.commit_hash, Priority.SKIP)
    await fork.user(
        "c",
        operation=CommitOperation.EDIT,
        edit_target=c.commit_hash,
        generation_config={"model": "m"},
    )
    [d] = await say(fork, "d")
    [e] = await say(main, "e")
    difference = await main.diff("main", "experiment")

    assert [(entry.commit_hash, entry.changes) for entry in difference.entries] == [
        (a.commit_hash, (EntryChange.EDITED,)),
        (b.commit_hash, (EntryChange.REPRIORITISED,)),
        (c.commit_hash, (EntryChange.CONFIG_CHANGED,)),
        (e.commit_hash, (EntryChange.REMOVED,)),
        (d.commit_hash, (EntryChange.ADDED,)),
    ]
    assert (await main.diff("main", "main")).entries == ()
