"""The spool's contract: parts of open streams, added, listed and dropped."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from support.drafts import MAIN, OTHER_BRANCH, draft
from tract.exceptions import EditTargetError
from tract.protocols import TokenUsage
from tract.storage.database import Database
from tract.storage.repositories import BranchName, SpoolPart, StreamEnd, StreamName
from tract.storage.sqlite import SqliteCommitRepository, SqliteSpoolRepository

STREAM = StreamName(MAIN, "s1")
OTHER = StreamName(OTHER_BRANCH, "s2")
ELSEWHERE = StreamName(BranchName("another tract", "main"), "s1")


def owner() -> str:
    return "somebody"


@pytest.fixture
def spools(database: Database) -> SqliteSpoolRepository:
    return SqliteSpoolRepository(database)


async def test_parts_are_read_in_order_and_by_stream(spools: SqliteSpoolRepository) -> None:
    await spools.save(owner, [SpoolPart(STREAM, 0, [["text", "a"]])])
    await spools.save(
        owner,
        [SpoolPart(STREAM, 1, [["text", "b"], ["id", "x"]]), SpoolPart(OTHER, 0, [["text", "c"]])],
    )

    assert await spools.fragments(STREAM) == [["text", "a"], ["text", "b"], ["id", "x"]]
    assert await spools.fragments(OTHER) == [["text", "c"]]
    assert await spools.fragments(ELSEWHERE) == []


async def test_every_stream_is_listed_once_with_its_owner(spools: SqliteSpoolRepository) -> None:
    assert await spools.spooled() == []

    await spools.save(owner, [SpoolPart(STREAM, 0, []), SpoolPart(STREAM, 1, [])])
    await spools.save(owner, [SpoolPart(ELSEWHERE, 0, [])])

    listed = await spools.spooled()
    assert [(item.stream, item.owner) for item in listed] == [
        (STREAM, "somebody"),
        (ELSEWHERE, "somebody"),
    ]


async def test_a_part_that_comes_again_takes_the_place_of_the_first(
    spools: SqliteSpoolRepository,
) -> None:
    await spools.save(owner, [SpoolPart(STREAM, 0, [["text", "a"]])])
    await spools.save(owner, [SpoolPart(STREAM, 0, [["text", "ab"]])])

    assert await spools.fragments(STREAM) == [["text", "ab"]]


async def test_a_sign_of_life_is_noted(spools: SqliteSpoolRepository) -> None:
    await spools.save(owner, [SpoolPart(STREAM, 0, []), SpoolPart(OTHER, 0, [])])
    before = {item.stream: item.updated_at for item in await spools.spooled()}

    await spools.save(owner, [], [STREAM])

    after = {item.stream: item.updated_at for item in await spools.spooled()}
    assert after[STREAM] > before[STREAM]
    assert after[OTHER] == before[OTHER]


async def test_dropping_a_stream_leaves_the_others(spools: SqliteSpoolRepository) -> None:
    parts = [SpoolPart(stream, 0, [["text", "a"]]) for stream in (STREAM, OTHER, ELSEWHERE)]
    await spools.save(owner, parts)
    await spools.drop(STREAM)
    await spools.drop(STREAM)

    assert {item.stream for item in await spools.spooled()} == {OTHER, ELSEWHERE}


async def test_ending_a_stream_commits_and_drops_it(
    database: Database, spools: SqliteSpoolRepository
) -> None:
    commits = SqliteCommitRepository(database)
    [sent] = await commits.write(MAIN, [draft("sent")])
    await spools.save(owner, [SpoolPart(STREAM, 0, [])])
    usage = (TokenUsage(7, 2, 9), '{"prompt_tokens":7}')
    ending = StreamEnd(STREAM, head_hash=sent.commit_hash, usage=usage)
    records = await commits.write(MAIN, [draft("said"), draft("more")], ending=ending)

    assert [record.parent_hash for record in records] == [sent.commit_hash, records[0].commit_hash]
    assert await spools.spooled() == []


async def test_ending_a_stream_that_fails_drops_nothing(
    database: Database, spools: SqliteSpoolRepository
) -> None:
    await spools.save(owner, [SpoolPart(STREAM, 0, [])])
    with pytest.raises(EditTargetError):
        await SqliteCommitRepository(database).write(
            MAIN, [draft("said", target="0" * 64)], ending=StreamEnd(STREAM)
        )

    assert [item.stream for item in await spools.spooled()] == [STREAM]


async def test_a_claim_on_what_is_gone_commits_nothing(database: Database) -> None:
    commits = SqliteCommitRepository(database)
    ending = StreamEnd(STREAM, claim=True)

    assert await commits.write(MAIN, [draft("said")], ending=ending) == []
    assert await commits.log(MAIN, limit=None) == []


async def test_of_many_claims_at_once_one_is_granted(
    database: Database, spools: SqliteSpoolRepository
) -> None:
    await spools.save(owner, [SpoolPart(STREAM, 0, [])])
    commits = SqliteCommitRepository(database)
    claims = [
        commits.write(MAIN, [draft(str(number))], ending=StreamEnd(STREAM, claim=True))
        for number in range(10)
    ]

    assert sorted(map(len, await asyncio.gather(*claims))) == [0] * 9 + [1]


def columns(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute("PRAGMA table_info(spool)").fetchall()
