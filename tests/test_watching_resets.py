"""Watching a branch that is moved: with word of resets, and without."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import pytest

from support.opening import COUNTER
from support.watching import commits_from, copied, move, nothing_more, say, take
from tract import AsyncTract, BranchReset, CommitInfo, CommitOperation


async def test_a_reset_is_an_item_and_its_commits_go_on_from_there(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        first, second, third = await say(tract, "a", "b", "c")
        watch = tract.watch(resets=True)
        assert await commits_from(watch, 3) == [first, second, third]
        move(db_path, first.commit_hash)
        (reset,) = await take(watch, 1)
        made = await say(tract, "d", "e")

        assert isinstance(reset, BranchReset)
        assert (reset.branch, reset.old_hash, reset.new_hash) == (
            "main",
            third.commit_hash,
            first.commit_hash,
        )
        assert reset.created_at >= third.created_at
        assert await commits_from(watch, 2) == made
        assert await nothing_more(watch)


async def test_what_came_after_a_reset_is_not_lost_on_who_was_away(db_path: Path) -> None:
    """The reset tells where the histories part, whatever the head is by then."""
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        first, second, third = await say(tract, "a", "b", "c")
        watch = tract.watch(second.commit_hash, resets=True)
        assert await commits_from(watch, 1) == [third]
        move(db_path, first.commit_hash)
        made = await say(tract, "d", "e")
        reset, *after = await take(watch, 3)

        assert isinstance(reset, BranchReset)
        assert reset.new_hash == first.commit_hash
        assert after == made
        again, *all_of_it = await take(tract.watch(third.commit_hash, resets=True), 3)
        assert isinstance(again, BranchReset)
        assert again.old_hash == third.commit_hash
        assert all_of_it == made


async def test_a_branch_moved_forward_yields_the_way_there(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        first, second, third = await say(tract, "a", "b", "c")
        move(db_path, first.commit_hash)
        watch = tract.watch(resets=True)
        assert await commits_from(watch, 1) == [first]
        assert await nothing_more(watch)
        move(db_path, third.commit_hash)

        assert await take(watch, 2) == [second, third]


async def test_a_branch_that_is_deleted_and_made_again_begins_anew(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        _, last = await say(tract, "a", "b")
        watch = tract.watch(resets=True)
        await take(watch, 2)
        move(db_path, None)
        (reset,) = await take(watch, 1)
        made = await say(tract, "c")

        assert isinstance(reset, BranchReset)
        assert (reset.old_hash, reset.new_hash) == (last.commit_hash, None)
        assert await take(watch, 1) == made


async def test_a_type_checker_knows_what_each_loop_gets(target: Path | str) -> None:
    """A loop without resets needs no test of what it got."""
    async with AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER) as tract:
        await say(tract, "a")
        async for commit in tract.watch():
            assert_type(commit, CommitInfo)
            assert commit.message is None
            break
        async for item in tract.watch(resets=True):
            assert_type(item, CommitInfo | BranchReset)
            break


async def test_without_resets_commits_alone_come_and_each_once(db_path: Path) -> None:
    """Whether the branch gets back what a reset has taken from it or goes on otherwise."""
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        first, second, third = await say(tract, "a", "b", "c")
        watch = tract.watch()
        assert await take(watch, 3) == [first, second, third]
        await tract.reset(first.commit_hash)
        assert await nothing_more(watch)
        move(db_path, second.commit_hash)
        assert await nothing_more(watch)
        move(db_path, first.commit_hash)
        [fourth] = await say(tract, "d")
        assert await take(watch, 1) == [fourth]
        move(db_path, third.commit_hash)
        [fifth] = await say(tract, "e")

        assert await take(watch, 1) == [fifth]
        assert await nothing_more(watch)


async def crossed(tract: AsyncTract) -> tuple[list[CommitInfo], list[CommitInfo]]:
    """Have another branch merge this one; return this one's commits, and the other's in order."""
    [start] = await say(tract, "A")
    other = await tract.fork("other")
    [theirs] = await say(other, "X")
    ours = await say(tract, "B", "C")
    await other.merge("main")
    merge = (await other.log(1))[0]
    return [start, *ours], [start, theirs, *ours, merge]


async def follow(path: Path, tract: AsyncTract, branch: str) -> None:
    """Point this branch to where another points, which has it in its history."""
    head = await tract.on(branch).head()
    assert head is not None
    move(path, head, tract.branch)


async def test_a_fast_forward_that_reorders_the_context_is_told(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        plain, watch = tract.watch(), tract.watch(resets=True)
        before, after = await crossed(tract)
        assert await take(watch, 3) == await take(plain, 3) == before
        await follow(db_path, tract, "other")
        reset, *again = await take(watch, 5)

        assert isinstance(reset, BranchReset)
        assert (reset.old_hash, reset.new_hash) == (before[-1].commit_hash, before[0].commit_hash)
        assert again == after[1:]
        assert after[::-1] == await tract.log(None, order="context")
        assert await take(plain, 2) == [after[1], after[-1]]
        assert await nothing_more(plain)


async def test_a_watch_behind_a_commit_is_told_the_same(db_path: Path) -> None:
    """Of commits in the history of the hash that was given, none comes without resets."""
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        before, after = await crossed(tract)
        await follow(db_path, tract, "other")
        reset, *again = await take(tract.watch(before[-1].commit_hash, resets=True), 5)

        assert isinstance(reset, BranchReset)
        assert (reset.old_hash, reset.new_hash) == (before[-1].commit_hash, before[0].commit_hash)
        assert again == after[1:]
        assert await take(tract.watch(before[-1].commit_hash), 2) == [after[1], after[-1]]


async def test_a_move_that_keeps_the_order_is_no_reset(db_path: Path) -> None:
    """The old head is the merged side of the new one, whose order begins with all of its own."""
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        [first] = await say(tract, "A")
        other = await tract.fork("other")
        watch = other.watch(resets=True)
        made = await say(other, "X", "Y")
        assert await take(watch, 3) == [first, *made]
        await tract.merge("other", fast_forward=False)
        await follow(db_path, other, "main")

        assert await take(watch, 1) == await other.log(1)
        assert await nothing_more(watch)


async def test_a_copy_says_what_the_branch_says_after_an_edit_on_both_sides(
    db_path: Path,
) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        [first] = await say(tract, "plan")
        agent = await tract.fork("agent")
        for handle in (agent, tract):
            await handle.user(
                f"plan of {handle.branch}",
                operation=CommitOperation.EDIT,
                edit_target=first.commit_hash,
            )
        history: list[CommitInfo] = []
        watch = tract.watch(resets=True)
        for item in await take(watch, 2):
            copied(history, item)
        await agent.merge("main", on_conflict="theirs")
        await follow(db_path, tract, "agent")
        log = await tract.log(None, order="context")
        while history != log[::-1]:
            copied(history, (await take(watch, 1))[0])

        last = [info for info in history if info.operation == "edit"][-1]
        content = await tract.get_content(last.commit_hash)
        assert (await tract.compile()).messages[0].content == content.model_dump()["text"]


@pytest.mark.unmeasured
async def test_a_reset_of_many_pages_comes_whole(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        [first] = await say(tract, "A")
        other = await tract.fork("other")
        [theirs] = await say(other, "X")
        async with tract.batch() as batch:
            for number in range(6_000):
                batch.commit({"content_type": "freeform", "payload": number})
        await other.merge("main")
        watch, plain = tract.watch(resets=True), tract.watch()
        assert await take(watch, 6_001) == await take(plain, 6_001) == [first, *batch.commits]
        await follow(db_path, tract, "other")
        reset, *again = await take(watch, 6_003)

        assert isinstance(reset, BranchReset)
        assert reset.new_hash == first.commit_hash
        assert again[:-1] == [theirs, *batch.commits]
        assert await take(plain, 2) == [theirs, again[-1]]
