"""Merges that ask: how often, in which turns, and that none of it hangs or is asked for ever."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tract import (
    AsyncTract,
    BranchBusyError,
    BudgetAction,
    CommitOperation,
    DialogueContent,
    HeadMovedError,
    MergeConflict,
    MergeKind,
    MergeResult,
    NullTokenCounter,
    Priority,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
)

EDIT = CommitOperation.EDIT
MERGES = 80
QUESTIONS = 10  # about one entry: what the documentation promises


@pytest_asyncio.fixture
async def main(store: TractStore) -> AsyncTract:
    """A branch with one entry that it has edited since it was forked, tagged `e`."""
    main = store.tract("t")
    await main.user("base")
    await main.tag("e")
    await main.fork("start")
    await edit(main, "main")
    return main


async def edit(tract: AsyncTract, text: str, target: str = "e") -> None:
    await tract.user(text, operation=EDIT, edit_target=target)


async def forked(main: AsyncTract, *names: str) -> list[AsyncTract]:
    """Make branches that have edited the entry."""
    forks = [await main.on("start").fork(name) for name in names]
    for fork in forks:
        await edit(fork, fork.branch)
    return forks


def both(conflict: MergeConflict) -> DialogueContent:
    assert isinstance(conflict.ours, DialogueContent)
    assert isinstance(conflict.theirs, DialogueContent)
    return DialogueContent(role="user", text=f"{conflict.ours.text} {conflict.theirs.text}")


async def words(tract: AsyncTract) -> list[str]:
    return str((await tract.compile()).messages[0].content).split()


class Judge:
    """Counts what it is asked, and takes its time."""

    def __init__(self, least: float = 0.01, most: float = 0.05) -> None:
        self.asked = 0
        self._between = least, most

    async def __call__(self, conflict: MergeConflict) -> DialogueContent:
        self.asked += 1
        await asyncio.sleep(random.uniform(*self._between))
        return both(conflict)


class Gate:
    """Lets whoever asks wait until it is opened."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.open = asyncio.Event()

    async def __call__(self, conflict: MergeConflict) -> DialogueContent:
        assert isinstance(conflict.theirs, DialogueContent)
        self.asked.put_nowait(conflict.theirs.text)
        await self.open.wait()
        return both(conflict)


@pytest.mark.unmeasured
async def test_eighty_merges_at_once_ask_at_most_twice_for_each_decision(main: AsyncTract) -> None:
    forks = await forked(main, *(f"fork-{number}" for number in range(MERGES)))
    judge = Judge()
    async with asyncio.timeout(120):
        results = await asyncio.gather(
            *(main.merge(fork.branch, on_conflict=judge) for fork in forks)
        )
    decided = sum(len(result.conflicts) for result in results)

    assert decided == MERGES
    assert judge.asked <= 2 * decided
    assert sorted(await words(main)) == sorted(["main", *(fork.branch for fork in forks)])
    assert (await main.verify()).faults == ()


async def test_merges_of_other_entries_are_written_while_a_function_is_asked(
    main: AsyncTract,
) -> None:
    """With functions of their own, too, as long as they ask nothing."""
    gate = Gate()
    [slow] = await forked(main, "slow")
    asking = asyncio.create_task(main.merge(slow.branch, on_conflict=gate))
    async with asyncio.timeout(30):
        await gate.asked.get()
        for number in range(5):
            fork = await main.fork(f"free-{number}")
            await fork.user(fork.branch)
            way: Any = gate if number % 2 else "raise"
            await main.merge(fork.branch, on_conflict=way, fast_forward=False)
        assert not asking.done()
        gate.open.set()
        result = await asking

    assert (result.kind, gate.asked.qsize()) == (MergeKind.MERGE, 0)
    assert (await words(main))[:2] == ["main", "slow"]


async def test_a_merge_asks_only_when_those_before_it_are_written(main: AsyncTract) -> None:
    gate = Gate()
    forks = await forked(main, "one", "two", "three")
    merges = [asyncio.create_task(main.merge(fork.branch, on_conflict=gate)) for fork in forks]
    async with asyncio.timeout(30):
        first = await gate.asked.get()
        await asyncio.sleep(0.1)
        assert gate.asked.empty()
        gate.open.set()
        await asyncio.wait(merges)

    said = await words(main)
    assert said[:2] == ["main", first]
    assert gate.asked.qsize() == 2


async def test_only_the_question_that_has_changed_is_asked_again(main: AsyncTract) -> None:
    entries = [(await main.user(word)).commit_hash for word in "abc"]
    fork = await main.fork("fork")
    for tract in (main, fork):
        for entry in entries:
            await edit(tract, tract.branch, entry)
    asked: list[str] = []

    async def decide(conflict: MergeConflict) -> DialogueContent:
        asked.append(conflict.target_hash)
        if len(asked) == 3:
            await edit(main, "changed", entries[1])
        return both(conflict)

    await main.merge("fork", on_conflict=decide)
    assert asked == [*entries, entries[1]]


async def nested(main: AsyncTract, depth: int) -> MergeResult:
    """Merge by a function that at first merges others into this branch, at once, and so on."""
    [outer, *inner] = await forked(main, f"outer-{depth}", f"one-{depth}", f"two-{depth}")
    again = False

    async def decide(conflict: MergeConflict) -> DialogueContent:
        nonlocal again
        if depth and not again:
            again = True
            by_itself = (main.merge(fork.branch, on_conflict=both) for fork in inner)
            await asyncio.gather(nested(main, depth - 1), *by_itself)
        return both(conflict)

    return await main.merge(outer.branch, on_conflict=decide)


async def test_a_function_may_merge_into_the_branch_by_functions(main: AsyncTract) -> None:
    """To any depth and several at once: it is asked again, and nothing waits for itself."""
    async with asyncio.timeout(60):
        result = await nested(main, 2)

    assert result.kind is MergeKind.MERGE
    assert sorted(await words(main)) == sorted(
        ["main", "outer-0", "outer-1", "outer-2", "one-1", "two-1", "one-2", "two-2"]
    )


async def test_functions_may_merge_into_each_others_branches(main: AsyncTract) -> None:
    await main.on("start").fork("other")
    other = main.on("other")
    await edit(other, "other")
    await forked(main, "a", "b", "c", "d")
    both_ask = asyncio.Barrier(2)
    crossed: set[str] = set()

    async def cross(tract: AsyncTract, name: str, into: AsyncTract, inner: str) -> MergeResult:
        async def decide(conflict: MergeConflict) -> DialogueContent:
            if tract.branch not in crossed:
                crossed.add(tract.branch)
                await both_ask.wait()
                await into.merge(inner, on_conflict=both)
            return both(conflict)

        return await tract.merge(name, on_conflict=decide)

    async with asyncio.timeout(60):
        await asyncio.gather(cross(main, "a", other, "b"), cross(other, "c", main, "d"))

    assert ({*await words(main)}, {*await words(other)}) == (
        {"main", "a", "d"},
        {"other", "c", "b"},
    )


async def test_a_budgets_callback_may_merge_into_the_branch_by_a_function(
    tmp_path: Path,
) -> None:
    called: list[int] = []

    async def callback(tokens: int, _: int) -> None:
        called.append(tokens)
        if len(called) == 1:
            await branch.merge("two", on_conflict=both)

    budget = TokenBudgetConfig(max_tokens=16, action=BudgetAction.CALLBACK, callback=callback)
    config = TractConfig(token_budget=budget)
    async with TractStore.open(tmp_path / "a.db", tokenizer=Words(), config=config) as store:
        branch = store.tract("t")
        await branch.user("base")
        await branch.tag("e")
        await branch.fork("start")
        await edit(branch, "main")
        await forked(branch, "one", "two")
        async with asyncio.timeout(30):
            await branch.merge("one", on_conflict=lambda conflict: long(both(conflict)))

        assert len(called) >= 2
        assert {"main", "one", "two"} <= {*await words(branch)}


class Words(NullTokenCounter):
    def count_text(self, text: str) -> int:
        return len(text.split())


def long(content: DialogueContent) -> DialogueContent:
    return DialogueContent(role="user", text=content.text + " x" * 20)


@pytest.mark.parametrize("who", ["who is asked", "who waits"])
async def test_a_merge_that_is_cancelled_leaves_its_turn_to_the_others(
    main: AsyncTract, who: str
) -> None:
    """And nothing of it is written."""
    gate = Gate()
    names = ("one", "two", "three", "four")
    forks = await forked(main, *names)
    merges = {
        fork.branch: asyncio.create_task(main.merge(fork.branch, on_conflict=gate))
        for fork in forks
    }
    async with asyncio.timeout(30):
        asked = await gate.asked.get()
        await asyncio.sleep(0.05)
        out = asked if who == "who is asked" else next(name for name in names if name != asked)
        merges[out].cancel()
        await asyncio.wait([merges[out]])
        gate.open.set()
        await asyncio.wait(merges.values())

    assert [name for name, merge in merges.items() if merge.cancelled()] == [out]
    assert sorted(await words(main)) == sorted(["main", *({*names} - {out})])
    assert (await main.verify()).faults == ()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_cancelled_the_others_come_to_their_end(
    main: AsyncTract, seed: int
) -> None:
    chance = random.Random(seed)
    forks = await forked(main, *(f"fork-{number}" for number in range(12)))
    merges = [
        asyncio.create_task(main.merge(fork.branch, on_conflict=Judge(0, 0.01))) for fork in forks
    ]
    for merge in chance.sample(merges, 6):
        await asyncio.sleep(chance.uniform(0, 0.02))
        merge.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait(merges)

    done = [fork.branch for fork, merge in zip(forks, merges, strict=True) if not merge.cancelled()]
    said = await words(main)
    assert {*done} <= {*said}
    assert len(said) == len({*said})
    assert (await main.verify()).faults == ()


async def test_beside_a_writer_who_keeps_editing_a_merge_asks_ten_times_and_says_why(
    main: AsyncTract,
) -> None:
    other = (await main.user("quiet")).commit_hash
    [fork] = await forked(main, "fork")
    writing = True

    async def write() -> None:
        number = 0
        while writing:
            number += 1
            await edit(main, f"main-{number}")
            await asyncio.sleep(0.001)

    judge = Judge(0.02, 0.03)
    writer = asyncio.create_task(write())
    async with asyncio.timeout(60):
        with pytest.raises(BranchBusyError) as told:
            await main.merge(fork.branch, on_conflict=judge)
    writing = False
    await writer

    entry = next(info.commit_hash for info in await main.log(None) if info.parent_hash is None)
    assert judge.asked == QUESTIONS
    assert told.value.changed == {entry: QUESTIONS}
    assert isinstance(told.value, HeadMovedError)
    assert told.value.branch == "main"
    assert f"{entry} (10 times)" in str(told.value)
    assert other not in str(told.value)
    assert "fork" not in await words(main)


async def test_a_function_that_changes_what_it_is_asked_is_asked_ten_times(
    main: AsyncTract,
) -> None:
    """For each entry, and each of its content and its priority."""
    [fork] = await forked(main, "fork")
    await main.annotate("e", Priority.PINNED)
    await fork.annotate("e", Priority.SKIP)
    asked: list[str] = []

    async def decide(conflict: MergeConflict) -> Any:
        asked.append(conflict.kind)
        if conflict.kind == "priority":
            return "ours"
        await edit(main, f"main, {len(asked)}")
        return both(conflict)

    with pytest.raises(BranchBusyError):
        await main.merge("fork", on_conflict=decide)
    assert (asked.count("content"), asked.count("priority")) == (QUESTIONS, 1)


JUDGED = """
import asyncio, random, sys
from tract import CommitOperation, DialogueContent, NullTokenCounter, TractStore

async def judge(conflict):
    await asyncio.sleep(random.uniform(0.001, 0.01))
    text = f"{conflict.ours.text} {conflict.theirs.text}"
    return DialogueContent(role="user", text=text)

async def main(path, word):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        main = store.tract("t")
        async def merge(number):
            fork = await main.on("start").fork(f"{word}-{number}")
            await fork.user(fork.branch, operation=CommitOperation.EDIT, edit_target="e")
            await main.merge(fork.branch, on_conflict=judge)
        await asyncio.gather(*map(merge, range(6)))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_whose_functions_decide_lose_nothing(
    main: AsyncTract, db_path: Path
) -> None:
    """They take no turns with each other, so a function is asked again."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", JUDGED, str(db_path), word),
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        for word in ("one", "two")
    ]
    async with asyncio.timeout(120):
        assert [await process.wait() for process in processes] == [0, 0]

    said = await words(main)
    assert sorted(said) == sorted(
        ["main", *(f"{word}-{number}" for word in ("one", "two") for number in range(6))]
    )
    assert (await main.verify()).faults == ()
