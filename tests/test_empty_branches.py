"""None is the moment before the first commit wherever a commit is named, and branches may be empty."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from support.opening import COUNTER
from support.replies import drained, reply
from tract import (
    AsyncTract,
    BranchExistsError,
    BranchNotFoundError,
    BranchReset,
    BudgetAction,
    CommitNotFoundError,
    CommitOperation,
    DialogueContent,
    EditTargetError,
    MergeKind,
    Priority,
    TokenBudgetConfig,
    TokenUsage,
    TractConfig,
    TractError,
    TractStore,
    config,
)

SQUASH = DialogueContent(role="user", text="squashed")


@pytest_asyncio.fixture(params=["cached", "budgeted"])
async def store(target: Path | str, request: pytest.FixtureRequest) -> AsyncIterator[TractStore]:
    budget = TokenBudgetConfig(max_tokens=10**9, action=BudgetAction.REJECT)
    options = TractConfig(token_budget=budget if request.param == "budgeted" else None)
    async with TractStore.open(target, tokenizer=COUNTER, config=options) as store:
        yield store


async def texts(tract: AsyncTract) -> list[str | None]:
    context = await tract.compile(aggregate_same_role=False)
    return [message.content for message in context.messages]


async def heads(tract: AsyncTract) -> dict[str, str | None]:
    return {branch.name: branch.head_hash for branch in await tract.branches()}


# naming the moment before the first commit


async def test_editing_the_first_message_forks_before_it(main: AsyncTract) -> None:
    first = await main.user("q1")
    await main.assistant("a1")
    edited = await main.fork("edited", at_commit=first.parent_hash)
    asked = await edited.user("q1, edited")

    assert asked.parent_hash is None
    assert await texts(edited) == ["q1, edited"]
    assert await texts(main) == ["q1", "a1"]


async def test_the_context_before_the_first_commit_is_empty(main: AsyncTract) -> None:
    first = await main.user("q1")
    context = await main.compile(at_commit=first.parent_hash)

    assert context.messages == []
    assert (context.head_hash, context.commit_count, context.token_count) == (None, 0, 0)
    assert (await main.compile()).head_hash == first.commit_hash


async def test_a_context_at_none_and_at_a_time_is_asked_for_twice(main: AsyncTract) -> None:
    with pytest.raises(ValueError, match="not both"):
        await main.compile(at_commit=None, at_time=datetime.now(UTC))


async def test_the_log_pages_to_its_end_and_there_is_nothing_before(main: AsyncTract) -> None:
    first = await main.user("q1")
    last = await main.user("q2")
    pages = [await main.log(1)]
    while pages[-1]:
        pages.append(await main.log(1, before=pages[-1][-1].commit_hash))

    assert pages == [[last], [first], []]
    assert await main.log(None, before=first.parent_hash) == []
    assert await main.log(before=None) == []


async def test_a_tag_names_a_commit_and_not_nothing(main: AsyncTract) -> None:
    first = await main.user("q1")
    with pytest.raises(TractError, match="not the moment before the first"):
        await main.tag("v0", first.parent_hash)

    assert await main.tags() == []


async def test_no_commit_came_from_anywhere(main: AsyncTract) -> None:
    first = await main.user("q1")
    [picked] = await main.cherry_pick(first.commit_hash)

    assert [origin.commit_hash for origin in await main.origins()] == [picked.commit_hash]
    assert await main.origins(None) == []
    assert await main.origins(first.commit_hash) == []


async def test_contexts_are_compared_with_the_one_before_the_first_commit(
    main: AsyncTract,
) -> None:
    first = await main.user("q1")
    added, removed = await main.diff(None, "main"), await main.diff("main", first.parent_hash)

    assert [entry.changes for entry in added.entries] == [("added",)]
    assert [entry.changes for entry in removed.entries] == [("removed",)]
    assert (await main.diff(None, None)).entries == ()


async def test_usage_of_an_empty_context_belongs_to_no_commit(main: AsyncTract) -> None:
    with pytest.raises(TractError, match="the context was empty"):
        await main.record_usage(TokenUsage(1))
    first = await main.user("q1")
    with pytest.raises(TractError, match="the context was empty"):
        await main.record_usage(TokenUsage(1), head_hash=first.parent_hash)

    assert (await main.compile()).token_source == "null"


async def test_a_reply_to_an_empty_context_is_committed_without_its_usage(main: AsyncTract) -> None:
    chunk = {
        "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    first = await main.user("q1")
    await drained(main.record_openai(reply(chunk), head_hash=first.parent_hash))

    assert await texts(main) == ["q1", "hi"]
    assert (await main.compile(at_commit=first.commit_hash)).token_source == "null"


# emptying a branch


async def test_a_reset_to_none_empties_a_branch(main: AsyncTract) -> None:
    first = await main.user("a")
    last = await main.user("b")
    info = await main.reset(None, reason="anew")

    assert (info.name, info.head_hash) == ("main", None)
    assert await main.head() is None
    assert await texts(main) == []
    assert await main.log(None) == []
    assert await main.query(branch_only=True) == []
    assert await main.get_annotations(first.commit_hash) == []
    assert await heads(main) == {"main": None}
    assert await main.get_commit(last.commit_hash) == last
    assert (await main.compile(at_commit=last.commit_hash)).commit_count == 2


async def test_the_reflog_tells_that_a_branch_was_emptied(main: AsyncTract) -> None:
    await main.user("a")
    last = await main.user("b")
    await main.reset(None, reason="anew")
    again = await main.user("c")
    moves = await main.reflog()

    assert [(move.old_hash, move.new_hash, move.action) for move in moves[:2]] == [
        (None, again.commit_hash, "append"),
        (last.commit_hash, None, "reset"),
    ]
    assert moves[1].note == "anew"
    assert again.parent_hash is None


async def test_an_emptied_branch_starts_anew(main: AsyncTract) -> None:
    old = await main.user("a")
    await main.reset(None)
    new = await main.user("b", expected_head=None)

    assert await texts(main) == ["b"]
    assert [info.commit_hash for info in await main.log(None)] == [new.commit_hash]
    with pytest.raises(TractError, match="not in the history"):
        await main.reset(old.commit_hash)
    assert (await main.verify()).faults == ()


async def test_a_branch_is_emptied_and_filled_in_any_order(main: AsyncTract) -> None:
    made = []
    for number in range(3):
        made.append(await main.user(f"first {number}"))
        await main.user(f"second {number}")
        await main.reset(None)
        await main.reset(None)

    assert [info.parent_hash for info in made] == [None, None, None]
    assert [move.action for move in await main.reflog()][:3] == ["reset", "reset", "append"]
    report = await main.verify()
    assert (report.checked, report.faults) == (6, ())


async def test_a_branch_that_was_never_committed_to_can_be_emptied(main: AsyncTract) -> None:
    info = await main.reset(None)

    assert info.head_hash is None
    assert await heads(main) == {"main": None}
    assert [move.action for move in await main.reflog()] == ["reset"]
    assert (await main.user("a")).parent_hash is None


async def test_the_time_before_an_emptied_branchs_commits_gives_an_empty_context(
    main: AsyncTract,
) -> None:
    old = await main.user("a")
    await main.reset(None)
    assert (await main.compile(at_time=old.created_at)).head_hash is None
    new = await main.user("b")

    assert (await main.compile(at_time=old.created_at)).head_hash is None
    assert (await main.compile(at_time=new.created_at)).head_hash == new.commit_hash


async def test_who_watches_is_told_that_a_branch_was_emptied(main: AsyncTract) -> None:
    old = await main.user("a")
    async with main.watch(resets=True) as watch:
        assert await anext(watch) == old
        await main.reset(None)
        new = await main.user("b")
        async with asyncio.timeout(20):
            reset, commit = await anext(watch), await anext(watch)

    assert isinstance(reset, BranchReset)
    assert (reset.old_hash, reset.new_hash) == (old.commit_hash, None)
    assert commit == new


@pytest.mark.parametrize("after", [None, "head", "empty"])
async def test_an_empty_branch_is_watched_from_its_beginning(
    main: AsyncTract, after: str | None
) -> None:
    empty = await main.fork("empty")
    async with empty.watch(after) as watch:
        first = await empty.user("a")
        async with asyncio.timeout(20):
            assert await anext(watch) == first


# empty branches beside others


async def emptied(main: AsyncTract) -> AsyncTract:
    branch = await main.fork("empty")
    await branch.reset(None)
    return branch


async def of_an_empty_one(main: AsyncTract) -> AsyncTract:
    branch = await (await main.fork("source", at_commit=None)).fork("empty")
    await main.delete_branch("source")
    return branch


async def by_name(main: AsyncTract) -> AsyncTract:
    await main.fork("source", at_commit=None)
    branch = await main.fork("empty", at_commit="source")
    await main.delete_branch("source")
    return branch


WAYS: dict[str, Callable[[AsyncTract], Awaitable[AsyncTract]]] = {
    "at none": lambda main: main.fork("empty", at_commit=None),
    "emptied": emptied,
    "of an empty one": of_an_empty_one,
    "by name": by_name,
}
"""The ways to an empty branch, each of which makes one called `empty`."""


@pytest.mark.parametrize("way", WAYS)
async def test_an_empty_branch_is_there(main: AsyncTract, way: str) -> None:
    first = await main.user("a")
    empty = await WAYS[way](main)

    assert await heads(main) == {"empty": None, "main": first.commit_hash}
    assert await empty.head() is None
    assert await texts(main.on("empty")) == []
    with pytest.raises(BranchExistsError):
        await main.fork("empty")
    assert (await empty.stats()).commits == 0
    assert (await main.verify()).faults == ()
    assert await empty.log(None) == []
    assert await empty.query(config("model") == "m", branch_only=True) == []
    assert (await empty.user("b", expected_head=None)).parent_hash is None


@pytest.mark.parametrize("way", WAYS)
async def test_an_empty_branch_is_merged(main: AsyncTract, way: str) -> None:
    first = await main.user("a")
    empty = await WAYS[way](main)
    from_empty = await main.merge("empty")
    squashed = await main.merge("empty", squash=SQUASH)
    into_empty = await empty.merge("main")

    assert (from_empty.kind, from_empty.head_hash) == (MergeKind.UP_TO_DATE, first.commit_hash)
    assert squashed.kind is MergeKind.UP_TO_DATE
    assert (into_empty.kind, into_empty.head_hash) == (MergeKind.FAST_FORWARD, first.commit_hash)
    assert await texts(empty) == ["a"]
    assert (await main.reflog("empty"))[0].action == "fast-forward"
    assert (await main.verify()).faults == ()


@pytest.mark.parametrize("way", WAYS)
async def test_an_empty_branch_is_compared(main: AsyncTract, way: str) -> None:
    await main.user("a", generation_config={"model": "m"})
    await WAYS[way](main)
    await main.user("b")
    mine, empty = await main.compare(["main", "empty"])
    [alone] = await main.compare(["empty"])

    assert (empty.head_hash, empty.entries, empty.last_message) == (None, 0, None)
    assert alone == empty
    assert mine.entries == 2
    assert mine.generation_configs == ({"model": "m"},)
    assert len((await main.diff("empty", "main")).entries) == 2
    assert (await main.compile(at_commit="empty")).head_hash is None
    assert await main.log(before="empty") == []


@pytest.mark.parametrize("way", WAYS)
async def test_an_empty_branch_is_deleted(main: AsyncTract, way: str) -> None:
    await main.user("a")
    await WAYS[way](main)
    await main.delete_branch("empty")

    assert [*await heads(main)] == ["main"]
    deleted = (await main.reflog("empty"))[0]
    assert (deleted.old_hash, deleted.new_hash, deleted.action) == (None, None, "delete")
    with pytest.raises(BranchNotFoundError):
        await main.on("empty").user("b")
    with pytest.raises(CommitNotFoundError):
        await main.compile(at_commit="empty")


@pytest.mark.parametrize("way", WAYS)
async def test_an_empty_branch_is_there_after_reopening(
    store: TractStore, target: Path | str, way: str
) -> None:
    await store.tract("t").user("a")
    await WAYS[way](store.tract("t"))
    await store.tract("t").on("empty").fork("again")
    await store.aclose()
    async with TractStore.open(target, tokenizer=COUNTER) as reopened:
        main = reopened.tract("t")
        assert [*(await heads(main)).items()][:2] == [("again", None), ("empty", None)]
        assert (await main.on("again").user("b")).parent_hash is None
        assert (await main.on("empty").user("c")).parent_hash is None
        assert (await main.verify()).faults == ()


async def test_a_branch_that_was_never_committed_to_is_forked_and_merged(main: AsyncTract) -> None:
    """`main` is there before its first commit, though nothing is stored of it yet."""
    side = await main.fork("side")
    up_to_date = await side.merge("main")
    both = await side.compare(["main", "side"])
    same = await side.diff("main", "side")
    await side.user("a")
    forward = await main.merge("side")

    assert up_to_date.kind is MergeKind.UP_TO_DATE
    assert [one.head_hash for one in both] == [None, None]
    assert same.entries == ()
    assert forward.kind is MergeKind.FAST_FORWARD
    assert await texts(main) == ["a"]


async def test_squashing_into_an_empty_branch_commits_its_first(main: AsyncTract) -> None:
    await main.user("a")
    empty = await main.fork("empty", at_commit=None)
    result = await empty.merge("main", squash=SQUASH)
    [info] = await empty.log(None)

    assert (result.kind, result.head_hash) == (MergeKind.SQUASH, info.commit_hash)
    assert info.parent_hash is None


async def test_histories_that_share_nothing_are_merged(main: AsyncTract) -> None:
    await main.user("a")
    other = await main.fork("other", at_commit=None)
    await other.user("x")
    result = await main.merge("other")

    assert result.kind is MergeKind.MERGE
    assert await texts(main) == ["a", "x"]
    assert (await main.verify()).faults == ()


async def test_an_empty_branch_of_another_tract_is_none_of_this_one(store: TractStore) -> None:
    await store.tract("other").user("a")
    await store.tract("other").fork("empty", at_commit=None)
    await store.tract("t").user("b")

    for call in (
        store.tract("t").compile(at_commit="empty"),
        store.tract("t").fork("new", at_commit="empty"),
        store.tract("t").log(before="empty"),
        store.tract("t").reset("empty"),
    ):
        with pytest.raises(CommitNotFoundError):
            await call


async def test_entries_of_what_was_left_are_not_editable_after_a_reset_to_none(
    main: AsyncTract,
) -> None:
    """Neither by themselves nor from a segment that went on."""
    old = await main.user("a")
    await main.reset(None)
    await main.user("b")

    with pytest.raises(EditTargetError, match="not in this branch's history"):
        await main.user("x", operation=CommitOperation.EDIT, edit_target=old.commit_hash)
    with pytest.raises(EditTargetError, match="not in this branch's history"):
        await main.annotate(old.commit_hash, Priority.SKIP)


async def test_many_branches_are_emptied_and_filled_at_once(main: AsyncTract) -> None:
    await main.user("a")

    async def turn(number: int) -> None:
        branch = await main.fork(f"b{number}")
        await branch.user("old")
        await branch.reset(None)
        await branch.user(f"new {number}")

    await asyncio.gather(*(turn(number) for number in range(20)))

    assert [await texts(main.on(f"b{n}")) for n in range(20)] == [[f"new {n}"] for n in range(20)]
    assert (await main.verify()).faults == ()


# rows that do not fit


async def test_verify_tells_of_a_branch_that_has_lost_its_head(db_path: Path) -> None:
    """A run that began at a commit has not ended empty; nor is such a branch written to."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        first = await store.tract("t").user("a")
        await (await store.tract("t").fork("side")).user("b")
    with closing(sqlite3.connect(db_path)) as damaging, damaging:
        damaging.execute("UPDATE refs SET commit_hash = NULL WHERE name = 'refs/heads/side'")
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        faults = (await store.tract("t").verify()).faults
        with pytest.raises(TractError, match="does not fit its head"):
            await store.tract("t", branch="side").user("c")

    assert [fault.commit_hash for fault in faults] == [first.commit_hash]
    assert "'side'" in faults[0].problem
