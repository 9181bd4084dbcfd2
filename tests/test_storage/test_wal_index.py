"""The header of the WAL index: it changes with every commit, and looking at it harms nobody."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from support.opening import COUNTER
from tract import AsyncTract, TractStore
from tract.storage import wal_index
from tract.storage.wal_index import Header, WalIndex, is_next

pytestmark = pytest.mark.skipif(not wal_index._CAN_MAP, reason="no index is read here")


@pytest.fixture
def connection(db_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(db_path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        yield connection


@pytest.fixture
def index(connection: sqlite3.Connection) -> Iterator[WalIndex]:
    index = WalIndex.of(connection)
    yield index
    index.close()


def now(index: WalIndex) -> Header:
    header = index.header()
    assert header is not None
    return header


def in_another_process(db_path: Path, sql: str) -> str:
    """Run one statement and return what became of it."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)\n"
        "try:\n"
        "    print(connection.execute(sys.argv[2]).fetchall())\n"
        "except sqlite3.Error as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(db_path), sql], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def descriptors(db_path: Path) -> int:
    """Return how many descriptors of an index this process has, SQLite's own among them."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith(f"{db_path}-shm")
        except OSError:  # that of the listing
            continue
    return count


def test_every_commit_makes_the_next_state(connection: sqlite3.Connection, index: WalIndex) -> None:
    states = [now(index)]
    for number in range(50):
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        states.append(now(index))

    assert len(set(states)) == 51
    assert all(is_next(old, new) for old, new in pairwise(states))
    assert not any(is_next(old, new) for old, new in zip(states, states[2:], strict=False))


def test_a_commit_of_another_process_changes_the_state(
    connection: sqlite3.Connection, index: WalIndex, db_path: Path
) -> None:
    before = now(index)
    in_another_process(db_path, "INSERT INTO numbers VALUES (1)")

    assert not index.is_now(before)
    assert is_next(before, now(index))


def test_reads_and_what_is_rolled_back_leave_the_state(
    connection: sqlite3.Connection, index: WalIndex, db_path: Path
) -> None:
    before = now(index)
    in_another_process(db_path, "SELECT * FROM numbers")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO numbers VALUES (1)")
    connection.execute("ROLLBACK")

    assert index.is_now(before)


@pytest.mark.parametrize("kind", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
def test_a_checkpoint_takes_no_state_back(
    connection: sqlite3.Connection, index: WalIndex, db_path: Path, kind: str
) -> None:
    """A state that was there before a commit must never be there again."""
    seen = {now(index)}
    for number in range(20):
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        assert now(index) not in seen
        seen.add(now(index))
        in_another_process(db_path, f"PRAGMA wal_checkpoint({kind})") if number % 5 == 0 else None
        connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchall()
        seen.add(now(index))


def test_without_a_file_no_state_is_known() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert WalIndex.of(connection).header() is None


@pytest.mark.parametrize("pragma", ["journal_mode = DELETE", "locking_mode = EXCLUSIVE"])
def test_without_an_index_that_is_shared_no_state_is_known(db_path: Path, pragma: str) -> None:
    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        db_path.with_name(f"{db_path.name}-shm").write_bytes(bytes(32768))

        assert WalIndex.of(connection).header() is None


@pytest.mark.parametrize("content", [b"", bytes(32768), b"\x01" * 32768])
def test_a_file_that_is_no_index_is_not_taken_for_one(db_path: Path, content: bytes) -> None:
    with closing(sqlite3.connect(db_path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        shm = db_path.with_name(f"{db_path.name}-shm")
        os.rename(shm, f"{shm}-kept")
        shm.write_bytes(content)
        index = WalIndex.of(connection)
        index.close()
        os.replace(f"{shm}-kept", shm)

        assert index.header() is None


def test_a_closed_index_knows_no_state(connection: sqlite3.Connection, index: WalIndex) -> None:
    before = now(index)
    index.close()
    index.close()

    assert index.header() is None
    assert not index.is_now(before)


async def test_to_close_a_store_leaves_the_locks_of_others_in_this_process(db_path: Path) -> None:
    """POSIX gives up all of a process's locks on a file with the first descriptor it closes."""
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("hello")
        with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as again:
                await again.compile()
            await tract.aclose()
            told = in_another_process(db_path, "BEGIN IMMEDIATE")
            other.execute("ROLLBACK")

    assert told == "database is locked"


async def test_to_drop_a_store_leaves_the_locks_of_others_in_this_process(db_path: Path) -> None:
    with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
        store = await TractStore.open(db_path, tokenizer=COUNTER)
        await store.tract("t").user("hello")
        other.execute("BEGIN IMMEDIATE")
        with pytest.warns(ResourceWarning):
            del store
        gc.collect()
        await asyncio.sleep(0.05)
        told = in_another_process(db_path, "BEGIN IMMEDIATE")
        other.execute("ROLLBACK")

    assert told == "database is locked"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are not listed here")
async def test_closed_stores_leave_no_descriptor(db_path: Path) -> None:
    for _ in range(5):
        async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
            await tract.user("hello")
            async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as again:
                assert len((await again.compile()).messages) == 1
        assert descriptors(db_path) == 0


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are not listed here")
async def test_a_database_that_others_have_open_is_mapped_once(db_path: Path) -> None:
    with closing(sqlite3.connect(db_path)) as other:
        async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
            await tract.user("hello")
            other.execute("SELECT * FROM commits").fetchall()
            while_open = descriptors(db_path)
        for _ in range(5):
            async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
                await tract.compile()
                assert descriptors(db_path) == while_open
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER):
        pass

    assert descriptors(db_path) == 0


def test_what_is_in_use_by_others_is_left_behind_only_so_many_times(tmp_path: Path) -> None:
    others: list[sqlite3.Connection] = []
    known: list[bool] = []
    for number in range(wal_index._LINGERING + 5):
        connection = sqlite3.connect(tmp_path / f"{number}.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        others.append(connection)
        index = WalIndex.of(connection)
        known.append(index.header() is not None)
        index.close()
    for connection in others:
        connection.close()

    assert known.index(False) == known.count(True) <= wal_index._LINGERING
    with closing(sqlite3.connect(tmp_path / "0.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE letters (letter TEXT)")
        index = WalIndex.of(connection)
        assert index.header() is not None  # those that are deleted were let go of
        index.close()


def test_a_mapping_outlives_the_objects_around_it(
    connection: sqlite3.Connection, index: WalIndex
) -> None:
    """As at the end of Python: to take it apart would close its descriptor, and give up locks."""
    assert index._memory is not None
    memory = weakref.ref(index._memory)
    mapping = index._mapping
    index._memory = index._mapping = None
    assert mapping is not None
    wal_index._MAPPINGS.mapped = {
        key: other for key, other in wal_index._MAPPINGS.mapped.items() if other is not mapping
    }
    descriptors = mapping.descriptors
    del mapping
    gc.collect()

    found = memory()
    assert found is not None
    connection.close()
    found.close()
    for descriptor in descriptors:
        os.close(descriptor)
