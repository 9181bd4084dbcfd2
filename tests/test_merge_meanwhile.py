"""Merges beside others: what comes while one is computed is as if it had come before."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from support.doing import Doing, decided
from support.effort import effort
from support.meanwhile import (
    EDIT,
    HARMLESS,
    HINDERING,
    SQUASH,
    Interruption,
    Meanwhile,
    everything,
    many,
    opened,
    prepared,
    texts,
)
from support.plans import WAYS, Plan, plans
from tract import (
    AsyncTract,
    DialogueContent,
    MergeConflictError,
    MergeKind,
    TractStore,
)
from tract.storage.sql.ancestry import relations

ALL = HARMLESS | HINDERING
every_way = pytest.mark.parametrize("squash", [None, SQUASH], ids=["merged", "squashed"])


@pytest_asyncio.fixture
async def store(target: Path | str) -> AsyncIterator[TractStore]:
    async with await opened(target) as store:
        yield store


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
        assert await everything(store) == await everything(twin)
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


async def test_an_edit_of_what_a_merge_had_decided_there_is_a_question(store: TractStore) -> None:
    """Though nothing that is brought changes the entry: it is what the merge would state again."""
    main = store.tract("t")
    shared = (await main.user("shared")).commit_hash
    fork = await main.fork("fork")
    for tract in (main, fork):
        await tract.user(tract.branch, operation=EDIT, edit_target=shared)
    await main.fork("was")
    await main.merge("fork", on_conflict="theirs")
    await fork.merge("was", on_conflict="theirs")
    await main.merge("fork", on_conflict="ours")
    Interruption(store, lambda: fork.user("later", operation=EDIT, edit_target=shared))

    with pytest.raises(MergeConflictError):
        await fork.merge("main")
    assert await texts(fork) == ["later"]


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
async def test_a_branch_that_was_made_anew_where_it_had_been_merged_is_another(
    store: TractStore, tmp_path: Path, prepare: Meanwhile, way: Any
) -> None:
    """All that it had is there, but not at the beginning, so entries may stand or read otherwise."""

    async def meanwhile(main: AsyncTract) -> None:
        third = main.on("third")
        await third.merge("main", on_conflict="ours")
        await third.delete_branch("main")
        await third.fork("main")

    main = store.tract("t")
    await prepare(main)
    interruption = Interruption(store, lambda: meanwhile(main))
    result = await main.merge("fork", on_conflict=way)
    async with await opened(tmp_path / "twin.db") as twin:
        same = twin.tract("t")
        await prepare(same)
        await meanwhile(same)

        assert result == await same.merge("fork", on_conflict=way)
        assert await everything(store) == await everything(twin)
    assert interruption.happened


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


@pytest.mark.long
@settings(max_examples=effort(60, 150), deadline=None)
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
        if not names:
            return  # every branch was reset to before its first commit
        branch, other = (names[at % len(names)] for at in (case.branch, case.other))
        interruption = Interruption(store, lambda: go_on(one, case.meanwhile, other))
        result = await merged(one.tract(branch), other, case)
        if interruption.happened:
            await go_on(two, case.meanwhile, other)

        assert await merged(two.tract(branch), other, case) == result
        assert await everything(store) == await everything(twin)


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
