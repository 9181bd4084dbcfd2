"""Trips to a connection's thread: in order, translated, and not to be stopped half-way."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import aiosqlite
import pytest
import pytest_asyncio

from support.threads import connection_threads, left_of
from tract import StorageError, StoreCorruptError
from tract.storage.sqlite.thread.worker import OwnConnection, Worker


@pytest_asyncio.fixture
async def worker(db_path: Path) -> AsyncIterator[Worker]:
    async with aiosqlite.connect(db_path) as connection:
        yield Worker(connection, str(db_path))


async def test_a_function_runs_on_the_connections_thread_and_returns(worker: Worker) -> None:
    def function(connection: sqlite3.Connection) -> tuple[int, int]:
        return connection.execute("SELECT 42").fetchone()[0], threading.get_ident()

    answer, thread = await worker.run(function)

    assert answer == 42
    assert thread != threading.get_ident()


async def test_functions_run_in_the_order_in_which_they_were_given(worker: Worker) -> None:
    order: list[int] = []

    def noting(number: int) -> Callable[[sqlite3.Connection], None]:
        return lambda _: order.append(number)

    await asyncio.gather(*(worker.run(noting(number)) for number in range(50)))

    assert order == list(range(50))


async def test_every_trip_is_counted_there_and_back(worker: Worker) -> None:
    assert (worker.trips, worker.waiting) == (0, 0)

    trips = [asyncio.create_task(worker.run(lambda _: None)) for _ in range(3)]
    await asyncio.sleep(0)

    assert (worker.trips, worker.waiting) == (3, 3)
    await asyncio.gather(*trips)
    assert (worker.trips, worker.waiting) == (3, 0)


async def test_sqlites_errors_come_as_ours_with_their_cause(worker: Worker, db_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere") as failure:
        await worker.run(lambda raw: raw.execute("SELECT * FROM nowhere"))

    assert failure.value.path == str(db_path)
    assert isinstance(failure.value.__cause__, sqlite3.OperationalError)


async def test_other_errors_come_as_they_are_and_the_thread_goes_on(worker: Worker) -> None:
    def refuse(_: sqlite3.Connection) -> None:
        raise StoreCorruptError("broken")

    def fail(_: sqlite3.Connection) -> None:
        raise LookupError("lost")

    with pytest.raises(StoreCorruptError, match="broken"):
        await worker.run(refuse)
    with pytest.raises(LookupError, match="lost"):
        await worker.run(fail)
    assert await worker.run(lambda _: "on") == "on"


async def test_a_cancelled_caller_does_not_stop_what_was_sent(worker: Worker) -> None:
    go = threading.Event()
    done: list[bool] = []
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

    call = asyncio.create_task(worker.run(lambda _: done.append(go.wait(10))))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go.set()

    assert await worker.run(lambda _: "on") == "on"
    assert done == [True]
    assert worker.waiting == 0
    assert reports == []


def test_a_function_that_outlives_its_event_loop_does_not_hurt_the_thread(db_path: Path) -> None:
    go, closed = threading.Event(), threading.Event()
    ran: list[bool] = []

    async def leave() -> None:
        connection = await OwnConnection(partial(sqlite3.connect, db_path))
        worker = Worker(connection, str(db_path))
        worker.send(lambda _: ran.append(go.wait(10)), lambda _, __: None)
        worker.send(lambda _: ran.append(True), lambda _, __: None)
        worker.abandon(closed.set)

    before = connection_threads()
    asyncio.run(leave())
    [thread] = connection_threads() - before
    go.set()

    assert left_of([thread]) == []
    assert ran == [True, True]
    assert closed.is_set()


async def test_an_iterator_that_ends_over_there_keeps_nobody_waiting(worker: Worker) -> None:
    """No future takes a StopIteration."""
    nothing = iter(())
    async with asyncio.timeout(20):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await worker.run(lambda _: next(nothing))
