"""Short hashes: the first digits of a commit's hash stand for it, as in git, if for no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.rows import add_twin
from tract import (
    AmbiguousHashError,
    AsyncTract,
    CommitNotFoundError,
    CommitOperation,
    EditTargetError,
    TractStore,
)


@pytest.mark.parametrize("digits", [4, 5, 8, 63, 64])
async def test_four_digits_or_more_of_a_hash_stand_for_its_commit(
    main: AsyncTract, digits: int
) -> None:
    info = await main.user("a")

    assert await main.get_commit(info.commit_hash[:digits]) == info
    assert await main.get_commit(info.commit_hash[:digits].upper()) == info


async def test_three_digits_are_too_few_and_told_as_such(main: AsyncTract) -> None:
    info = await main.user("a")
    short = info.commit_hash[:3]

    assert await main.get_commit(short) is None
    with pytest.raises(CommitNotFoundError, match="at least 4 digits"):
        await main.get_content(short)


@pytest.mark.parametrize(
    "of", [lambda h: f"{h[:8]} ", lambda h: f"{h[:7]}g", lambda h: f"{h}0", lambda h: h[1:]]
)
async def test_what_is_not_the_beginning_of_a_hash_names_nothing(
    main: AsyncTract, of: object
) -> None:
    info = await main.user("a")
    assert callable(of)
    named = of(info.commit_hash)

    assert await main.get_commit(named) is None
    with pytest.raises(CommitNotFoundError) as told:
        await main.compile(at_commit=named)
    assert told.value.commit_hash == named
    with pytest.raises(EditTargetError, match="nor the name of one"):
        await main.user("b", operation=CommitOperation.EDIT, edit_target=named)


async def test_short_hashes_are_those_of_the_tract_alone(
    store: TractStore, main: AsyncTract, db_path: Path
) -> None:
    """Another tract's commit is neither found by one nor makes one ambiguous."""
    other = await store.tract("other").user("a")
    assert await main.get_commit(other.commit_hash[:12]) is None

    add_twin(db_path, other.commit_hash, digits=12)
    info = await main.user("a")
    assert await main.get_commit(info.commit_hash[:12]) == info
    with pytest.raises(AmbiguousHashError):
        await store.tract("other").get_commit(other.commit_hash[:12])


async def test_more_digits_tell_twins_apart(main: AsyncTract, db_path: Path) -> None:
    info = await main.user("a")
    twin = add_twin(db_path, info.commit_hash, digits=10)

    for digits in (4, 10):
        with pytest.raises(AmbiguousHashError) as told:
            await main.get_commit(info.commit_hash[:digits])
        assert told.value.candidates == tuple(sorted([info.commit_hash, twin]))
    assert await main.get_commit(info.commit_hash[:11]) == info
    found = await main.get_commit(twin[:11])
    assert found is not None
    assert found.commit_hash == twin


async def test_of_many_candidates_the_first_are_told(main: AsyncTract, db_path: Path) -> None:
    info = await main.user("a")
    made = sorted(
        [info.commit_hash, *(add_twin(db_path, info.commit_hash, digits=n) for n in range(10, 30))]
    )

    with pytest.raises(AmbiguousHashError, match="and others") as told:
        await main.get_commit(info.commit_hash[:8])
    assert list(told.value.candidates) == made[: len(told.value.candidates)]
    assert 2 <= len(told.value.candidates) < len(made)


async def test_a_tag_and_a_branch_go_before_a_short_hash(main: AsyncTract) -> None:
    a, b, c = [await main.user(text) for text in "abc"]
    short = a.commit_hash[:6]
    assert await main.get_commit(short) == a

    await main.fork(short, at_commit=b.commit_hash)
    assert await main.get_commit(short) == b
    await main.tag(short, c.commit_hash)
    assert await main.get_commit(short) == c
    assert await main.get_commit(a.commit_hash[:7]) == a


async def test_commits_of_every_branch_are_found_by_short_hashes(main: AsyncTract) -> None:
    await main.user("a")
    fork = await main.fork("aside")
    info = await fork.user("b")
    await main.delete_branch("aside", force=True)

    assert await main.get_commit(info.commit_hash[:8]) == info


async def test_a_short_hash_of_the_head_is_compared_in_the_transaction(
    store: TractStore, main: AsyncTract
) -> None:
    """It may have been made by the very group that it comes in."""
    a = await main.user("a")
    async with main.batch(expected_head=a.commit_hash[:8]) as batch:
        batch.commit({"content_type": "freeform", "payload": 1})
    b = batch.commits[0]

    c = await store.tract("t").user("c", expected_head=b.commit_hash[:8])
    assert c.parent_hash == b.commit_hash
