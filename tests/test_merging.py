"""Merging: what moves, what is committed, and what a context then shows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel

from support.rows import row_counts
from support.saying import say, texts
from tract import (
    UNSET,
    AsyncTract,
    BlobNotFoundError,
    BranchNotFoundError,
    BudgetAction,
    BudgetExceededError,
    CommitInfo,
    CommitOperation,
    ContentValidationError,
    MergeContent,
    MergeKind,
    NullTokenCounter,
    OutputContent,
    Priority,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
)

COUNTER = NullTokenCounter()
EDIT = CommitOperation.EDIT


@pytest_asyncio.fixture
async def main(store: TractStore) -> AsyncTract:
    """A branch with one entry, `a`."""
    main = store.tract("t")
    await main.user("a")
    return main


async def edited(tract: AsyncTract, target: str | None, text: str, **options: Any) -> CommitInfo:
    assert target is not None
    return await tract.user(text, operation=EDIT, edit_target=target, **options)


# what a merge comes to


async def test_what_is_contained_already_changes_nothing(main: AsyncTract, db_path: Path) -> None:
    fork = await main.fork("fork")
    head = (await say(main, "b"))[0].commit_hash
    before = row_counts(db_path)

    for branch in ("fork", "main"):
        result = await main.merge(branch, fast_forward=False)
        assert (result.kind, result.head_hash) == (MergeKind.UP_TO_DATE, head)
        assert (result.merged, result.conflicts) == ((), ())
    assert row_counts(db_path) == before
    assert await texts(fork) == ["a"]


async def test_a_branch_with_nothing_of_its_own_moves(main: AsyncTract, db_path: Path) -> None:
    fork = await main.fork("fork")
    b, c = await say(fork, "b", "c")
    before = row_counts(db_path)
    result = await main.merge("fork")

    assert (result.kind, result.head_hash) == (MergeKind.FAST_FORWARD, c.commit_hash)
    assert result.merged == (b.commit_hash, c.commit_hash)
    assert row_counts(db_path) == {**before, "runs": before["runs"] + 1}
    assert await main.compile() == await fork.compile()


async def test_it_gets_a_merge_commit_where_it_is_not_to_move(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    [b] = await say(fork, "b")
    a = await main.head()
    result = await main.merge("fork", fast_forward=False, message="take it")
    [merge, *_] = await main.log()

    assert (result.kind, result.head_hash) == (MergeKind.MERGE, merge.commit_hash)
    assert (merge.parent_hash, merge.merge_parent) == (a, b.commit_hash)
    assert (merge.operation, merge.content_type) == (CommitOperation.MERGE, "merge")
    assert merge.message == "take it"
    assert await main.get_content(merge.commit_hash) == MergeContent(branch="fork")
    assert await texts(main) == ["a", "b"]


async def test_the_others_entries_follow_ours_in_their_order(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    b, d = (await say(fork, "b"))[0], None
    await say(main, "c")
    [d] = await say(fork, "d")
    await say(main, "e")
    result = await main.merge("fork")

    assert result.merged == (b.commit_hash, d.commit_hash)
    assert await texts(main) == ["a", "c", "e", "b", "d"]
    assert await texts(fork) == ["a", "b", "d"]
    assert (await main.verify()).faults == ()


async def test_the_others_edits_and_annotations_hold(main: AsyncTract) -> None:
    a = await main.head()
    [b] = await say(main, "b")
    fork = await main.fork("fork")
    await edited(fork, a, "A", generation_config={"model": "m"})
    await fork.annotate(b.commit_hash, Priority.SKIP)
    await say(main, "c")
    await main.merge("fork")
    context = await main.compile(aggregate_same_role=False)

    assert await texts(main) == ["A", "c"]
    assert context.generation_configs == [{"model": "m"}, {}]
    assert [item.priority for item in await main.get_annotations(b.commit_hash)] == ["skip"]


async def test_a_branch_that_had_merged_this_one_is_merged_and_not_moved_to(
    main: AsyncTract,
) -> None:
    """There our entries stand behind the other's, and a prompt that begins with ours must stay."""
    fork = await main.fork("fork")
    await say(fork, "f")
    await say(main, "m")
    await fork.merge("main")
    theirs = await fork.head()
    result = await main.merge("fork")

    assert result.kind is MergeKind.MERGE
    assert (await main.log(1))[0].merge_parent == theirs
    assert await texts(main) == ["a", "m", "f"]
    assert await texts(fork) == ["a", "f", "m"]


@pytest.mark.parametrize("fast_forward", [True, False])
async def test_branches_that_merge_each_other_come_to_rest(
    main: AsyncTract, db_path: Path, fast_forward: bool
) -> None:
    fork = await main.fork("fork")
    await say(fork, "f")
    await say(main, "m")
    for tract, other in ((fork, "main"), (main, "fork")):
        assert (await tract.merge(other)).kind is MergeKind.MERGE
    before = row_counts(db_path)

    for tract, other in ((fork, "main"), (main, "fork"), (fork, "main")):
        result = await tract.merge(other, fast_forward=fast_forward)
        assert (result.kind, result.head_hash) == (MergeKind.UP_TO_DATE, await tract.head())
        assert (result.merged, result.conflicts) == ((), ())
    assert row_counts(db_path) == before


async def test_a_decision_reaches_who_has_decided_nothing_since(main: AsyncTract) -> None:
    """Though no commit but the merge tells of it: what it shows is what was decided."""
    fork = await main.fork("fork")
    a = await main.head()
    for tract in (main, fork):
        await edited(tract, a, tract.branch)
    await main.fork("was")
    await main.merge("fork", on_conflict="theirs")
    await fork.merge("was", on_conflict="theirs")
    assert (await texts(main), await texts(fork)) == (["fork"], ["main"])
    await main.merge("fork", on_conflict="ours")
    await fork.merge("main")

    assert await texts(main) == await texts(fork) == ["fork"]


async def test_an_empty_main_takes_a_branch_as_it_is(main: AsyncTract, store: TractStore) -> None:
    fork = await main.fork("fork")
    await say(fork, "b")
    await fork.delete_branch("main")
    result = await main.merge("fork", fast_forward=False)

    assert result.kind is MergeKind.FAST_FORWARD
    assert len(result.merged) == 2
    assert await main.head() == await fork.head()
    newest = (await main.reflog("main"))[0]
    assert (newest.action, newest.note, newest.old_hash) == ("fast-forward", "to fork", None)


async def test_branches_that_share_nothing_are_put_behind_each_other(store: TractStore) -> None:
    one, other = store.tract("u"), store.tract("u", branch="other")
    await say(one, "a")
    await say(other, "b")

    assert (await one.merge("other")).kind is MergeKind.MERGE
    assert await texts(one) == ["a", "b"]


async def test_what_is_not_there_cannot_be_merged(main: AsyncTract, store: TractStore) -> None:
    """Nor is a branch of another tract."""
    await say(store.tract("other", branch="side"), "x")
    for name in ("nothing", "side", "0123"):
        with pytest.raises(BranchNotFoundError):
            await main.merge(name)


@pytest.mark.parametrize("bad", ["RAISE", "", "mine", None, 1, ["ours"]])
async def test_an_unknown_way_with_conflicts_is_refused_at_once(main: AsyncTract, bad: Any) -> None:
    with pytest.raises(ValueError, match="on_conflict must be"):
        await main.merge("main", on_conflict=bad)


async def test_a_message_that_is_none_is_refused_at_once(main: AsyncTract) -> None:
    for bad in (1, "\ud800"):
        with pytest.raises(ContentValidationError):
            await main.merge("main", message=bad)  # type: ignore[arg-type]


# repeated and crossed


async def test_repeated_merges_bring_only_what_is_new(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    expected = ["a"]
    for number in range(4):
        await say(main, f"main {number}")
        new = await say(fork, f"fork {number}")
        result = await main.merge("fork")
        assert result.merged == tuple(info.commit_hash for info in new)
        expected += [f"main {number}", f"fork {number}"]

    assert await texts(main) == expected
    assert (await main.merge("fork")).kind is MergeKind.UP_TO_DATE


async def test_criss_cross_merges_duplicate_nothing(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    await say(main, "m")
    await say(fork, "f")
    was = await main.fork("was")
    await main.merge("fork")
    await fork.merge("was")
    await say(main, "m2")
    await say(fork, "f2")
    await main.merge("fork")
    await fork.merge("main")

    assert await texts(main) == ["a", "m", "f", "m2", "f2"]
    assert await texts(fork) == ["a", "f", "m", "f2", "m2"]
    assert await texts(was) == ["a", "m"]
    assert (await main.verify()).faults == ()


async def test_a_log_across_merges_pages_through_each_commit_once(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    for number in range(6):
        await say(main, "m")
        await say(fork, "f")
        if number % 2:
            await main.merge("fork")
    whole = await main.log(None)
    for size in (1, 2, 5):
        paged: list[CommitInfo] = []
        while page := await main.log(size, before=paged[-1].commit_hash if paged else UNSET):
            paged += page
        assert paged == whole
    assert len(whole) == len({info.commit_hash for info in whole}) == 1 + 12 + 3
    assert [info.created_at for info in whole] == sorted(
        (info.created_at for info in whole), reverse=True
    )


async def test_a_moment_is_looked_up_along_the_first_parents(main: AsyncTract) -> None:
    """What a merge brought was not on this branch before the merge."""
    a = await main.head()
    fork = await main.fork("fork")
    [b] = await say(fork, "b")
    [c] = await say(main, "c")
    await main.merge("fork")

    assert (await main.compile(at_time=b.created_at)).head_hash == a
    assert (await main.compile(at_time=c.created_at)).head_hash == c.commit_hash
    assert (await fork.compile(at_time=c.created_at)).head_hash == b.commit_hash


async def test_a_merge_compiles_alike_from_nothing(main: AsyncTract, target: Path | str) -> None:
    fork = await main.fork("fork")
    await say(fork, "b")
    await edited(fork, await main.head(), "A")
    await say(main, "c")
    await main.merge("fork")
    await say(main, "d")
    context = await main.compile()
    for config in (None, TractConfig(cache_max_bytes=0)):
        async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER, config=config) as again:
            assert await again.compile() == context


async def test_a_brought_entry_can_be_edited_and_annotated(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    [b] = await say(fork, "b")
    await say(main, "c")
    await main.merge("fork")
    await edited(main, b.commit_hash, "B")
    await main.annotate(b.commit_hash, Priority.PINNED)

    assert await texts(main) == ["a", "c", "B"]
    assert await texts(fork) == ["a", "b"]
    assert len(await main.get_annotations(b.commit_hash)) == 1
    assert await fork.get_annotations(b.commit_hash) == []


class Note(BaseModel):
    title: str


async def test_contents_of_custom_types_are_merged(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        store.register_content_type("note", Note)
        main = store.tract("t")
        note = await main.commit({"content_type": "note", "title": "base"})
        fork = await main.fork("fork")
        for tract, title in ((main, "ours"), (fork, "theirs")):
            await tract.commit(
                {"content_type": "note", "title": title},
                operation=EDIT,
                edit_target=note.commit_hash,
            )

        async def decide(conflict: Any) -> Any:
            assert [type(side) for side in (conflict.base, conflict.ours)] == [Note, Note]
            return Note(title=f"{conflict.base.title}: {conflict.ours.title}")

        await main.merge("fork", on_conflict=decide)
        head = await main.head()
        assert head is not None
        assert await main.get_content(head) == Note(title="base: ours")


# budgets


class Letters(NullTokenCounter):
    """Counts letters."""

    def count_text(self, text: str) -> int:
        return len(text)


BRINGING: dict[str, Callable[[AsyncTract], Awaitable[Any]]] = {
    "merge": lambda main: main.merge("fork"),
    "fast-forward": lambda main: main.merge("fork"),
    "squash": lambda main: main.merge("fork", squash=OutputContent(text="s" * 50)),
    "cherry-pick": lambda main: main.cherry_pick("fork"),
}


@pytest.mark.parametrize("way", BRINGING)
async def test_what_would_exceed_the_budget_is_rejected(db_path: Path, way: str) -> None:
    """And nothing of it is written."""
    async with TractStore.open(db_path, tokenizer=Letters()) as store:
        main = store.tract("t")
        await main.user("a")
        fork = await main.fork("fork")
        await fork.user("b" * 50)
        if way != "fast-forward":
            await main.user("c")
        before = row_counts(db_path), await main.head()
    budget = TokenBudgetConfig(max_tokens=50, action=BudgetAction.REJECT)
    config = TractConfig(token_budget=budget)
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=Letters(), config=config) as main:
        with pytest.raises(BudgetExceededError):
            await BRINGING[way](main)

        assert (row_counts(db_path), await main.head()) == before
        await main.merge("fork", squash={"content_type": "freeform", "payload": "s"})


# many at once


async def test_of_merges_at_once_all_are_done(main: AsyncTract) -> None:
    forks = [await main.fork(f"fork-{number}") for number in range(8)]
    await asyncio.gather(*(fork.user(fork.branch) for fork in forks))
    await say(main, "m")
    results = await asyncio.gather(*(main.merge(fork.branch) for fork in forks))

    assert {result.kind for result in results} == {MergeKind.MERGE}
    assert sorted(await texts(main)) == sorted(["a", "m", *(fork.branch for fork in forks)])
    assert (await main.verify()).faults == ()


async def test_commits_go_on_while_a_branch_is_merged_again_and_again(main: AsyncTract) -> None:
    fork = await main.fork("fork")

    async def talk(tract: AsyncTract) -> None:
        for number in range(20):
            await tract.user(f"{tract.branch} {number}")

    async def merge() -> None:
        for _ in range(10):
            await main.merge("fork")
            await fork.merge("main")

    await asyncio.gather(talk(main), talk(fork), merge())
    await main.merge("fork")
    await fork.merge("main")

    said = await texts(main)
    assert len(said) == len(set(said)) == 41
    for branch in ("main", "fork"):
        assert [text for text in said if text.startswith(branch)] == [
            f"{branch} {number}" for number in range(20)
        ]
    assert (await main.verify()).faults == ()


async def test_a_merge_that_meets_damage_tells_of_it_and_not_of_others(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        main = store.tract("t")
        await main.user("a")
        gone = await (await main.fork("side")).user("theirs")
        await main.user("ours")
    with closing(sqlite3.connect(db_path)) as connection, connection:
        content = bytes.fromhex(gone.content_hash)
        connection.execute("DELETE FROM blobs WHERE content_hash = ?", [content])
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        with pytest.raises(BlobNotFoundError, match=gone.content_hash):
            await store.tract("t").merge("side")
