"""What SQLite stores for a write, and reads for an answer; the contract is in `tests/contract`."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from support.drafts import MAIN, OTHER_TRACT, draft, edit, ticking
from support.engines import over
from support.repositories import UNKNOWN, Repositories, say
from tract import EditTargetError, HeadMovedError, TractConfig
from tract.storage.repositories import SpoolPart, StreamName
from tract.storage.sql.statements import tracts as sql
from tract.storage.sql.statements.compiled import Statement
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.database import Database, open_database


@pytest_asyncio.fixture
async def database(db_path: Path) -> AsyncIterator[Database]:
    opened = await open_database(str(db_path), TractConfig(), ticking())
    yield opened
    await opened.aclose()


@pytest.fixture
def store(database: Database) -> Repositories:
    return over(database)


def blobs(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        [count] = connection.execute("SELECT count(*) FROM blobs").fetchone()
    return int(count)


def steps_of(statement: Statement, connection: SqliteConnection) -> int:
    """Return how many instructions of SQLite's machine a statement takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.raw.set_progress_handler(count, 1)
    try:
        connection.all(statement)
    finally:
        connection.raw.set_progress_handler(None, 1)
    return steps


async def test_content_is_stored_once_whoever_commits_it(
    store: Repositories, db_path: Path
) -> None:
    await say(store, MAIN, "same", "same")
    await say(store, OTHER_TRACT, "same")

    assert blobs(db_path) == 1


async def test_a_refused_write_leaves_no_content(store: Repositories, db_path: Path) -> None:
    await say(store, MAIN, "a")

    for expected in (None, UNKNOWN):
        with pytest.raises(HeadMovedError):
            await store.commits.write(MAIN, [draft("b")], expected_head=expected)
    for target in (1, -1, 2, UNKNOWN):
        with pytest.raises(EditTargetError):
            await store.commits.write(MAIN, [draft("c"), edit("d", target)])
    assert blobs(db_path) == 1


async def test_listing_tracts_reads_no_more_where_they_hold_more(
    store: Repositories, database: Database
) -> None:
    async def steps() -> int:
        return await database.read(partial(steps_of, sql.TRACT_IDS))

    await say(store, MAIN, "a")
    await say(store, OTHER_TRACT, "a")
    few = await steps()
    await say(store, MAIN, *map(str, range(300)))
    many = await steps()

    assert await store.tracts.ids() == ["agent", "rival"]
    assert many == few


@pytest.mark.parametrize("step", [0, -1_000_000], ids=["stands", "goes back"])
async def test_signs_of_life_come_one_after_another_whatever_the_clock_does(
    db_path: Path, step: int
) -> None:
    """Else a stream that was gone on with would look as it did to who has listed it before."""
    now = 1_000_000_000_000_000

    def clock() -> int:
        nonlocal now
        now += step
        return now

    database = await open_database(str(db_path), TractConfig(), clock)
    spools, stream = over(database).spools, StreamName(MAIN, "s")
    signs = []
    for number in range(3):
        await spools.save("me", [SpoolPart(stream, number, [])])
        signs += [item.updated_at for item in await spools.spooled()]
        await spools.save("me", [], [stream])
        signs += [item.updated_at for item in await spools.spooled()]
    await database.aclose()

    assert signs == sorted(set(signs))
    assert len(signs) == 6
