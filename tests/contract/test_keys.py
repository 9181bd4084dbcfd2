"""Keys: callers' own names for commits, unique in their tract."""

from __future__ import annotations

import hashlib

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, annotation, draft, edit
from support.repositories import Repositories, hashes
from tract import CommitNotFoundError, EditTargetError, HeadMovedError, KeyExistsError, OnKey
from tract.storage.repositories import CommitDraft

AGENT = MAIN.tract_id
LONG = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(1024))
"""3,072 bytes that do not compress, more than an index of PostgreSQL takes."""


def keyed(key: str, text: str = "hello", on_key: OnKey = "error") -> CommitDraft:
    return draft(text)._replace(key=key, on_key=on_key)


async def listed(store: Repositories, prefix: str = "", **options: object) -> list[str | None]:
    return [row.key for row in await store.keys.listed(AGENT, prefix, **options)]  # type: ignore[arg-type]


async def test_a_key_names_its_commit_in_its_tract_alone(store: Repositories) -> None:
    [row] = await store.commits.write(MAIN, [keyed("a")])
    await store.commits.write(OTHER_TRACT, [keyed("b")])

    assert row.key == "a"
    assert await store.keys.find(AGENT, ["b", "a", "a"]) == {"a": row}
    assert await store.keys.find(AGENT, []) == {}
    assert await store.keys.find("nobody", ["a"]) == {}
    assert await store.commits.get(AGENT, row.commit_hash) == row


async def test_many_keys_are_found_at_once_in_their_order(store: Repositories) -> None:
    named = [f"key {number:03}" for number in range(150)]
    await store.commits.write(MAIN, [keyed(each, each) for each in named])

    assert [*await store.keys.find(AGENT, named[::-1])] == named[::-1]


async def test_a_taken_key_is_an_error_and_nothing_is_written(store: Repositories) -> None:
    [first] = await store.commits.write(MAIN, [keyed("a")])
    for drafts, commit_hash in (
        ([draft("b"), keyed("a", "c")], first.commit_hash),
        ([keyed("b"), keyed("b")], None),
    ):
        with pytest.raises(KeyExistsError) as raised:
            await store.commits.write(OTHER_BRANCH, drafts)
        assert raised.value.commit_hash == commit_hash

    assert await store.refs.head(OTHER_BRANCH) is None


async def test_a_kept_commit_is_returned_whatever_the_head(store: Repositories) -> None:
    [first] = await store.commits.write(MAIN, [keyed("a")])
    [second] = await store.commits.write(MAIN, [draft("b")])
    again = [keyed("a", "other", "keep")]

    assert await store.commits.write(MAIN, again, expected_head=None) == [first]
    assert await store.commits.write(OTHER_BRANCH, again) == [first]
    assert await store.refs.head(MAIN) == second.commit_hash
    with pytest.raises(HeadMovedError):
        await store.commits.write(MAIN, [*again, draft("c")], expected_head=None)


async def test_later_items_may_target_what_was_kept(store: Repositories) -> None:
    [first] = await store.commits.write(MAIN, [keyed("a")])
    kept, edited, new, same, skipped = await store.commits.write(
        MAIN,
        [
            keyed("a", on_key="keep"),
            edit("edited", 0),
            keyed("b", on_key="keep"),
            keyed("b", "other", "keep"),
            annotation(3),
        ],
    )

    assert (kept, edited.edit_target) == (first, first.commit_hash)
    assert same == new
    assert skipped.edit_target == new.commit_hash
    with pytest.raises(EditTargetError):
        await store.commits.write(OTHER_BRANCH, [keyed("a", on_key="keep"), edit("x", 0)])


async def test_a_replaced_key_names_the_new_commit(store: Repositories) -> None:
    [first] = await store.commits.write(MAIN, [keyed("a")])
    _, last = await store.commits.write(
        MAIN, [keyed("a", "b", "replace"), keyed("a", "c", "replace")]
    )

    assert await store.keys.find(AGENT, ["a"]) == {"a": last}
    assert await store.keys.listed(AGENT) == [last]
    assert await store.commits.get(AGENT, first.commit_hash) == first
    assert await store.checks.misplaced(AGENT) == []


async def test_keys_are_listed_by_code_point(store: Repositories) -> None:
    named = ["Z", "a", "a/1", "a/2", "a\ud7ff", "a\ue000", "a\U0010ffff", "b", "é", "\U0001f600"]
    await store.commits.write(MAIN, [keyed(each, each) for each in reversed(named)])

    assert await listed(store) == named
    assert await listed(store, "a") == named[1:7]
    assert await listed(store, "a\ud7ff") == ["a\ud7ff"]
    assert await listed(store, "a\U0010ffff") == ["a\U0010ffff"]
    assert await listed(store, before="a/1", limit=2) == named[3:5]
    assert await listed(store, "a", before="b") == []
    assert await listed(store, limit=0) == []
    assert await store.keys.listed("nobody") == []


async def test_keys_are_listed_by_time(store: Repositories) -> None:
    for each in ("a/2", "b", "a/1", "c"):
        await store.commits.write(MAIN, [keyed(each, each)])
    await store.commits.write(MAIN, [keyed("a/2", "again", "replace")])

    assert await listed(store, newest=True) == ["a/2", "c", "a/1", "b"]
    assert await listed(store, "a/", newest=True) == ["a/2", "a/1"]
    assert await listed(store, "a/", newest=True, before="a/2") == ["a/1"]
    assert await listed(store, newest=True, before="c", limit=1) == ["a/1"]
    with pytest.raises(CommitNotFoundError):
        await listed(store, newest=True, before="unknown")


@pytest.mark.parametrize("others", [0, 1100])
async def test_the_newest_of_a_prefix_come_however_many_others_are_newer(
    store: Repositories, others: int
) -> None:
    old = [f"old/{number}" for number in (3, 1, 2)]
    await store.commits.write(MAIN, [keyed(each, each) for each in [*old, LONG, LONG[:-1]]])
    new = [f"new/{number:04}" for number in range(others)]
    await store.commits.write(MAIN, [keyed(each, each) for each in reversed(new)])

    assert await listed(store, "old/", newest=True, limit=2) == ["old/2", "old/1"]
    assert await listed(store, "old/", newest=True, before="old/1", limit=1) == ["old/3"]
    assert await listed(store, "old/", newest=True, limit=9) == old[::-1]
    assert await listed(store, "new/", newest=True, limit=2) == new[:2]
    assert await listed(store, LONG[:300], newest=True, limit=1) == [LONG[:-1]]
    assert await listed(store, LONG, newest=True, limit=1) == [LONG]
    assert await listed(store, "none/", newest=True, limit=1) == []
    assert await listed(store, "new/", newest=True, limit=0) == []


async def test_a_key_may_have_any_1024_characters(store: Repositories) -> None:
    other = LONG[:-1]
    long, short = await store.commits.write(MAIN, [keyed(LONG), keyed(other, "b")])

    assert await store.keys.find(AGENT, [LONG, other]) == {LONG: long, other: short}
    assert {*hashes(await store.keys.listed(AGENT, LONG[:300]))} == {
        long.commit_hash,
        short.commit_hash,
    }
    assert await store.keys.listed(AGENT, LONG) == [long]
    assert await store.keys.listed(AGENT, LONG[:300] + "x") == []
    assert await store.checks.misplaced(AGENT) == []
    with pytest.raises(KeyExistsError):
        await store.commits.write(MAIN, [keyed(LONG)])


async def test_no_key_takes_the_place_of_another(store: Repositories) -> None:
    long = "a" * 256 + "\U0001f600" * 700
    looks_alike = long[:256] + hashlib.sha256(long.encode()).hexdigest()
    for key in (long, looks_alike):
        await store.commits.write(MAIN, [keyed(key)])

    assert [*await store.keys.find(AGENT, [long, looks_alike])] == [long, looks_alike]


async def test_two_openings_give_a_key_once(pair: tuple[Repositories, Repositories]) -> None:
    one, two = pair
    [first] = await one.commits.write(MAIN, [keyed("a")])
    [second] = await two.commits.write(MAIN, [keyed("b")])

    with pytest.raises(KeyExistsError):
        await two.commits.write(MAIN, [keyed("a", "other")])
    assert await one.commits.write(MAIN, [keyed("b", "other", "keep")]) == [second]
    assert await two.keys.listed(AGENT) == [first, second]
