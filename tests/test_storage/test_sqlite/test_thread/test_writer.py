"""Group commit: shared transactions in which everybody answers only for their own write."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import sleep, time_ns

import aiosqlite
import pytest
import pytest_asyncio

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, edit, ticking
from support.faults import refuse_at_commit
from support.probes import workers_of
from tract import (
    UNSET,
    EditTargetError,
    HeadMovedError,
    StorageError,
    StoreBusyError,
    StoreFullError,
    TractConfig,
)
from tract.storage.repositories import (
    BranchName,
    CommitRow,
    SpoolPart,
    StreamEnd,
    StreamFate,
    StreamName,
)
from tract.storage.sql.freshness import Freshness
from tract.storage.sql.repositories import repositories_over
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.database import Database, open_database
from tract.storage.sqlite.file import DatabaseFile, WriteAheadLog
from tract.storage.sqlite.thread.worker import Worker
from tract.storage.sqlite.thread.writer import GroupWriter, Transactions

PATIENCE = TractConfig(busy_timeout=0.05)


@pytest_asyncio.fixture
async def database(db_path: Path) -> AsyncIterator[Database]:
    database = await open_database(str(db_path), PATIENCE, ticking())
    yield database
    async with asyncio.timeout(20):
        await database.aclose()


@contextmanager
def another_program(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program, whose transactions are its own business."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def saying(text: str, branch: BranchName = MAIN) -> Callable[[WriteTransaction], CommitRow]:
    return lambda transaction: transaction.commit(branch, [draft(text)])[0]


async def said(database: Database, branch: BranchName = MAIN) -> list[str]:
    """Return what was said on a branch, oldest first, having checked that it is one line."""
    records = await repositories_over(database).histories.log(branch, limit=None)
    oldest_first = records[::-1]
    parents = [record.parent_hash for record in oldest_first]
    assert parents == [None, *(record.commit_hash for record in oldest_first)][:-1]
    return [(record.message or "").removeprefix("says ") for record in oldest_first]


async def landed(database: Database, *jobs: Callable[[WriteTransaction], object]) -> list[object]:
    """Return the results and errors of *jobs*, written at once; none may hang."""
    async with asyncio.timeout(20):
        return await asyncio.gather(*(database.write(job) for job in jobs), return_exceptions=True)


class Held:
    """A write that keeps the connection's thread until it is let go."""

    def __init__(self, database: Database, text: str = "held") -> None:
        self._go = threading.Event()
        self._there = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._text = text
        self.task = asyncio.create_task(database.write(self._job))

    def _job(self, transaction: WriteTransaction) -> CommitRow:
        self._loop.call_soon_threadsafe(self._there.set)
        assert self._go.wait(10)
        return saying(self._text)(transaction)

    async def arrival(self) -> None:
        await self._there.wait()

    def let_go(self) -> None:
        self._go.set()


@pytest.mark.parametrize(("writes", "transactions"), [(1, 1), (200, 2), (513, 2), (1500, 4)])
async def test_writes_that_come_together_share_transactions(
    database: Database, writes: int, transactions: int
) -> None:
    """The first leaves at once, nobody else having written before; the others wait for it."""
    before = database.trips

    await landed(database, *(saying(str(number)) for number in range(writes)))

    assert database.trips - before == transactions
    assert await said(database) == [str(number) for number in range(writes)]


async def test_writes_that_come_while_one_is_away_share_the_next(database: Database) -> None:
    before = database.trips
    held = Held(database)
    await held.arrival()
    others = [asyncio.create_task(database.write(saying(str(number)))) for number in range(50)]
    await asyncio.sleep(0.01)
    held.let_go()
    await asyncio.gather(held.task, *others)

    assert database.trips - before == 2
    assert await said(database) == ["held", *map(str, range(50))]


async def test_each_caller_gets_the_result_of_their_own_write(database: Database) -> None:
    results = await landed(database, *(saying(str(number)) for number in range(20)))

    assert [item.message for item in results if isinstance(item, CommitRow)] == [
        f"says {number}" for number in range(20)
    ]


async def test_a_refused_write_fails_alone_in_the_same_transaction(database: Database) -> None:
    await landed(database, saying("warm"), saying("up"), saying("together"))
    before = database.trips

    results = await landed(
        database,
        saying("a"),
        lambda transaction: transaction.commit(MAIN, [draft("b"), edit("c", "0" * 64)]),
        lambda transaction: transaction.commit(MAIN, [draft("d")], expected_head=None),
        saying("e"),
    )

    assert [type(item) for item in results] == [
        CommitRow,
        EditTargetError,
        HeadMovedError,
        CommitRow,
    ]
    assert database.trips - before == 1
    assert (await said(database))[-2:] == ["a", "e"]


async def test_of_two_writes_in_a_group_on_one_expected_head_the_first_wins(
    database: Database,
) -> None:
    results = await landed(
        database,
        *(
            lambda transaction: transaction.commit(MAIN, [draft()], expected_head=None)
            for _ in "ab"
        ),
    )

    won, lost = results
    assert isinstance(won, list)
    assert isinstance(lost, HeadMovedError)
    assert (lost.expected, lost.actual) == (None, won[0].commit_hash)


class Abort(BaseException):
    """No Exception, as a cancellation is none."""


@pytest.mark.parametrize(
    ("raised", "comes_as"),
    [
        (ValueError("unforeseen"), ValueError),
        (sqlite3.IntegrityError("constraint"), StorageError),
        (MemoryError(), MemoryError),
        (Abort(), Abort),
    ],
)
@pytest.mark.parametrize("position", [0, 2, 4])
async def test_a_write_that_fails_half_way_leaves_nothing_and_harms_nobody(
    database: Database, raised: BaseException, comes_as: type[BaseException], position: int
) -> None:
    def culprit(transaction: WriteTransaction) -> None:
        saying("lost")(transaction)
        raise raised

    jobs: list[Callable[[WriteTransaction], object]] = [saying(text) for text in "abcd"]
    jobs.insert(position, culprit)
    results = await landed(database, *jobs)

    assert [type(item) for item in results if not isinstance(item, CommitRow)] == [comes_as]
    assert isinstance(results[position], comes_as)
    assert await said(database) == list("abcd")
    blobs = await database.read(lambda to: to.raw.execute("SELECT count(*) FROM blobs").fetchone())
    assert blobs == (4,)


async def test_what_the_database_refuses_fails_alone(database: Database, db_path: Path) -> None:
    with another_program(db_path) as other:
        other.execute(
            "CREATE TRIGGER picky BEFORE INSERT ON commits WHEN NEW.message = 'says bad' "
            "BEGIN SELECT RAISE(ABORT, 'not that one'); END"
        )

    results = await landed(
        database, saying("a"), saying("bad"), saying("b", OTHER_BRANCH), saying("c", OTHER_TRACT)
    )

    assert isinstance(results[1], StorageError)
    assert "not that one" in str(results[1])
    assert isinstance(results[1].__cause__, sqlite3.IntegrityError)
    assert [type(item) for item in results].count(CommitRow) == 3
    assert await said(database) == ["a"]
    assert await said(database, OTHER_BRANCH) == ["b"]
    assert await said(database, OTHER_TRACT) == ["c"]
    blobs = await database.read(lambda to: to.raw.execute("SELECT count(*) FROM blobs").fetchone())
    assert blobs == (3,)


def ending(name: str, message: str, fate: StreamFate) -> Callable[[WriteTransaction], object]:
    item = draft(name)._replace(message=message)
    end = StreamEnd(StreamName(MAIN, name), "me", fate=fate)
    return lambda transaction: transaction.end_stream(MAIN, [item], UNSET, end)


@pytest.mark.parametrize("fellows", [0, 3])
async def test_a_stream_has_ended_once_its_transaction_is_committed_and_not_before(
    database: Database, db_path: Path, fellows: int
) -> None:
    """A COMMIT that fails leaves its text to be saved."""
    refuse_at_commit(db_path, "says bad")
    fates = [StreamFate() for _ in range(fellows + 1)]
    names = ["bad", *"abc"[:fellows]]
    jobs = [ending(name, f"says {name}", fate) for name, fate in zip(names, fates, strict=True)]
    held = Held(database)
    await held.arrival()
    writes = [asyncio.create_task(database.write(job)) for job in jobs]
    await asyncio.sleep(0)
    held.let_go()
    refused, *results = await asyncio.gather(*writes, return_exceptions=True)

    assert isinstance(refused, StorageError)
    assert isinstance(refused.__cause__, sqlite3.IntegrityError)
    assert [type(result) for result in results] == [list] * fellows
    assert [fate.ended for fate in fates] == [False, *[True] * fellows]
    spools = repositories_over(database).spools
    parts = [
        SpoolPart(StreamName(MAIN, name), 0, [name], fate)
        for name, fate in zip(names, fates, strict=True)
    ]
    await spools.save("me", parts)
    assert [item.stream.stream_id for item in await spools.spooled()] == ["bad"]
    assert await said(database) == ["held", *names[1:]]


async def test_a_head_that_cannot_be_moved_takes_its_commits_back(
    database: Database, db_path: Path
) -> None:
    with another_program(db_path) as other:
        other.execute(
            "CREATE TRIGGER stuck BEFORE INSERT ON refs WHEN NEW.name = 'refs/heads/other' "
            "BEGIN SELECT RAISE(ROLLBACK, 'stuck'); END"
        )

    results = await landed(database, saying("a"), saying("b", OTHER_BRANCH), saying("c"))

    assert isinstance(results[1], StorageError)
    assert await said(database) == ["a", "c"]
    assert await said(database, OTHER_BRANCH) == []
    rows = await database.read(lambda to: to.raw.execute("SELECT count(*) FROM commits").fetchone())
    assert rows == (2,)


async def test_a_locked_database_is_busy_for_everybody_and_then_works_again(
    database: Database, db_path: Path
) -> None:
    with another_program(db_path) as other:
        other.execute("BEGIN IMMEDIATE")
        results = await landed(database, *(saying(text) for text in "abc"))

        assert [type(item) for item in results] == [StoreBusyError] * 3
        for error in results:
            assert isinstance(error, StoreBusyError)
            assert error.path == str(db_path)
            assert "busy_timeout" in str(error)
        assert await said(database) == []
        other.execute("ROLLBACK")
    await landed(database, saying("d"))
    assert await said(database) == ["d"]


async def test_a_write_waits_for_another_program_as_long_as_it_may(db_path: Path) -> None:
    database = await open_database(str(db_path), TractConfig(busy_timeout=10), ticking())
    with another_program(db_path) as other:
        other.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(database.write(saying("a")))
        await asyncio.sleep(0.05)
        assert not write.done()
        other.execute("COMMIT")
        await write

    assert await said(database) == ["a"]
    await database.aclose()


async def test_a_write_cancelled_before_it_left_writes_nothing(database: Database) -> None:
    await landed(database, saying("warm"), saying("up"), saying("together"))
    cancelled = asyncio.create_task(database.write(saying("cancelled")))
    kept = asyncio.create_task(database.write(saying("kept")))
    await asyncio.sleep(0)
    cancelled.cancel()

    await kept
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert (await said(database))[3:] == ["kept"]


async def test_a_write_cancelled_in_the_queue_writes_nothing(database: Database) -> None:
    held = Held(database)
    await held.arrival()
    cancelled = asyncio.create_task(database.write(saying("cancelled")))
    kept = asyncio.create_task(database.write(saying("kept")))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    held.let_go()
    await asyncio.gather(held.task, kept)

    assert cancelled.cancelled()
    assert await said(database) == ["held", "kept"]


async def test_a_write_cancelled_on_its_way_lands_whole(database: Database) -> None:
    held = Held(database)
    fellow = asyncio.create_task(database.write(saying("fellow")))
    await held.arrival()
    held.task.cancel()
    await asyncio.wait([held.task])
    held.let_go()
    await fellow

    assert held.task.cancelled()
    assert await said(database) == ["held", "fellow"]


async def test_when_every_write_of_a_group_was_cancelled_the_next_still_goes(
    database: Database,
) -> None:
    await landed(database, saying("warm"), saying("up"), saying("together"))
    before = database.trips
    cancelled = [asyncio.create_task(database.write(saying("no"))) for _ in range(3)]
    await asyncio.sleep(0)
    for task in cancelled:
        task.cancel()
    await asyncio.wait(cancelled)

    assert database.trips == before
    await landed(database, saying("yes"))
    assert (await said(database))[3:] == ["yes"]


async def test_cancelling_at_every_step_loses_and_doubles_nothing(database: Database) -> None:
    acknowledged: list[str] = []
    for steps in range(30):
        task = asyncio.create_task(database.write(saying(str(steps))))
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.cancel():
            await asyncio.wait([task])
        if not task.cancelled():
            acknowledged.append(str(steps))
    await landed(database, saying("last"))

    texts = await said(database)
    assert len(texts) == len(set(texts))
    assert set(acknowledged) <= set(texts)


async def test_a_full_disk_refuses_what_does_not_fit_and_work_goes_on(database: Database) -> None:
    await landed(database, saying("a"))
    writer = workers_of(database)[0]

    def limit(pages: int) -> Callable[[sqlite3.Connection], None]:
        return lambda raw: raw.execute(f"PRAGMA max_page_count = {pages}").close()

    used = await writer.run(lambda raw: int(raw.execute("PRAGMA page_count").fetchone()[0]))
    await writer.run(limit(used + 3))
    large = "x" * 200_000
    results = await landed(database, saying(large), saying("small"))

    assert isinstance(results[0], StoreFullError)
    assert "Nothing was written" in str(results[0])
    assert isinstance(results[1], CommitRow)
    assert await said(database) == ["a", "small"]
    await writer.run(limit(1_000_000))
    await landed(database, saying(large))
    assert await said(database) == ["a", "small", large]


@pytest.mark.parametrize(
    "readings",
    [[5_000] * 12, [5_000, 4_000, 3_000] * 4, [0] * 12, [-7] * 12],
    ids=["standing still", "jumping back", "at zero", "before 1970"],
)
async def test_time_strictly_increases_whatever_the_clock_says(
    db_path: Path, readings: list[int]
) -> None:
    clock = iter(readings)
    database = await open_database(str(db_path), PATIENCE, lambda: next(clock))
    for number in range(3):
        await landed(database, saying(f"{number}"), saying(f"{number}o", OTHER_BRANCH))
    await landed(database, lambda transaction: transaction.commit(MAIN, [draft(), draft()]))

    records = [
        *await repositories_over(database).histories.log(MAIN, limit=None),
        *await repositories_over(database).histories.log(OTHER_BRANCH, limit=None),
    ]
    times = [record.created_at for record in records]
    assert len(set(times)) == 8
    assert len(await said(database)) == 5
    assert min(times) > 0
    await database.aclose()


async def test_time_increases_across_stores_whose_clocks_disagree(db_path: Path) -> None:
    ahead = await open_database(str(db_path), PATIENCE, lambda: 9_000)
    behind = await open_database(str(db_path), PATIENCE, lambda: 1_000)
    for number in range(3):
        await landed(ahead, saying(f"a{number}"))
        await landed(behind, saying(f"b{number}"))

    assert await said(ahead) == ["a0", "b0", "a1", "b1", "a2", "b2"]
    records = await repositories_over(behind).histories.log(MAIN, limit=None)
    assert [record.created_at for record in records] == list(range(9_005, 8_999, -1))
    await ahead.aclose()
    await behind.aclose()


def test_writes_tried_singly_wait_for_a_locked_database_once_not_each(db_path: Path) -> None:
    """Else 512 of them would keep the thread for 512 times the busy timeout."""
    begins: list[str] = []

    def fail(_: WriteTransaction) -> None:
        raise RuntimeError

    with (
        closing(sqlite3.connect(db_path, isolation_level=None, timeout=0.05)) as ours,
        another_program(db_path) as other,
    ):

        def trace(statement: str) -> None:
            if statement.startswith("BEGIN"):
                begins.append(statement)
                if len(begins) == 2:  # the group has failed; another program is quicker
                    other.execute("BEGIN IMMEDIATE")

        file = DatabaseFile(ours)
        ours.set_trace_callback(trace)
        transactions = Transactions(file, Freshness(), "p", time_ns)
        outcomes = transactions.run(ours, jobs=[fail, fail, fail])

    assert len(begins) == 2
    assert [type(outcome.error) for outcome in outcomes] == [StoreBusyError] * 3
    assert len({id(outcome.error) for outcome in outcomes}) == 3


async def test_once_writes_have_come_together_the_next_ones_wait_for_each_other(
    database: Database,
) -> None:
    await landed(database, *(saying(f"warm {number}") for number in range(3)))
    before = database.trips
    await landed(database, *(saying(str(number)) for number in range(200)))

    assert database.trips - before == 1


class _LateLog(WriteAheadLog):
    """Lets others have a turn between being asked and beginning, as a busy machine does."""

    def shorten(self) -> bool:
        sleep(0.02)
        return super().shorten()


async def test_a_long_log_is_shortened_once_though_writes_come_meanwhile(
    database: Database, db_path: Path
) -> None:
    """Each try may keep all writers waiting, for a reader that has stopped."""
    await landed(database, saying("first"))
    async with aiosqlite.connect(db_path, isolation_level=None) as connection:
        worker = Worker(connection, str(db_path))
        file = await worker.run(DatabaseFile)
        raw = await worker.run(lambda raw: raw)
        file.log = _LateLog(raw, str(db_path), limit=100_000, patience=0.2)
        freshness = Freshness()
        transactions = Transactions(file, freshness, str(db_path), time_ns)
        writer = GroupWriter(worker, transactions, freshness)
        with another_program(db_path) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM commits").fetchall()
            before = worker.trips
            for number in range(32):
                await writer.write(saying(f"{number} " * 2_000))
            reader.execute("COMMIT")

        assert worker.trips - before == 32 + 1
