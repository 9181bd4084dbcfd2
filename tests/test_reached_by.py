"""`reached_by`: which branches have a commit, told from where branches began and merged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from support.opening import COUNTER
from support.probes import probe
from tract import (
    AsyncTract,
    CommitNotFoundError,
    ContentValidationError,
    StoreClosedError,
    TractError,
    TractStore,
)


async def walked(tract: AsyncTract, hashes: list[str]) -> dict[str, list[str]]:
    """Return what `reached_by` must, from the log of each branch."""
    logs = {
        branch.name: {info.commit_hash for info in await tract.on(branch.name).log(None)}
        for branch in await tract.branches()
    }
    return {each: [name for name in sorted(logs) if each in logs[name]] for each in hashes}


async def test_a_commit_is_reached_by_the_branches_that_went_on_from_it(main: AsyncTract) -> None:
    shared = await main.user("shared")
    side = await main.fork("side")
    own = await side.user("own")
    after = await main.user("after")
    await main.fork("empty", at_commit=None)

    found = await main.reached_by([own.commit_hash, shared.commit_hash, after.commit_hash])

    assert [*found.items()] == [
        (own.commit_hash, ["side"]),
        (shared.commit_hash, ["main", "side"]),
        (after.commit_hash, ["main"]),
    ]
    await main.merge("side")
    assert (await main.reached_by([own.commit_hash])).popitem()[1] == ["main", "side"]


async def test_a_commit_that_branches_have_left_is_reached_by_none(main: AsyncTract) -> None:
    first, left = await main.user("first"), await main.user("left")
    await main.tag("kept", left.commit_hash)
    await main.reset(first.commit_hash)

    assert await main.reached_by(["kept", "main"]) == {"kept": [], "main": ["main"]}


async def test_nothing_is_reached_of_an_empty_store_or_an_empty_list(store: TractStore) -> None:
    tract = store.tract("t")
    assert await tract.reached_by([]) == {}
    await tract.user("a")
    trips = probe(store).trips

    assert await tract.reached_by(iter(())) == {}
    assert probe(store).trips == trips


async def test_what_is_not_in_the_tract_is_refused(store: TractStore) -> None:
    tract = store.tract("t")
    theirs = await store.tract("other").user("theirs")
    mine = await tract.user("mine")

    for name in (theirs.commit_hash, "nobody", "0" * 64):
        with pytest.raises(CommitNotFoundError):
            await tract.reached_by([mine.commit_hash, name])
    with pytest.raises(ContentValidationError, match="list"):
        await tract.reached_by(mine.commit_hash)


async def test_a_hash_that_two_tracts_share_is_told_of_each(store: TractStore) -> None:
    tract = store.tract("t")
    shared = await tract.user("a")
    copied = await store.copy_tract("t", "copy")
    await tract.fork("side")

    assert (await tract.reached_by([shared.commit_hash])).popitem()[1] == ["main", "side"]
    assert (await copied.reached_by([shared.commit_hash])).popitem()[1] == ["main"]


@pytest.mark.parametrize("seed", range(6))
async def test_it_agrees_with_the_logs_of_all_branches(target: Path | str, seed: int) -> None:
    """After forks, merges, resets and deletions, in copies, bundles and later openings, too."""
    rng = random.Random(seed)
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        made: list[str] = []
        names = ["main"]
        for number in range(60):
            branch = tract.on(rng.choice(names)) if made else tract
            act = rng.random()
            try:
                if act < 0.6 or not made:
                    made.append((await branch.user(f"{number}")).commit_hash)
                elif act < 0.7:
                    await tract.fork(f"b{number}", at_commit=rng.choice([*made, None]))
                    names.append(f"b{number}")
                elif act < 0.85:
                    head = (await branch.merge(rng.choice(names))).head_hash
                    made += [head] if head is not None and head not in made else []
                elif act < 0.95:
                    log = await branch.log(None)
                    await branch.reset(rng.choice([info.commit_hash for info in log]))
                elif len(names) > 1:
                    await tract.on("main" if "main" in names else names[0]).delete_branch(
                        names.pop(rng.randrange(1, len(names))), force=True
                    )
            except (TractError, IndexError):  # such as a merge of a branch with itself
                continue
        expected = await walked(tract, made)
        assert await tract.reached_by(made) == expected
        whole = await store.copy_tract("t", "whole")
        bundle = await store.copy_tract("t", "bundle", at=made[-1])
        own = [info.commit_hash for info in await bundle.log(None)]
        assert await whole.reached_by(made) == expected
        assert await bundle.reached_by(own) == {each: ["main"] for each in own}
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert await store.tract("t").reached_by(made) == expected
        handle = store.tract("t")
    with pytest.raises(StoreClosedError):
        await handle.reached_by(made)


async def test_it_is_seen_what_another_opening_has_written(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        made = await one.tract("t").user("a")
        assert await two.tract("t").reached_by(["main"]) == {"main": ["main"]}
        await one.tract("t").fork("side")

        assert await two.tract("t").reached_by([made.commit_hash]) == {
            made.commit_hash: ["main", "side"]
        }


@pytest.mark.sqlite  # a server takes a trip a statement
async def test_it_takes_one_trip_however_many_commits_are_asked_for(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        made = [(await tract.user(f"{number}")).commit_hash for number in range(200)]
        trips = probe(store).trips
        await tract.reached_by(made)

        assert probe(store).trips == trips + 1
