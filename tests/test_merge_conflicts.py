"""What both sides of a merge changed: told, or decided by a word or by a function."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from support.rows import row_counts
from support.saying import texts
from tract import (
    AsyncTract,
    CommitOperation,
    ConflictKind,
    ContentValidationError,
    DialogueContent,
    HeadMovedError,
    MergeConflict,
    MergeConflictError,
    MergeKind,
    Priority,
    TractStore,
)

EDIT = CommitOperation.EDIT


def said(text: str) -> DialogueContent:
    return DialogueContent(role="user", text=text)


class Sides(NamedTuple):
    """Two branches that both edited entry `a` and annotated entry `b`."""

    main: AsyncTract
    fork: AsyncTract
    a: str
    b: str


@pytest_asyncio.fixture
async def sides(store: TractStore) -> Sides:
    main = store.tract("t")
    a, b = [(await main.user(word)).commit_hash for word in "ab"]
    fork = await main.fork("fork")
    for tract, text, priority in ((main, "ours", Priority.PINNED), (fork, "theirs", Priority.SKIP)):
        await tract.commit(
            said(text), operation=EDIT, edit_target=a, generation_config={"of": text}
        )
        await tract.annotate(b, priority)
    return Sides(main, fork, a, b)


async def test_all_conflicts_are_told_and_nothing_is_written(sides: Sides, db_path: Path) -> None:
    before, head = row_counts(db_path), await sides.main.head()
    with pytest.raises(MergeConflictError) as told:
        await sides.main.merge("fork")

    assert told.value.conflicts == (
        MergeConflict(
            target_hash=sides.a,
            kind=ConflictKind.CONTENT,
            base=said("a"),
            ours=said("ours"),
            theirs=said("theirs"),
            base_config={},
            ours_config={"of": "ours"},
            theirs_config={"of": "theirs"},
        ),
        MergeConflict(
            target_hash=sides.b,
            kind=ConflictKind.PRIORITY,
            base=Priority.NORMAL,
            ours=Priority.PINNED,
            theirs=Priority.SKIP,
            base_config={},
            ours_config={},
            theirs_config={},
        ),
    )
    assert (row_counts(db_path), await sides.main.head()) == (before, head)


@pytest.mark.parametrize(
    ("way", "shown"), [("ours", ["ours", "b"]), ("theirs", ["theirs"])], ids=["ours", "theirs"]
)
async def test_a_side_is_taken_with_its_config(sides: Sides, way: Any, shown: list[str]) -> None:
    result = await sides.main.merge("fork", on_conflict=way)
    context = await sides.main.compile()

    assert result.kind is MergeKind.MERGE
    assert [conflict.target_hash for conflict in result.conflicts] == [sides.a, sides.b]
    assert await texts(sides.main) == shown
    assert context.generation_configs[0] == {"of": way}
    assert await texts(sides.fork) == ["theirs"]


async def test_what_resolves_a_conflict_is_a_commit_after_the_merge(sides: Sides) -> None:
    result = await sides.main.merge("fork", on_conflict="ours")
    edit_or_not, other, merge, *_ = await sides.main.log()

    assert {edit_or_not.operation, other.operation} == {"edit", "annotate"}
    assert merge.operation == "merge"
    assert result.head_hash == edit_or_not.commit_hash
    assert set(result.merged).isdisjoint({edit_or_not.commit_hash, other.commit_hash})
    assert (await sides.main.reflog())[0].new_hash == result.head_hash


async def test_a_decided_conflict_is_none_the_next_time(sides: Sides) -> None:
    await sides.main.merge("fork", on_conflict="ours")
    assert (await sides.main.merge("fork")).kind is MergeKind.UP_TO_DATE
    await sides.fork.user("c")

    result = await sides.main.merge("fork")
    assert result.conflicts == ()
    assert await texts(sides.main) == ["ours", "b", "c"]
    assert (await sides.fork.merge("main")).kind is MergeKind.MERGE
    assert await texts(sides.fork) == ["ours", "b", "c"]


async def test_an_edit_to_the_same_content_is_no_conflict(store: TractStore) -> None:
    main = store.tract("u")
    a = (await main.user("a")).commit_hash
    fork = await main.fork("fork")
    for tract in (main, fork):
        await tract.commit(said("same"), operation=EDIT, edit_target=a)
        await tract.annotate(a, Priority.PINNED)

    assert (await main.merge("fork")).conflicts == ()
    assert await texts(main) == ["same"]


async def test_different_things_done_to_one_entry_are_no_conflict(store: TractStore) -> None:
    main = store.tract("u")
    a, b = [(await main.user(word)).commit_hash for word in "ab"]
    fork = await main.fork("fork")
    await main.commit(said("A"), operation=EDIT, edit_target=a)
    await fork.annotate(a, Priority.PINNED)
    await fork.commit(said("B"), operation=EDIT, edit_target=b)

    assert (await main.merge("fork")).conflicts == ()
    assert await texts(main) == ["A", "B"]


# decided by a function


async def test_a_function_decides_each_conflict(sides: Sides) -> None:
    async def decide(conflict: MergeConflict) -> Any:
        await asyncio.sleep(0)
        if conflict.kind is ConflictKind.PRIORITY:
            return Priority.NORMAL
        assert isinstance(conflict.ours, DialogueContent)
        assert isinstance(conflict.theirs, DialogueContent)
        return said(f"{conflict.ours.text} and {conflict.theirs.text}")

    result = await sides.main.merge("fork", on_conflict=decide)
    assert len(result.conflicts) == 2
    assert await texts(sides.main) == ["ours and theirs", "b"]
    assert (await sides.main.get_annotations(sides.b))[-1].priority is Priority.NORMAL


async def test_a_function_may_name_a_side_or_give_a_dict_and_need_not_be_async(
    sides: Sides,
) -> None:
    def decide(conflict: MergeConflict) -> Any:
        if conflict.kind is ConflictKind.PRIORITY:
            return "ours"
        return {"content_type": "dialogue", "role": "user", "text": "a dict"}

    await sides.main.merge("fork", on_conflict=decide)
    assert await texts(sides.main) == ["a dict", "b"]


async def test_a_function_that_raises_leaves_nothing_behind(sides: Sides, db_path: Path) -> None:
    """Its error goes on, even one that the library raises itself."""
    before, head = row_counts(db_path), await sides.main.head()
    for error in (RuntimeError("no model"), HeadMovedError("x", "y")):

        async def decide(_: MergeConflict, error: Exception = error) -> Any:
            raise error

        with pytest.raises(type(error)) as told:
            await sides.main.merge("fork", on_conflict=decide)
        assert told.value is error
    assert (row_counts(db_path), await sides.main.head()) == (before, head)


@pytest.mark.parametrize("nonsense", [None, 1, "neither", {}, {"content_type": "nothing"}, [1]])
async def test_a_function_that_gives_nonsense_leaves_nothing_behind(
    sides: Sides, db_path: Path, nonsense: Any
) -> None:
    before, head = row_counts(db_path), await sides.main.head()

    with pytest.raises(ContentValidationError):
        await sides.main.merge("fork", on_conflict=lambda _: nonsense)
    assert (row_counts(db_path), await sides.main.head()) == (before, head)


async def test_nothing_is_locked_while_a_function_decides(sides: Sides) -> None:
    """What comes to our branch meanwhile is merged with, and nothing is asked twice."""
    asked: list[tuple[str, str]] = []

    async def decide(conflict: MergeConflict) -> Any:
        asked.append((conflict.target_hash, conflict.kind))
        assert len(asked) < 5
        async with asyncio.timeout(20):
            await sides.main.user(f"meanwhile {len(asked)}")
            await sides.fork.user(f"there {len(asked)}")
        return Priority.NORMAL if conflict.kind is ConflictKind.PRIORITY else said("decided")

    result = await sides.main.merge("fork", on_conflict=decide)
    assert asked == [(sides.a, "content"), (sides.b, "priority")]
    assert result.kind is MergeKind.MERGE
    shown = await texts(sides.main)
    assert shown == ["decided", "b", "meanwhile 1", "meanwhile 2"]
    assert (await sides.main.merge("fork", on_conflict=decide)).conflicts == ()
    assert await texts(sides.main) == [*shown, "there 1", "there 2"]


async def test_what_was_answered_is_not_asked_again_when_all_is_computed_anew(
    sides: Sides,
) -> None:
    asked: list[str] = []

    async def decide(conflict: MergeConflict) -> Any:
        asked.append(conflict.kind)
        if conflict.kind is ConflictKind.PRIORITY:
            return Priority.NORMAL
        await sides.main.annotate(sides.a, Priority.PINNED)  # not what is asked about, but of it
        await sides.fork.user("there")
        return said("decided")

    result = await sides.main.merge("fork", on_conflict=decide)
    assert asked == ["content", "priority"]
    assert result.kind is MergeKind.MERGE
    assert await texts(sides.main) == ["decided", "b", "there"]


async def test_a_question_that_has_become_another_is_asked_again(sides: Sides) -> None:
    asked: list[str] = []

    async def decide(conflict: MergeConflict) -> Any:
        if conflict.kind is ConflictKind.PRIORITY:
            return Priority.NORMAL
        assert isinstance(conflict.ours, DialogueContent)
        asked.append(conflict.ours.text)
        if len(asked) == 1:
            await sides.main.commit(said("later"), operation=EDIT, edit_target=sides.a)
        return said(f"decided on {conflict.ours.text}")

    await sides.main.merge("fork", on_conflict=decide)
    assert asked == ["ours", "later"]
    assert await texts(sides.main) == ["decided on later", "b"]


async def test_a_branch_that_ceases_meanwhile_is_told_or_merged_all_the_same(
    sides: Sides,
) -> None:
    """The other one was seen; this one must be there."""

    async def decide(conflict: MergeConflict) -> Any:
        if await sides.main.branches() and conflict.kind is ConflictKind.CONTENT:
            await sides.main.delete_branch("fork", force=True)
        return "ours"

    result = await sides.main.merge("fork", on_conflict=decide)
    assert result.kind is MergeKind.MERGE


# cancelled, and in several processes


MOVES: dict[str, tuple[list[str], Callable[[Sides], Awaitable[Any]]]] = {
    "fork": (["fork"], lambda sides: sides.main.fork("new")),
    "merge": (
        ["annotate", "edit", "merge"],
        lambda sides: sides.main.merge("fork", on_conflict="ours"),
    ),
    "squash": (["append"], lambda sides: sides.main.merge("fork", squash=said("squashed"))),
    "reset": (["reset"], lambda sides: sides.main.reset(sides.a)),
    "cherry_pick": (["append"] * 2, lambda sides: sides.main.cherry_pick(sides.a, sides.b)),
}
"""Calls that move branches, and the moves of each, newest first."""


@pytest.mark.parametrize("call", MOVES)
async def test_a_cancelled_call_has_done_all_or_nothing(
    store: TractStore, sides: Sides, call: str
) -> None:
    """Cancelled by plain `task.cancel()` after ever more turns of the loop, until it is too late."""
    moves, run = MOVES[call]
    await sides.main.tag("start")
    counts = set()
    for turns in (*range(20), *range(20, 2000, 45)):
        before = len(await sides.main.reflog())
        task = asyncio.ensure_future(run(sides))
        for _ in range(turns):
            await asyncio.sleep(0)
        late = task.done()
        task.cancel()
        await asyncio.wait([task])
        await store.tract("aside").user("what was on its way has landed before this")
        told = await sides.main.reflog()
        done = [move.action for move in told[: len(told) - before]]
        assert sorted(done) in ([], sorted(moves))
        assert task.cancelled() or done
        counts.add(len(done))
        await _back(sides)
        if late:
            break
    assert counts == {0, len(moves)}
    assert (await sides.main.verify()).faults == ()


async def _back(sides: Sides) -> None:
    """Let main point to where it was, by a branch of that name made anew."""
    await sides.fork.delete_branch("main", force=True)
    await sides.fork.fork("main", at_commit="start")
    if any(branch.name == "new" for branch in await sides.main.branches()):
        await sides.main.delete_branch("new")


MERGING = """
import asyncio, sys
from tract import AsyncTract, DialogueContent, NullTokenCounter, CommitOperation, TractStore

async def main(path, word):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        main = store.tract("t")
        fork = await main.fork(word)
        for number in range(6):
            await fork.user(f"{word} {number}")
            await fork.user(
                f"{word} {number}", operation=CommitOperation.EDIT, edit_target="shared"
            )
            await main.merge(word, on_conflict="theirs")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_merge_into_one_branch_lose_nothing(
    store: TractStore, db_path: Path
) -> None:
    main = store.tract("t")
    await main.user("shared")
    await main.tag("shared")
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MERGING, str(db_path), word),
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        for word in ("one", "two")
    ]
    async with asyncio.timeout(60):
        assert [await process.wait() for process in processes] == [0, 0]
    shared, *rest = await texts(main)

    assert shared in ("one 5", "two 5")
    assert sorted(rest) == sorted(f"{word} {n}" for word in ("one", "two") for n in range(6))
    assert (await main.verify()).faults == ()
