"""Merges beside others: what comes while one is computed is as if it had come before."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from support.counters import WordCounter
from support.doing import Doing, decided
from support.drafts import ticking
from support.plans import WAYS, Plan, plans
from tract import (
    AsyncTract,
    BudgetAction,
    BudgetExceededError,
    CommitOperation,
    DialogueContent,
    MergeConflict,
    MergeConflictError,
    MergeKind,
    Priority,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
)
from tract.runtime import Options, Runtime
from tract.storage import relations

EDIT = CommitOperation.EDIT
SQUASH = DialogueContent(role="user", text="squashed")
Meanwhile = Callable[[AsyncTract], Awaitable[Any]]


async def opened(path: Path, budget: int | None = None) -> TractStore:
    """Open a store whose clock ticks, so that two stores can make the same hashes."""
    config = TractConfig()
    if budget is not None:
        limit = TokenBudgetConfig(max_tokens=budget, action=BudgetAction.REJECT)
        config = TractConfig(token_budget=limit)
    return TractStore(
        await Runtime.open(str(path), Options(config, WordCounter(), None, ticking()))
    )


async def prepared(store: TractStore) -> AsyncTract:
    """Make branches that share two entries, each with one of its own; return `main`.

    `fork` has edited `b`.
    """
    main = store.tract("t")
    for text in "ab":
        await main.user(text)
        await main.tag(text)
    for tract, text in (
        (await main.fork("fork"), "theirs"),
        (await main.fork("third"), "third"),
        (main, "ours"),
    ):
        await tract.user(text)
        await tract.tag(text)
    await main.on("fork").user("B", operation=EDIT, edit_target="b")
    return main


class Interruption:
    """Something that is done once, right before the next merge is written."""

    def __init__(self, store: TractStore, meanwhile: Callable[[], Awaitable[Any]]) -> None:
        self.happened = False
        self.attempts = 0
        """Merges of the one that was interrupted that were to be written."""
        writer = store._runtime.writer
        merge = writer.merge

        async def interrupted(*given: Any, **options: Any) -> Any:
            if not self.happened:
                self.happened = True
                await meanwhile()
                self.attempts = 0
            self.attempts += 1
            return await merge(*given, **options)

        writer.merge = interrupted  # type: ignore[method-assign]


async def told(store: TractStore) -> list[Any]:
    """Return all that a store tells of its tract, the hashes included."""
    main = store.tract("t")
    branches = await main.branches()
    handles = [store.tract("t", branch=branch.name) for branch in branches]
    return [
        branches,
        await main.reflog(),
        await main.origins(),
        await main.verify(),
        [await handle.log(None) for handle in handles],
        [await handle.compile() for handle in handles],
    ]


@pytest_asyncio.fixture
async def store(db_path: Path) -> AsyncIterator[TractStore]:
    async with await opened(db_path) as store:
        yield store


async def texts(tract: AsyncTract) -> list[str]:
    context = await tract.compile(aggregate_same_role=False)
    return [str(message.content) for message in context.messages]


async def many(main: AsyncTract) -> None:
    for number in range(30):
        await main.user(str(number))


async def edit_own(main: AsyncTract) -> None:
    new = await main.user("new")
    for target in ("ours", new.commit_hash):
        await main.user("edited", operation=EDIT, edit_target=target)
        await main.annotate(target, Priority.SKIP)


async def merge_third(main: AsyncTract) -> None:
    third = main.on("third")
    await third.user("edited there", operation=EDIT, edit_target="third")
    assert (await main.merge("third")).kind is MergeKind.MERGE


async def edit_shared(main: AsyncTract) -> None:
    await main.user("edited", operation=EDIT, edit_target="a")


async def recreate(main: AsyncTract) -> None:
    """The same head, by another branch of that name."""
    other = await main.fork("again")
    await other.delete_branch("main", force=True)
    await other.fork("main")


HARMLESS: dict[str, Meanwhile] = {
    "commits": many,
    "edits of entries that are ours alone": edit_own,
    "a merge of another branch": merge_third,
    "a branch made anew": recreate,
    "an edit of an entry that is not changed there": edit_shared,
    "an annotation of such an entry": lambda main: main.annotate("a", Priority.PINNED),
}


async def edit_changed(main: AsyncTract) -> None:
    await main.user("edited", operation=EDIT, edit_target="b")


async def merge_an_edit(main: AsyncTract) -> None:
    """What somebody else has changed of it comes by a merge."""
    third = main.on("third")
    await third.user("edited", operation=EDIT, edit_target="b")
    await main.merge("third")


HINDERING: dict[str, Meanwhile] = {
    "an edit of the same entry": edit_changed,
    "an annotation of it": lambda main: main.annotate("b", Priority.PINNED),
    "a merge with such an edit": merge_an_edit,
    "the same merge": lambda main: main.merge("fork"),
    "the same squash": lambda main: main.merge("fork", squash=SQUASH),
    "a reset": lambda main: main.reset("a"),
}


ALL = HARMLESS | HINDERING
every_way = pytest.mark.parametrize("squash", [None, SQUASH], ids=["merged", "squashed"])


@every_way
@pytest.mark.parametrize("name", HARMLESS)
async def test_what_has_nothing_to_do_with_a_merge_does_not_hinder_it(
    store: TractStore, name: str, squash: DialogueContent | None
) -> None:
    main = await prepared(store)
    interruption = Interruption(store, lambda: HARMLESS[name](main))
    result = await main.merge("fork", squash=squash)

    assert (interruption.happened, interruption.attempts) == (True, 1)
    assert result.kind is (MergeKind.MERGE if squash is None else MergeKind.SQUASH)
    assert (await texts(main))[-1] == ("theirs" if squash is None else "squashed")


@every_way
@pytest.mark.parametrize("far", [1, relations._FAR])
@pytest.mark.parametrize("name", ALL)
async def test_a_merge_is_as_if_what_came_meanwhile_had_come_before(
    store: TractStore,
    tmp_path: Path,
    name: str,
    far: int,
    squash: DialogueContent | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However little of it can be looked through."""
    monkeypatch.setattr(relations, "_FAR", far)
    main = await prepared(store)
    interruption = Interruption(store, lambda: ALL[name](main))
    result = await main.merge("fork", squash=squash, on_conflict="ours")
    async with await opened(tmp_path / "twin.db") as twin:
        same = await prepared(twin)
        await ALL[name](same)

        assert result == await same.merge("fork", squash=squash, on_conflict="ours")
        assert await told(store) == await told(twin)
    assert interruption.happened


@pytest.mark.parametrize("way", ["ours", "theirs", decided])
async def test_a_question_that_an_edit_has_answered_meanwhile_is_none(
    store: TractStore, way: Any
) -> None:
    """Sides whose merges crossed differ with no changes of their own."""
    main = store.tract("t")
    shared = (await main.user("shared")).commit_hash
    fork = await main.fork("fork")
    for tract in (main, fork):
        await tract.user(tract.branch, operation=EDIT, edit_target=shared)
    await main.fork("was")
    await main.merge("fork", on_conflict="theirs")
    await fork.merge("was", on_conflict="theirs")
    await fork.user("new")
    Interruption(store, lambda: main.user("later", operation=EDIT, edit_target=shared))
    result = await main.merge("fork", on_conflict=way)

    assert (result.kind, result.conflicts) == (MergeKind.MERGE, ())
    assert await texts(main) == ["later", "new"]


async def parted_in_order(main: AsyncTract) -> None:
    """Branches that have the same entries in another order, which two have edited."""
    await main.user("root")
    side = await main.fork("side")
    for tract, text in ((side, "b"), (main, "a")):
        await tract.user(text)
        await tract.tag(text)
    await main.merge("side")
    fork, third = await main.fork("fork"), await side.fork("third")
    await third.user("third")
    for tract in (main, fork):
        for target in "ab":
            await tract.user(f"{tract.branch} {target}", operation=EDIT, edit_target=target)


async def parted_in_choice(main: AsyncTract) -> None:
    """Branches that have chosen otherwise in merges that crossed, with no edits of their own."""
    await main.user("0")
    await main.tag("e")
    one, two = await main.fork("one"), await main.fork("two")
    for tract in (one, two):
        await tract.user(tract.branch, operation=EDIT, edit_target="e")
    await main.merge("one")
    await main.merge("two", on_conflict="theirs")
    for name in ("fork", "third"):
        tract = await two.fork(name)
        await tract.merge("one", on_conflict="theirs")
        await tract.user(name)
    await main.user("ours")


@pytest.mark.parametrize("prepare", [parted_in_order, parted_in_choice])
@pytest.mark.parametrize("way", ["ours", "theirs", decided])
async def test_a_branch_that_was_moved_to_one_that_had_merged_it_is_another(
    store: TractStore, tmp_path: Path, prepare: Meanwhile, way: Any
) -> None:
    """All that it had is there, but not at the beginning, so entries may stand or read otherwise."""

    async def meanwhile(main: AsyncTract) -> None:
        await main.on("third").merge("main", on_conflict="ours")
        assert (await main.merge("third")).kind is MergeKind.FAST_FORWARD

    main = store.tract("t")
    await prepare(main)
    interruption = Interruption(store, lambda: meanwhile(main))
    result = await main.merge("fork", on_conflict=way)
    async with await opened(tmp_path / "twin.db") as twin:
        same = twin.tract("t")
        await prepare(same)
        await meanwhile(same)

        assert result == await same.merge("fork", on_conflict=way)
        assert await told(store) == await told(twin)
    assert interruption.happened


async def merge_two(main: AsyncTract, number: int) -> None:
    """Merge two branches at once, one of which has edited `b`."""
    one, two = await main.fork(f"one-{number}"), await main.fork(f"two-{number}")
    await one.user(f"b {number}", operation=EDIT, edit_target="b")
    await two.user(f"two {number}")
    await asyncio.gather(*(main.merge(each.branch, fast_forward=False) for each in (one, two)))


async def test_a_function_may_merge_into_the_branch_itself(
    store: TractStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when it is asked again, as the merge is computed anew, and so are those of its own."""
    monkeypatch.setattr(relations, "_FAR", 0)
    main = await prepared(store)
    await main.user("ours of b", operation=EDIT, edit_target="b")
    asked: list[str] = []

    async def decide(conflict: MergeConflict) -> Any:
        assert isinstance(conflict.ours, DialogueContent)
        asked.append(conflict.ours.text)
        if len(asked) < 4:
            await merge_two(main, len(asked))
        return "theirs"

    async with asyncio.timeout(30):
        result = await main.merge("fork", on_conflict=decide)

    assert (result.kind, asked) == (MergeKind.MERGE, ["ours of b", "b 1", "b 2", "b 3"])
    assert await texts(main) == ["a", "B", "ours", "two 1", "two 2", "two 3", "theirs"]


async def test_a_budgets_callback_may_merge_into_the_branch_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the merge that goes over the budget was computed anew, and so are its own."""
    monkeypatch.setattr(relations, "_FAR", 0)
    called: list[int] = []
    busy = False

    async def callback(tokens: int, _: int) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        called.append(tokens)
        if len(called) < 4:
            await merge_two(main, len(called))
        busy = False

    budget = TokenBudgetConfig(max_tokens=1, action=BudgetAction.CALLBACK, callback=callback)
    async with TractStore.open(tmp_path / "a.db", config=TractConfig(token_budget=budget)) as store:
        busy = True
        main = await prepared(store)
        busy = False
        async with asyncio.timeout(30):
            result = await main.merge("fork", on_conflict="ours")

        assert (result.kind, len(called)) == (MergeKind.MERGE, 4)
        assert (await main.verify()).faults == ()


@pytest.mark.parametrize("function", [False, True])
async def test_agents_that_have_worked_much_merge_at_once(
    store: TractStore, monkeypatch: pytest.MonkeyPatch, function: bool
) -> None:
    """Together more than can be looked through, so that most have to be computed anew."""
    monkeypatch.setattr(relations, "_FAR", 100)
    main = await prepared(store)
    forks = [await main.fork(f"agent-{number}") for number in range(60)]

    async def work(fork: AsyncTract) -> None:
        for turn in range(6):
            await fork.user(f"{fork.branch} {turn}")
        way: Any = decided if function else "raise"
        result = await main.merge(fork.branch, fast_forward=False, on_conflict=way)
        assert (result.kind, len(result.merged)) == (MergeKind.MERGE, 6)

    async with asyncio.timeout(100):
        await asyncio.gather(*map(work, forks))

    assert len(await texts(main)) == 3 + 60 * 6
    assert (await main.verify()).faults == ()


@pytest.mark.parametrize("turns", [0, 1, 5, 20, 60, 200])
async def test_a_merge_that_is_cancelled_leaves_its_turn_to_the_others(
    store: TractStore, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    monkeypatch.setattr(relations, "_FAR", 1)
    main = await prepared(store)
    forks = [await main.fork(f"agent-{number}") for number in range(8)]
    for fork in forks:
        await fork.user(fork.branch)
        await fork.user("more")
    merges = [asyncio.create_task(main.merge(fork.branch, fast_forward=False)) for fork in forks]
    for _ in range(turns):
        await asyncio.sleep(0)
    for merge in merges[::2]:
        merge.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait(merges)

    assert {merge.result().kind for merge in merges[1::2]} == {MergeKind.MERGE}
    assert (await main.verify()).faults == ()


async def test_what_comes_to_the_other_branch_is_left_for_the_next_merge(store: TractStore) -> None:
    main = await prepared(store)
    Interruption(store, lambda: main.on("fork").user("later"))
    first = await main.merge("fork")
    assert await texts(main) == ["a", "B", "ours", "theirs"]
    second = await main.merge("fork")

    assert await texts(main) == ["a", "B", "ours", "theirs", "later"]
    assert (len(first.merged), len(second.merged)) == (2, 1)


async def test_a_branch_that_was_moved_to_the_other_one_has_nothing_left_to_merge(
    store: TractStore,
) -> None:
    main = await prepared(store)
    fork = await main.fork("ahead")
    await fork.user("new")
    interruption = Interruption(store, lambda: main.merge("ahead"))
    result = await main.merge("ahead", fast_forward=False)

    assert (interruption.happened, result.kind) == (True, MergeKind.UP_TO_DATE)
    assert await main.head() == await fork.head()


@pytest.mark.parametrize(("count", "attempts"), [(9, 1), (20, 2)])
async def test_what_is_too_much_to_look_through_has_it_computed_anew(
    store: TractStore, monkeypatch: pytest.MonkeyPatch, count: int, attempts: int
) -> None:
    """Only what came meanwhile has to be looked through."""
    main = await prepared(store)
    await many(main)
    monkeypatch.setattr(relations, "_FAR", 10)

    async def meanwhile() -> None:
        for number in range(count):
            await main.user(str(number))

    interruption = Interruption(store, meanwhile)

    assert (await main.merge("fork")).kind is MergeKind.MERGE
    assert interruption.attempts == attempts


@pytest.mark.parametrize("name", ["commits", "the same merge"])
async def test_a_budget_counts_what_is_brought_once(
    store: TractStore, tmp_path: Path, name: str
) -> None:
    """And against the context that it is brought to."""
    main = await prepared(store)
    await ALL[name](main)
    await main.merge("fork")
    tokens = (await main.compile()).token_count
    kinds: list[str | None] = []
    for short in (0, 1):
        async with await opened(tmp_path / f"{short}.db", tokens - short) as other:
            same = await prepared(other)
            Interruption(other, lambda same=same: ALL[name](same))  # type: ignore[misc]
            try:
                kinds.append((await same.merge("fork")).kind)
            except BudgetExceededError:
                kinds.append(None)

    assert kinds == [{"commits": "merge", "the same merge": "up-to-date"}[name], None]


@pytest.mark.parametrize("others", [1, 16])
async def test_writers_without_pause_do_not_hinder_a_merge(store: TractStore, others: int) -> None:
    main = await prepared(store)
    go_on = True

    async def write() -> None:
        while go_on:
            await main.user("written")

    writers = [asyncio.create_task(write()) for _ in range(others)]
    async with asyncio.timeout(60):
        for number in range(5):
            fork = await main.fork(f"fork-{number}")
            await fork.user(f"of fork {number}")
            result = await main.merge(fork.branch)
            assert result.kind in (MergeKind.MERGE, MergeKind.FAST_FORWARD)
    go_on = False
    await asyncio.gather(*writers)

    shown = [text for text in await texts(main) if text.startswith("of fork")]
    assert shown == [f"of fork {number}" for number in range(5)]
    assert (await main.verify()).faults == ()


async def test_a_hundred_agents_merge_at_once(store: TractStore) -> None:
    """Twice each, into the branch that all of them were forked from."""
    main = await prepared(store)

    async def work(number: int) -> None:
        fork = await main.fork(f"agent-{number}")
        for turn in range(2):
            await fork.user(f"{number} {turn}")
            result = await main.merge(fork.branch, fast_forward=False)
            assert (result.kind, len(result.merged)) == (MergeKind.MERGE, 1)

    async with asyncio.timeout(100):
        await asyncio.gather(*(work(number) for number in range(100)))

    shown = (await texts(main))[3:]
    assert sorted(shown) == sorted(f"{number} {turn}" for number in range(100) for turn in range(2))
    assert (await main.verify()).faults == ()


class Case(NamedTuple):
    """A history, what comes while a branch is merged into another, and how that is merged."""

    before: list[Plan]
    meanwhile: list[Plan]
    branch: int
    other: int
    way: str
    squash: bool
    fast_forward: bool
    far: int


cases = st.builds(
    Case,
    before=plans,
    meanwhile=st.lists(plans, max_size=1).map(lambda lists: [*lists[0][:6]] if lists else []),
    branch=st.integers(0, 3),
    other=st.integers(0, 3),
    way=st.sampled_from(WAYS),
    squash=st.booleans(),
    fast_forward=st.booleans(),
    far=st.sampled_from([1, 2, 4, 20_000]),
)


@settings(max_examples=150, deadline=None)
@given(cases)
def test_any_merge_is_as_if_what_came_meanwhile_had_come_before(case: Case) -> None:
    """In any graph, whatever comes to the branch, with the same hashes."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(relations, "_FAR", case.far)
        asyncio.run(compare(Path(folder), case))


async def compare(folder: Path, case: Case) -> None:
    async with await opened(folder / "one.db") as store, await opened(folder / "two.db") as twin:
        one, two = await done(store, case.before), await done(twin, case.before)
        names = sorted(name for name, head in one.model.heads.items() if head is not None)
        branch, other = (names[at % len(names)] for at in (case.branch, case.other))
        interruption = Interruption(store, lambda: go_on(one, case.meanwhile, other))
        result = await merged(one.tract(branch), other, case)
        if interruption.happened:
            await go_on(two, case.meanwhile, other)

        assert await merged(two.tract(branch), other, case) == result
        assert await told(store) == await told(twin)


async def done(store: TractStore, todo: Sequence[Plan]) -> Doing:
    doing = Doing(store)
    first = Plan("append", 0, 0, 0, SQUASH.model_dump(), None, "skip", "ours", False)
    for plan in [first, *todo]:
        await doing.do(plan)
    return doing


async def go_on(doing: Doing, todo: Sequence[Plan], other: str) -> None:
    """Do what leaves the branch to be merged as it is."""
    for plan in todo:
        names = sorted(doing.model.heads)
        chosen = names[plan.branch % len(names)]
        second = names[plan.other % len(names)]
        if chosen != other and (plan.kind not in ("cross", "delete") or second != other):
            await doing.do(plan)


async def merged(tract: AsyncTract, other: str, case: Case) -> Any:
    way: Any = decided if case.way == "function" else case.way
    squash = SQUASH if case.squash else None
    try:
        return await tract.merge(
            other, on_conflict=way, squash=squash, fast_forward=case.fast_forward
        )
    except MergeConflictError as error:
        return error.conflicts
