"""Short hashes: the first digits of a commit's hash stand for it, as in git, if for no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.rows import add_twin
from tract import (
    AmbiguousHashError,
    AsyncTract,
    CommitNotFoundError,
    CommitOperation,
    EditTargetError,
    NullTokenCounter,
    TractStore,
)

COUNTER = NullTokenCounter()


@pytest_asyncio.fixture
async def store(db_path: Path) -> AsyncIterator[TractStore]:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        yield store


@pytest.fixture
def tract(store: TractStore) -> AsyncTract:
    return store.tract("t")


@pytest.mark.parametrize("digits", [4, 5, 8, 63, 64])
async def test_four_digits_or_more_of_a_hash_stand_for_its_commit(
    tract: AsyncTract, digits: int
) -> None:
    info = await tract.user("a")

    assert await tract.get_commit(info.commit_hash[:digits]) == info
    assert await tract.get_commit(info.commit_hash[:digits].upper()) == info


async def test_three_digits_are_too_few_and_told_as_such(tract: AsyncTract) -> None:
    info = await tract.user("a")
    short = info.commit_hash[:3]

    assert await tract.get_commit(short) is None
    with pytest.raises(CommitNotFoundError, match="at least 4 digits"):
        await tract.get_content(short)


@pytest.mark.parametrize(
    "of", [lambda h: f"{h[:8]} ", lambda h: f"{h[:7]}g", lambda h: f"{h}0", lambda h: h[1:]]
)
async def test_what_is_not_the_beginning_of_a_hash_names_nothing(
    tract: AsyncTract, of: object
) -> None:
    info = await tract.user("a")
    assert callable(of)
    named = of(info.commit_hash)

    assert await tract.get_commit(named) is None
    with pytest.raises(CommitNotFoundError) as told:
        await tract.compile(at_commit=named)
    assert told.value.commit_hash == named
    with pytest.raises(EditTargetError, match="nor the name of one"):
        await tract.user("b", operation=CommitOperation.EDIT, edit_target=named)


async def test_short_hashes_are_those_of_the_tract_alone(
    store: TractStore, tract: AsyncTract, db_path: Path
) -> None:
    """Another tract's commit is neither found by one nor makes one ambiguous."""
    other = await store.tract("other").user("a")
    assert await tract.get_commit(other.commit_hash[:12]) is None

    add_twin(db_path, other.commit_hash, digits=12)
    info = await tract.user("a")
    assert await tract.get_commit(info.commit_hash[:12]) == info
    with pytest.raises(AmbiguousHashError):
        await store.tract("other").get_commit(other.commit_hash[:12])


async def test_more_digits_tell_twins_apart(tract: AsyncTract, db_path: Path) -> None:
    info = await tract.user("a")
    twin = add_twin(db_path, info.commit_hash, digits=10)

    for digits in (4, 10):
        with pytest.raises(AmbiguousHashError) as told:
            await tract.get_commit(info.commit_hash[:digits])
        assert told.value.candidates == tuple(sorted([info.commit_hash, twin]))
    assert await tract.get_commit(info.commit_hash[:11]) == info
    found = await tract.get_commit(twin[:11])
    assert found is not None
    assert found.commit_hash == twin


async def test_of_many_candidates_the_first_are_told(tract: AsyncTract, db_path: Path) -> None:
    info = await tract.user("a")
    made = sorted(
        [info.commit_hash, *(add_twin(db_path, info.commit_hash, digits=n) for n in range(10, 30))]
    )

    with pytest.raises(AmbiguousHashError, match="and others") as told:
        await tract.get_commit(info.commit_hash[:8])
    assert list(told.value.candidates) == made[: len(told.value.candidates)]
    assert 2 <= len(told.value.candidates) < len(made)


async def test_a_tag_and_a_branch_go_before_a_short_hash(tract: AsyncTract) -> None:
    a, b, c = [await tract.user(text) for text in "abc"]
    short = a.commit_hash[:6]
    assert await tract.get_commit(short) == a

    await tract.fork(short, at_commit=b.commit_hash)
    assert await tract.get_commit(short) == b
    await tract.tag(short, c.commit_hash)
    assert await tract.get_commit(short) == c
    assert await tract.get_commit(a.commit_hash[:7]) == a


async def test_commits_of_every_branch_are_found_by_short_hashes(tract: AsyncTract) -> None:
    await tract.user("a")
    fork = await tract.fork("aside")
    info = await fork.user("b")
    await tract.delete_branch("aside", force=True)

    assert await tract.get_commit(info.commit_hash[:8]) == info


async def test_a_short_hash_of_the_head_is_compared_in_the_transaction(
    store: TractStore, tract: AsyncTract
) -> None:
    """It may have been made by the very group that it comes in."""
    a = await tract.user("a")
    async with tract.batch(expected_head=a.commit_hash[:8]) as batch:
        batch.commit({"content_type": "freeform", "payload": 1})
    b = batch.commits[0]

    c = await store.tract("t").user("c", expected_head=b.commit_hash[:8])
    assert c.parent_hash == b.commit_hash
