"""`reset` moves a branch back, and `reflog` tells where branches have pointed, when and why."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from support.opening import with_clock
from support.saying import say, texts
from tract import (
    AsyncTract,
    CommitNotFoundError,
    ContentValidationError,
    NullTokenCounter,
    ReflogEntry,
    TractError,
    TractStore,
)

COUNTER = NullTokenCounter()


def check_chain(entries: Sequence[ReflogEntry]) -> None:
    """Check that the moves of one branch, newest first, are one chain in time."""
    for newer, older in pairwise(entries):
        assert newer.old_hash == older.new_hash
        assert newer.created_at > older.created_at


# reset


async def test_a_reset_moves_the_branch_back(main: AsyncTract) -> None:
    a, b, _ = await say(main, "a", "b", "c")
    moved = await main.reset(b.commit_hash)

    assert (moved.name, moved.head_hash) == ("main", b.commit_hash)
    assert [moved] == await main.branches()
    assert await texts(main) == ["a", "b"]
    assert [info.commit_hash for info in await main.log()] == [b.commit_hash, a.commit_hash]


async def test_what_a_reset_leaves_stays_readable_by_hash(main: AsyncTract) -> None:
    a, b, c = await say(main, "a", "b", "c")
    await main.reset(a.commit_hash)

    assert await main.get_commit(c.commit_hash) == c
    assert (await main.get_content(c.commit_hash)).model_dump()["text"] == "c"
    assert await texts(main, c.commit_hash) == ["a", "b", "c"]
    assert await main.log(before=c.commit_hash) == [b, a]
    again = await main.fork("again", at_commit=c.commit_hash)
    assert await texts(again) == ["a", "b", "c"]


async def test_what_a_reset_leaves_is_still_verified(main: AsyncTract) -> None:
    a, *_ = await say(main, "a", "b", "c")
    await main.reset(a.commit_hash)
    report = await main.verify()

    assert (report.checked, report.faults) == (3, ())


async def test_commits_after_a_reset_follow_where_it_went(main: AsyncTract) -> None:
    a, b, c = await say(main, "a", "b", "c")
    await main.reset(a.commit_hash)
    [d] = await say(main, "d")

    assert d.parent_hash == a.commit_hash
    assert d.created_at > c.created_at
    assert await texts(main) == ["a", "d"]
    assert (await main.compile(at_time=c.created_at)).head_hash == a.commit_hash
    assert (await main.compile(at_time=b.created_at)).head_hash == a.commit_hash
    assert (await main.compile(at_time=d.created_at)).head_hash == d.commit_hash
    assert (await main.verify()).faults == ()


async def test_a_reset_goes_to_a_tag_or_a_branch(main: AsyncTract) -> None:
    a, b, _ = await say(main, "a", "b", "c")
    await main.tag("v1", a.commit_hash)
    await main.fork("side", at_commit=b.commit_hash)
    await main.reset("side")
    assert await main.head() == b.commit_hash
    await main.reset("v1")
    assert await main.head() == a.commit_hash


async def test_a_reset_to_the_head_changes_nothing_but_the_reflog(main: AsyncTract) -> None:
    *_, b = await say(main, "a", "b")
    await main.reset(b.commit_hash)

    assert await main.head() == b.commit_hash
    newest = (await main.reflog())[0]
    assert (newest.action, newest.old_hash, newest.new_hash) == (
        "reset",
        b.commit_hash,
        b.commit_hash,
    )


async def test_a_reset_goes_to_what_a_merge_brought(main: AsyncTract) -> None:
    await say(main, "a")
    fork = await main.fork("experiment")
    b, _ = await say(fork, "b", "c")
    await say(main, "d")
    await main.merge("experiment")
    await main.reset(b.commit_hash)

    assert await texts(main) == ["a", "b"]


async def test_a_commit_that_is_not_in_the_history_is_refused(main: AsyncTract) -> None:
    a, b = await say(main, "a", "b")
    fork = await main.fork("experiment")
    [c] = await say(fork, "c")
    await main.reset(a.commit_hash)

    for elsewhere in (b.commit_hash, c.commit_hash, "experiment"):
        with pytest.raises(TractError, match="not in the history"):
            await main.reset(elsewhere)
    assert await main.head() == a.commit_hash


async def test_an_unknown_commit_is_refused(store: TractStore, main: AsyncTract) -> None:
    [a] = await say(main, "a")
    [foreign] = await say(store.tract("other"), "x")

    for unknown in ("0" * 64, "nothing", "", foreign.commit_hash, f"{a.commit_hash}0"):
        with pytest.raises(CommitNotFoundError):
            await main.reset(unknown)
    assert await main.head() == a.commit_hash
    assert len(await main.reflog()) == 1


async def test_a_reason_is_a_text(main: AsyncTract) -> None:
    [a] = await say(main, "a")
    for bad in (1, "\ud800"):
        with pytest.raises(ContentValidationError):
            await main.reset(a.commit_hash, reason=bad)  # type: ignore[arg-type]

    await main.reset(a.commit_hash, reason="a dead end")
    assert (await main.reflog())[0].note == "a dead end"


async def test_other_branches_stay_where_they_are(main: AsyncTract) -> None:
    a, b = await say(main, "a", "b")
    fork = await main.fork("experiment")
    await main.reset(a.commit_hash)

    assert await fork.head() == b.commit_hash
    assert await texts(fork) == ["a", "b"]


# reflog


async def test_commits_are_moves_with_what_they_did(main: AsyncTract) -> None:
    a = await main.user("a", message="first")
    await main.user("b")
    newest, oldest = await main.reflog()

    assert oldest == ReflogEntry(
        branch="main",
        old_hash=None,
        new_hash=a.commit_hash,
        action="append",
        note="first",
        created_at=a.created_at,
    )
    assert (newest.old_hash, newest.note) == (a.commit_hash, None)


async def test_every_way_to_move_a_branch_is_told(main: AsyncTract) -> None:
    a, b = await say(main, "a", "b")
    fork = await main.fork("x", at_commit=a.commit_hash)
    [c] = await say(fork, "c")
    merge = await main.merge("x")
    await main.reset(b.commit_hash, reason="no")
    ahead = await main.fork("ahead")
    [d] = await say(ahead, "d")
    await main.merge("ahead")
    await main.delete_branch("ahead")
    told = await main.reflog()

    assert [
        (move.branch, move.action, move.note, move.old_hash, move.new_hash) for move in told
    ] == [
        ("ahead", "delete", None, d.commit_hash, None),
        ("main", "fast-forward", "to ahead", b.commit_hash, d.commit_hash),
        ("ahead", "append", None, b.commit_hash, d.commit_hash),
        ("ahead", "fork", "from main", None, b.commit_hash),
        ("main", "reset", "no", merge.head_hash, b.commit_hash),
        ("main", "merge", "Merge branch 'x'", b.commit_hash, merge.head_hash),
        ("x", "append", None, a.commit_hash, c.commit_hash),
        ("x", "fork", f"from {a.commit_hash}", None, a.commit_hash),
        ("main", "append", None, a.commit_hash, b.commit_hash),
        ("main", "append", None, None, a.commit_hash),
    ]
    assert [move.created_at for move in told] == sorted(
        (move.created_at for move in told), reverse=True
    )


async def test_the_moves_of_one_branch_are_one_chain(main: AsyncTract) -> None:
    a, b, _ = await say(main, "a", "b", "c")
    for to in (b, a, a):
        await main.reset(to.commit_hash)
    await say(main, "d")
    await (await main.fork("x")).user("e")
    await main.merge("x")
    told = await main.reflog("main")

    check_chain(told)
    assert [move.action for move in told] == [
        *("fast-forward", "append", "reset", "reset", "reset", "append", "append", "append")
    ]
    assert told[0].new_hash == await main.head()
    assert {move.branch for move in await main.reflog("x")} == {"x"}
    assert await main.reflog("nobody") == []


async def test_a_branch_that_is_deleted_and_made_again_keeps_both_its_lives(
    main: AsyncTract,
) -> None:
    await say(main, "a")
    for word in "bc":
        await say(await main.fork("x"), word)
        await main.delete_branch("x", force=True)
    await main.fork("x")
    told = await main.reflog("x")

    check_chain(told)
    assert [move.action for move in told] == [
        *("fork", "delete", "append", "fork", "delete", "append", "fork")
    ]


async def test_the_moves_of_other_tracts_are_others(store: TractStore, main: AsyncTract) -> None:
    await say(main, "a")
    [b] = await say(other := store.tract("other"), "b")

    assert [move.new_hash for move in await other.reflog()] == [b.commit_hash]
    assert await store.tract("nobody").reflog() == []


async def test_the_reflog_is_there_after_reopening(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        a, _ = await say(tract, "a", "b")
        await tract.reset(a.commit_hash)
        told = await tract.reflog()
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as again:
        assert await again.reflog() == told


@pytest.mark.parametrize("step", [0, -1000], ids=["stands still", "goes back"])
async def test_moves_keep_their_order_where_the_clock_does_not(
    target: Path | str, step: int
) -> None:
    """As commits do: a later move of a branch has a later time."""
    times = (10**9 + number * step for number in range(1000))
    async with await with_clock(target, lambda: next(times)) as store:
        main = store.tract("t")
        a, _ = await say(main, "a", "b")
        await main.reset(a.commit_hash)
        await main.reset(a.commit_hash)
        await say(main, "c")
        fork = await main.fork("fork")
        await say(fork, "d")
        await main.merge("fork")
        await say(main, "e")

        check_chain(await main.reflog("main"))
        check_chain(await main.reflog("fork"))
        assert (await main.verify()).faults == ()


RESETTING = """
import asyncio, sys
from tract import AsyncTract, NullTokenCounter

async def main(path, word):
    async with AsyncTract.open(path, tract_id="t", tokenizer=NullTokenCounter()) as tract:
        for number in range(8):
            await tract.user(f"{word} {number}")
            await tract.reset("start")
            fork = await tract.fork(f"{word}-{number}", at_commit="start")
            await fork.user(word)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_move_one_branch_leave_one_chain(
    main: AsyncTract, db_path: Path
) -> None:
    """The segments that they begin are all different, or `verify` would tell."""
    await say(main, "a")
    await main.tag("start")
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            RESETTING,
            str(db_path),
            word,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        for word in ("one", "two", "three")
    ]
    async with asyncio.timeout(60):
        assert [await process.wait() for process in processes] == [0, 0, 0]
    told = await main.reflog()

    for branch in {move.branch for move in told}:
        check_chain([move for move in told if move.branch == branch])
    assert sum(move.action == "reset" for move in told) == 24
    assert len(await main.branches()) == 25
    report = await main.verify()
    assert (report.checked, report.faults) == (1 + 24 + 24, ())
