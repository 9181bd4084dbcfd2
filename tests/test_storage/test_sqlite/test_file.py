"""The write-ahead log stays short, whoever reads meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from support.disks import size_of
from support.opening import COUNTER
from tract import AsyncTract
from tract.storage.sqlite.file import WriteAheadLog

LIMIT = 500_000


def connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    return connection


def length(path: Path) -> int:
    return size_of(path.with_name(f"{path.name}-wal"))


@contextmanager
def never_without_a_reader(path: Path) -> Iterator[None]:
    """Read in turns, each beginning before the other ends, so that the log is always in use."""
    done = threading.Event()
    begun = threading.Event()

    def read() -> None:
        with closing(connected(path)) as first, closing(connected(path)) as second:
            readers = [first, second]
            while not done.is_set():
                readers[0].execute("BEGIN")
                readers[0].execute("SELECT count(*) FROM sqlite_schema").fetchall()
                begun.set()
                if readers[1].in_transaction:
                    readers[1].execute("COMMIT")
                readers.reverse()
                sleep(0.005)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert begun.wait(10)
        yield
    finally:
        done.set()
        thread.join(10)


@pytest.fixture
def writer(db_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connected(db_path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        yield connection


def write(connection: sqlite3.Connection, log: WriteAheadLog, nbytes: int) -> int:
    """Write in transactions of 10 kB, with the log tended; return how often it was shortened."""
    shortened = 0
    for _ in range(nbytes // 10_000):
        connection.execute("INSERT INTO t VALUES (zeroblob(10000))")
        log.look()
        if log.is_long:
            log.shorten()
            shortened += 1
    return shortened


def test_a_log_that_is_always_being_read_is_shortened(
    writer: sqlite3.Connection, db_path: Path
) -> None:
    log = WriteAheadLog(writer, str(db_path), limit=LIMIT)
    with never_without_a_reader(db_path):
        shortened = write(writer, log, 8 * LIMIT)

    assert shortened >= 4
    assert length(db_path) < 2 * LIMIT


def test_a_reader_that_has_stopped_does_not_keep_writers_waiting_again_and_again(
    writer: sqlite3.Connection, db_path: Path
) -> None:
    log = WriteAheadLog(writer, str(db_path), limit=LIMIT, patience=0.05)
    with closing(connected(db_path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchall()
        start = monotonic()
        shortened = write(writer, log, 10 * LIMIT)
        took = monotonic() - start
        grown = length(db_path)
        reader.execute("COMMIT")

    assert shortened == 4  # at 1, 2, 4 and 8 times the limit
    assert grown > 10 * LIMIT
    assert took < 20  # most of it is writing, on a busy machine
    write(writer, log, 10 * LIMIT)
    assert length(db_path) < 1.2 * grown  # as long as it was, but begun anew


def test_waiting_for_readers_leaves_the_busy_timeout_as_it_was(
    writer: sqlite3.Connection, db_path: Path
) -> None:
    writer.execute("PRAGMA busy_timeout = 4321").fetchall()
    log = WriteAheadLog(writer, str(db_path), patience=0.01)
    log.shorten()
    with ExitStack() as stack:
        reader = stack.enter_context(closing(connected(db_path)))
        writer.execute("INSERT INTO t VALUES (1)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t").fetchall()
        writer.execute("INSERT INTO t VALUES (2)")
        log.shorten()

    assert writer.execute("PRAGMA busy_timeout").fetchone() == (4321,)


def test_a_database_in_memory_has_no_log() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        log = WriteAheadLog(connection, "", limit=0)

        assert write(connection, log, LIMIT) == 0


@pytest.mark.unmeasured
async def test_the_log_of_a_store_stays_short_while_others_read(db_path: Path) -> None:
    longest = 0
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("first")
        with never_without_a_reader(db_path):
            for number in range(400):
                await tract.user(f"{number} " * 30_000)
                longest = max(longest, length(db_path))
        assert (await tract.verify()).checked == 401

    assert size_of(db_path) > 40_000_000
    assert longest < 25_000_000
