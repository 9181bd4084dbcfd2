"""The contract of the repositories: histories, walked from any head to any base."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from support.drafts import (
    MAIN,
    OTHER_BRANCH,
    annotation,
    draft,
    edit,
    ticking,
)
from support.repositories import Repositories, fork, names, none_known, say, steps_to
from tract import BlobNotFoundError, TractConfig
from tract.protocols import CommitStep
from tract.storage.database import Database, open_database
from tract.storage.repositories import BranchName, Located, Position
from tract.storage.sqlite import SqliteCommitRepository


async def test_the_log_pages_newest_first(store: Repositories) -> None:
    hashes = (await say(store, MAIN, *map(str, range(30))))[::-1]

    for limit in (0, 1, 4, 5, 29, 30, 31):
        page = await store.commits.log(MAIN, limit=limit)
        assert [record.commit_hash for record in page] == hashes[:limit]
    for before in (0, 7, 29):
        page = await store.commits.log(MAIN, limit=6, before=hashes[before])
        assert [record.commit_hash for record in page] == hashes[before + 1 : before + 7]


async def test_interleaved_branches_of_a_tract_each_see_their_own_history(
    store: Repositories,
) -> None:
    mine: list[str] = []
    other: list[str] = []
    for number in range(100):
        mine += await say(store, MAIN, f"m{number}")
        other += await say(store, OTHER_BRANCH, f"o{number}")

    for branch, hashes in ((MAIN, mine), (OTHER_BRANCH, other)):
        log = await store.commits.log(branch, limit=None)
        assert [record.commit_hash for record in log] == hashes[::-1]
        assert await steps_to(store, hashes[-1]) == ({None}, hashes)
        assert await steps_to(store, hashes[-1], hashes[30]) == ({hashes[30]}, hashes[31:])
        located = await store.commits.locate(branch, Position(), {hashes[80]}.__contains__)
        assert (located.base_hash, names(located.steps)) == (hashes[80], hashes[81:])


async def test_two_branches_written_in_one_group_stay_apart(store: Repositories) -> None:
    writes = [
        store.commits.write(branch, [draft(str(number))])
        for number in range(20)
        for branch in (MAIN, OTHER_BRANCH)
    ]
    records = [record for [record] in await asyncio.gather(*writes)]

    for branch, own in ((MAIN, records[::2]), (OTHER_BRANCH, records[1::2])):
        assert await store.commits.log(branch, limit=None) == own[::-1]


@pytest.mark.parametrize("length", [1, 4, 63, 64, 65, 200])
async def test_a_history_comes_whole_where_it_is_near_and_else_not_at_all(
    store: Repositories, length: int
) -> None:
    hashes = await say(store, MAIN, *map(str, range(length)))

    located = await store.commits.locate(MAIN, Position(), none_known)

    assert (located.head_hash, located.base_hash) == (hashes[-1], None)
    assert names(located.steps) == (hashes if length <= 64 else None)


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 5, 20, 63, 64, 65, 150])
async def test_the_nearest_known_ancestor_is_found_at_every_distance(
    store: Repositories, distance: int
) -> None:
    hashes = await say(store, MAIN, *map(str, range(200)))
    known = {hashes[199 - distance], hashes[199 - 160]}

    located = await store.commits.locate(MAIN, Position(), known.__contains__)

    if distance <= 64:
        assert located.base_hash == hashes[199 - distance]
        assert names(located.steps) == hashes[200 - distance :]
    else:
        assert located == Located(hashes[-1], None, None, None)
    if distance:
        assert await steps_to(store, hashes[-1], *known) == (
            {hashes[199 - distance]},
            hashes[200 - distance :],
        )


async def test_a_commit_is_located_without_regard_to_the_branch(store: Repositories) -> None:
    hashes = await say(store, MAIN, *"abcdef")
    await say(store, OTHER_BRANCH, "x")

    located = await store.commits.locate(OTHER_BRANCH, Position(hashes[3]), none_known)

    assert (located.head_hash, names(located.steps)) == (hashes[3], hashes[:4])


async def test_steps_carry_what_the_fold_needs(store: Repositories) -> None:
    first, second = await store.commits.write(
        MAIN, [draft("a", config='{"t":1}'), edit("b", target=0)]
    )

    located = await store.commits.locate(MAIN, Position(), none_known)

    assert located.steps == [
        CommitStep(
            first.commit_hash, "append", None, "dialogue", draft("a").data, 7, "tests", '{"t":1}'
        ),
        CommitStep(
            second.commit_hash,
            "edit",
            first.commit_hash,
            "dialogue",
            draft("b").data,
            7,
            "tests",
            None,
        ),
    ]


async def test_a_history_of_thousands_comes_in_batches_complete_and_in_order(
    store: Repositories,
) -> None:
    hashes: list[str] = []
    for block in range(4):
        hashes += await say(store, MAIN, *(f"{block}.{number}" for number in range(800)))
        await say(store, OTHER_BRANCH, *(f"x{block}.{number}" for number in range(10)))

    assert await steps_to(store, hashes[-1]) == ({None}, hashes)
    assert await steps_to(store, hashes[-1], hashes[5]) == ({hashes[5]}, hashes[6:])
    log = await store.commits.log(MAIN, limit=None)
    assert [record.commit_hash for record in log] == hashes[::-1]
    batches = [
        batch async for batch in store.commits.stored(MAIN.tract_id, [hashes[-1], hashes[700]])
    ]
    assert [item.record.commit_hash for batch in batches for item in batch] == hashes[::-1]
    assert len(batches) > 1


async def test_a_history_of_a_whole_number_of_batches_ends_there(store: Repositories) -> None:
    hashes = await say(store, MAIN, *map(str, range(2000)))

    assert await steps_to(store, hashes[-1]) == ({None}, hashes)
    batches = [batch async for batch in store.commits.stored(MAIN.tract_id, [hashes[-1]])]
    assert sum(map(len, batches)) == 2000


async def test_commits_a_microsecond_apart_are_all_met(db_path: Path) -> None:
    database = await open_database(str(db_path), TractConfig(), ticking(step=1))
    commits = SqliteCommitRepository(database)
    drafts = [draft(str(number)) for number in range(2100)]
    hashes = [record.commit_hash for record in await commits.write(MAIN, drafts)]

    found = [
        step.commit_hash
        async for _, steps in commits.history(MAIN.tract_id, hashes[-1], none_known)
        for step in steps
    ]
    stored = [
        item.record.commit_hash
        async for batch in commits.stored(MAIN.tract_id, [hashes[-1]])
        for item in batch
    ]
    assert found == hashes
    assert stored == hashes[::-1]
    await database.aclose()


async def test_a_time_finds_the_newest_commit_of_the_branch_at_or_before_it(
    store: Repositories,
) -> None:
    mine = await store.commits.write(MAIN, [draft("a"), draft("b")])  # at 1000, 2000
    await say(store, OTHER_BRANCH, "x")  # at 3000
    mine += await store.commits.write(MAIN, [draft("c")])  # at 4000

    found = {}
    for time in (-1, 999, 1000, 1999, 2000, 3500, 4000, 2**60):
        located = await store.commits.locate(MAIN, Position(at_time=time), none_known)
        found[time] = located.head_hash
    a, b, c = (record.commit_hash for record in mine)
    assert found == {-1: None, 999: None, 1000: a, 1999: a, 2000: b, 3500: b, 4000: c, 2**60: c}


async def test_a_time_before_a_fork_finds_the_commits_of_its_origin(
    store: Repositories, database: Database
) -> None:
    a, b = await say(store, MAIN, "a", "b")  # at 1000, 2000
    await fork(database, b)
    await say(store, MAIN, "c")  # at 4000, the fork at 3000
    unmoved = await store.commits.locate(OTHER_BRANCH, Position(at_time=1500), none_known)
    [own] = await say(store, OTHER_BRANCH, "d")  # at 5000

    found = []
    for time in (999, 1500, 2000, 4500, 5000):
        located = await store.commits.locate(OTHER_BRANCH, Position(at_time=time), none_known)
        found.append(located.head_hash)
    assert unmoved.head_hash == a
    assert found == [None, a, b, b, own]
    log = await store.commits.log(OTHER_BRANCH, limit=None)
    assert [record.commit_hash for record in log] == [own, b, a]


async def test_annotations_come_oldest_first_and_from_the_branch_alone(
    store: Repositories, database: Database
) -> None:
    [entry] = await say(store, MAIN, "a")
    [first] = await store.commits.write(MAIN, [annotation(entry, "one")])
    await fork(database, first.commit_hash)
    [second] = await store.commits.write(MAIN, [annotation(entry, "two"), edit("b", entry)][:1])
    [other] = await store.commits.write(OTHER_BRANCH, [annotation(entry, "three")])

    on_main = await store.commits.annotations(MAIN, entry)
    on_other = await store.commits.annotations(OTHER_BRANCH, entry)
    assert [item.record for item in on_main] == [first, second]
    assert [item.record for item in on_other] == [first, other]
    assert [item.data for item in on_main] == [draft("one").data, draft("two").data]


async def test_an_entry_without_annotations_has_none(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "a")
    await store.commits.write(MAIN, [edit("b", entry)])

    assert await store.commits.annotations(MAIN, entry) == []
    assert await store.commits.annotations(BranchName("agent", "never"), entry) == []


async def test_stored_gives_every_reachable_commit_once(
    store: Repositories, database: Database
) -> None:
    a, b = await say(store, MAIN, "a", "b")
    await fork(database, b)
    [c] = await say(store, MAIN, "c")
    [d] = await say(store, OTHER_BRANCH, "d")

    batches = [batch async for batch in store.commits.stored("agent", [c, d])]
    assert [item.record.commit_hash for batch in batches for item in batch] == [d, c, b, a]
    assert batches[0][0].data == draft("d").data


async def test_a_lost_blob_is_named_wherever_it_is_needed(
    store: Repositories, database: Database
) -> None:
    lost, kept = await store.commits.write(MAIN, [draft("lost"), draft("kept")])

    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(
            "DELETE FROM blobs WHERE content_hash = ?", [bytes.fromhex(lost.content_hash)]
        )
        connection.commit()

    await database._workers[0].run(lose)
    reopened = SqliteCommitRepository(database)

    for needing in (
        store.blobs.get("agent", lost.commit_hash),
        reopened.locate(MAIN, Position(), none_known),
        steps_to(store, kept.commit_hash),
    ):
        with pytest.raises(BlobNotFoundError) as missing:
            await needing
        assert missing.value.content_hash == lost.content_hash
    [batch] = [batch async for batch in store.commits.stored("agent", [kept.commit_hash])]
    assert [item.data for item in batch] == [draft("kept").data, None]
