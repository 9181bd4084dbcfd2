"""Watching a branch: every commit once, in order, whoever made it, until the loop is left."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import pytest_asyncio

from support.opening import COUNTER
from support.probes import probe
from support.watching import SOON, commits_from, nothing_more, say, take
from tract import (
    AsyncTract,
    CommitInfo,
    CommitNotFoundError,
    Priority,
    StoreClosedError,
    TractError,
    TractStore,
    Watch,
)
from tract.engine.threads import Threads
from tract.engine.watching.hub import WatchHub
from tract.engine.watching.watch import Everything
from tract.runtime import Runtime
from tract.storage.repositories import ArrivalRepository, Arrivals, BranchName, Cursor, Heads
from tract.storage.sql.database import Database
from tract.storage.sql.repositories import repositories_over
from tract.storage.sql.repositories.refs import SqlArrivalRepository

INTERVAL = 0.05  # seconds between two looks of an engine that notifies nobody
LEFT_BY = {
    "break": type(None),
    "error": ZeroDivisionError,
    "cancel": asyncio.CancelledError,
    "aclose": type(None),
}


@pytest_asyncio.fixture(params=["file", "memory"])
async def store(request: pytest.FixtureRequest, db_path: Path) -> AsyncIterator[TractStore]:
    target = ":memory:" if request.param == "memory" else str(db_path)
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


async def test_every_commit_comes_once_and_in_order(store: TractStore) -> None:
    """Those that were there, and those that come while somebody waits: of any kind."""
    tract = store.tract("agent")
    before = await say(tract, "a", "b")
    watch = tract.watch()

    assert await commits_from(watch, 2) == before
    waiting = asyncio.create_task(anext(watch))
    await asyncio.sleep(0.01)
    third = await tract.user("c", generation_config={"t": [1]}, metadata={"m": 1})
    assert await waiting == third
    async with tract.batch() as batch:
        batch.commit({"content_type": "freeform", "payload": 1})
        batch.annotate(third.commit_hash, Priority.PINNED)
    annotation = await tract.annotate(third.commit_hash, Priority.SKIP)
    found = await commits_from(watch, 3)
    assert found[:2] == batch.commits
    assert found[2].commit_hash == annotation.commit_hash
    assert await nothing_more(watch)


@pytest.mark.unmeasured
async def test_a_long_history_comes_whole(store: TractStore) -> None:
    tract, other = store.tract("agent"), store.tract("agent", branch="other")
    for start in range(0, 3_000, 1_000):
        async with tract.batch() as batch:
            for number in range(1_000):
                batch.commit({"content_type": "freeform", "payload": start + number})
        await other.user("between")
    everything = (await tract.log(None))[::-1]

    assert await commits_from(tract.watch(), 3_000) == everything
    assert await commits_from(tract.watch(everything[4].commit_hash), 2_995) == everything[5:]


async def test_a_watch_begins_where_it_is_told_to(store: TractStore) -> None:
    tract = store.tract("agent")
    first, second, third = await say(tract, "a", "b", "c")

    assert await commits_from(tract.watch(), 3) == [first, second, third]
    assert await commits_from(tract.watch(after=None), 1) == [first]
    assert await commits_from(tract.watch(after=first.commit_hash), 2) == [second, third]
    async with tract.watch(after="head") as now, tract.watch(third.commit_hash) as last:
        (fourth,) = await say(tract, "d")
        assert await commits_from(now, 1) == await commits_from(last, 1) == [fourth]


async def test_an_empty_branch_yields_its_first_commit(store: TractStore) -> None:
    tract = store.tract("agent")
    async with tract.watch() as start, tract.watch(after="head") as head:
        assert await nothing_more(start)
        (first,) = await say(tract, "a")

        assert await commits_from(start, 1) == await commits_from(head, 1) == [first]


async def test_other_branches_and_tracts_never_come(store: TractStore) -> None:
    tract = store.tract("agent")
    others = [store.tract("agent", branch="other"), store.tract("rival")]
    watch = tract.watch()
    made: list[CommitInfo] = []
    for number in range(20):
        for handle in (*others, tract, *others):
            info = await handle.user(str(number))
            if handle is tract:
                made.append(info)

    assert await commits_from(watch, 20) == made
    await say(others[0], "late")
    assert await nothing_more(watch)


@pytest.mark.parametrize("unknown", ["0" * 64, "zz", "", "HEAD"])
async def test_an_unknown_hash_is_not_found(store: TractStore, unknown: str) -> None:
    tract, rival = store.tract("agent"), store.tract("rival")
    (foreign,) = await say(rival, "theirs")
    for after in (unknown, foreign.commit_hash):
        with pytest.raises(CommitNotFoundError):
            await anext(tract.watch(after))
        with pytest.raises(CommitNotFoundError):
            await tract.watch(after).__aenter__()


async def test_what_is_no_hash_is_refused_at_once(store: TractStore) -> None:
    with pytest.raises(CommitNotFoundError):
        store.tract("agent").watch(5)  # type: ignore[call-overload]


async def test_a_result_is_the_watchers_own(store: TractStore) -> None:
    tract = store.tract("agent")
    made = await tract.user("a", generation_config={"stop": ["x"]}, metadata={"k": []})
    one, two = tract.watch(), tract.watch()
    (first,), (second,) = await asyncio.gather(commits_from(one, 1), commits_from(two, 1))
    assert first.generation_config is not None
    first.generation_config["stop"].append("y")

    assert second == made
    assert await commits_from(tract.watch(), 1) == [made]


@pytest.mark.unmeasured
async def test_a_slow_watcher_loses_nothing_and_holds_up_nobody(store: TractStore) -> None:
    tract = store.tract("agent")
    slow, quick = tract.watch(), tract.watch()
    made = await say(tract, "first")
    assert await commits_from(slow, 1) == await commits_from(quick, 1) == made
    for number in range(600):
        made.append(await tract.user(str(number)))
        assert await commits_from(quick, 1) == made[-1:]

    assert await commits_from(slow, 600) == made[1:]


@pytest.mark.unmeasured
async def test_many_watchers_of_a_branch_get_everything_with_few_reads(store: TractStore) -> None:
    tract = store.tract("agent")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(commits_from(tract.watch(), 300)) for _ in range(200)]
        await asyncio.sleep(0.1)
        before = probe(store).trips
        made = await say(tract, *map(str, range(300)))

    assert all(task.result() == made for task in tasks)
    assert probe(store).trips - before < 300 * 4


class LateArrivals(SqlArrivalRepository):
    """Reads at once, and tells of it when it is let."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.has_read = asyncio.Event()
        self.may_tell = asyncio.Event()

    async def read(self, branch: BranchName, cursor: Cursor) -> Arrivals:
        page = await super().read(branch, cursor)
        self.has_read.set()
        await self.may_tell.wait()
        return page


def hub_over(parts: Runtime, arrivals: ArrivalRepository) -> WatchHub:
    """Return a hub of a store's own that learns of commits from *arrivals*."""
    storage = repositories_over(parts.database)._replace(arrivals=arrivals)
    return WatchHub(storage, Threads(), parts.gate)


async def test_what_lands_while_a_read_is_on_its_way_is_not_missed(target: Path | str) -> None:
    """In memory, where no look for other processes would make up for it."""
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        runtime = probe(store).parts
        late = LateArrivals(runtime.database)
        await late.heads([])  # the first look tells of everything
        hub = hub_over(runtime, late)
        watch = Watch(
            hub, BranchName("agent", "main"), None, lambda: True, runtime.clock, Everything()
        )
        step = asyncio.create_task(commits_from(watch, 1))
        await late.has_read.wait()
        made = await say(store.tract("agent"), "a")
        late.may_tell.set()

        assert await step == made
        hub.close()


class SlowLooks(SqlArrivalRepository):
    """Takes its time to tell whether others have written, as a busy machine does."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.under_way = 0
        self.most_at_once = 0
        self.looks = 0

    async def heads(self, branches: Sequence[BranchName]) -> Heads:
        self.looks += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(3 * INTERVAL)
        self.under_way -= 1
        return await super().heads(branches)


async def test_who_begins_to_watch_during_a_look_causes_no_more_of_them() -> None:
    async with TractStore.open(tokenizer=COUNTER) as store:
        runtime = probe(store).parts
        slow = SlowLooks(runtime.database)
        hub = hub_over(runtime, slow)
        watches: list[asyncio.Task[object]] = []
        for number in range(8):
            watch = Watch(
                hub,
                BranchName("agent", str(number)),
                None,
                lambda: True,
                runtime.clock,
                Everything(),
            )
            watches.append(asyncio.create_task(anext(watch)))
            await asyncio.sleep(INTERVAL)
        began, since = slow.looks, time.monotonic()
        await asyncio.sleep(10 * INTERVAL)

        assert slow.most_at_once == 1
        assert 0 < slow.looks - began <= (time.monotonic() - since) / INTERVAL / 4 + 1
        await cancelled(watches)
        hub.close()


async def test_watchers_cost_no_trip_while_nothing_comes(store: TractStore) -> None:
    """But for the looks for what other processes do."""
    watches = [store.tract(f"agent-{number}").watch() for number in range(200)]
    tasks = [asyncio.create_task(anext(watch)) for watch in watches]
    quiet = 0
    async with asyncio.timeout(30):
        while quiet < 3:  # on a busy machine, watches that are still being begun may be quiet once
            quiet = quiet + 1 if await trips_in(store, 0.2) <= 0.2 / INTERVAL + 1 else 0
    before, since = probe(store).trips, time.monotonic()
    await say(store.tract("writer"), *map(str, range(100)))
    await asyncio.sleep(0.3)
    looks = (time.monotonic() - since) / INTERVAL

    assert probe(store).trips - before <= 100 + looks + 2
    await cancelled(tasks)


async def trips_in(store: TractStore, seconds: float) -> int:
    before = probe(store).trips
    await asyncio.sleep(seconds)
    return probe(store).trips - before


async def cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_a_cancelled_step_loses_nothing(store: TractStore) -> None:
    """At whatever moment; the same watch goes on behind what it gave."""
    tract = store.tract("agent")
    watch = tract.watch()
    got: list[CommitInfo] = []
    made: list[CommitInfo] = []
    for number in range(60):
        step = asyncio.create_task(commits_from(watch, 1))
        made.append(await tract.user(str(number)))
        for _ in range(number % 20):
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.wait([step])
        if not step.cancelled():
            got += step.result()
    got += await commits_from(watch, 60 - len(got))

    assert got == made


async def test_who_is_cancelled_takes_nobody_along(store: TractStore) -> None:
    """Of many that read the same page, some are cancelled at any moment."""
    tract = store.tract("agent")
    await say(tract, "a")
    for moment in range(12):
        tasks = [asyncio.create_task(commits_from(tract.watch(), 1)) for _ in range(20)]
        for _ in range(moment):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        async with asyncio.timeout(SOON):
            await asyncio.wait(tasks)

        assert all(not task.cancelled() for task in tasks[1::2])


async def test_every_task_may_be_cancelled_and_watching_goes_on(store: TractStore) -> None:
    """The hub's own tasks included, at whatever moment it meets them."""
    tract = store.tract("agent")
    watch = tract.watch()
    made: list[CommitInfo] = []
    got: list[CommitInfo] = []
    for moment in range(30):
        step = asyncio.create_task(commits_from(watch, 1))
        await asyncio.sleep(0.001 * (moment % 4))
        made.append(await tract.user(str(moment)))
        for _ in range(moment % 10):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait([step])
        if not step.cancelled():
            got += step.result()
    got += await commits_from(watch, 30 - len(got))

    assert got == made


@pytest.mark.parametrize("way", ["break", "error", "cancel", "aclose"])
async def test_leaving_the_loop_leaves_nothing_behind(store: TractStore, way: str) -> None:
    tract = store.tract("agent")
    await say(tract, "a", "b")
    started = asyncio.Event()
    watch = tract.watch()

    async def consume() -> None:
        async for item in watch:
            assert isinstance(item, CommitInfo)
            started.set()
            if way == "break":
                break
            if way == "error":
                raise ZeroDivisionError

    task = asyncio.create_task(consume())
    await started.wait()
    await asyncio.sleep(0.01)
    if way == "cancel":
        task.cancel()
    if way == "aclose":
        await watch.aclose()
    async with asyncio.timeout(SOON):
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, LEFT_BY[way])
    await asyncio.sleep(0.25)
    before = probe(store).trips
    await asyncio.sleep(0.25)

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert probe(store).trips == before


async def test_a_watch_that_was_left_yields_nothing_more(store: TractStore) -> None:
    tract = store.tract("agent")
    await say(tract, "a", "b")
    async with tract.watch() as watch:
        assert len(await take(watch, 1)) == 1

    assert [item async for item in watch] == []


async def test_two_tasks_cannot_wait_for_one_watch(store: TractStore) -> None:
    watch = store.tract("agent").watch()
    waiting = asyncio.create_task(anext(watch))
    await asyncio.sleep(0.01)
    with pytest.raises(TractError, match="Another task"):
        await anext(watch)

    await cancelled([waiting])


@pytest.mark.parametrize("owner", ["store", "handle", "own"])
async def test_closing_ends_the_loops(target: Path | str, owner: str) -> None:
    """Of a closed handle its own alone; the store waits for no watcher."""
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        handle: AsyncTract = store.tract("agent")
        if owner == "own":
            handle = await AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER)
        made = await say(handle, "a", "b")

        got: list[CommitInfo] = []

        async def collect() -> None:
            async for item in handle.watch():
                got.append(item)  # noqa: PERF401 - as they come

        tasks = [asyncio.create_task(collect()) for _ in range(20)]
        async with asyncio.timeout(SOON):
            while len(got) < 40:  # noqa: ASYNC110 - who counts is many tasks
                await asyncio.sleep(0.001)
            await (store if owner == "store" else handle).aclose()
            await asyncio.gather(*tasks)
        assert len(got) == 40
        with pytest.raises(StoreClosedError):
            handle.watch()
        if owner != "store":
            watch = store.tract("agent").watch()
            assert await commits_from(watch, 2) == made


async def test_closing_at_any_moment_hangs_nobody(target: Path | str) -> None:
    for moment in range(25):
        async with TractStore.open(target, tokenizer=COUNTER) as store:
            tract = store.tract("agent")

            async def collect(watch: Watch[CommitInfo]) -> int:
                return len([item async for item in watch])

            tasks = [asyncio.create_task(collect(tract.watch())) for _ in range(10)]
            tasks.append(asyncio.create_task(collect(tract.watch(after="head"))))
            await tract.user(str(moment))
            for _ in range(moment):
                await asyncio.sleep(0)
        async with asyncio.timeout(SOON):
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        assert [o for o in outcomes if not isinstance(o, (int, StoreClosedError))] == []


async def test_a_watch_goes_on_in_a_store_opened_again(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER) as tract:
        made = await say(tract, "a", "b")
        (last,) = (await commits_from(tract.watch(), 2))[1:]
        made += await say(tract, "c")
    async with AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER) as tract:
        made += await say(tract, "d")

        assert await commits_from(tract.watch(last.commit_hash), 2) == made[2:]


async def test_an_error_of_the_store_reaches_who_waits(db_path: Path) -> None:
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        first, _, third = await say(tract, "a", "b", "c")
        watch = tract.watch(third.commit_hash)
        assert await nothing_more(watch)
        with closing(sqlite3.connect(db_path)) as raw, raw:
            raw.execute("DELETE FROM commits WHERE parent_hash IS NULL")
            raw.execute("UPDATE refs SET commit_hash = ?", [bytes.fromhex(first.commit_hash)])
        with pytest.raises(TractError):
            await take(watch, 1)


# Other processes

_WRITER = """
import asyncio, sys, time
from tract import AsyncTract, NullTokenCounter
async def main(path):
    async with AsyncTract.open(path, tract_id="agent", tokenizer=NullTokenCounter()) as tract:
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        while (line := await loop.run_in_executor(None, sys.stdin.readline)).strip():
            await tract.user(line, metadata={"done": 0})
            print(time.monotonic(), flush=True)
asyncio.run(main(sys.argv[1]))
"""


@contextmanager
def writer_process(path: Path) -> Iterator[tuple[IO[str], IO[str]]]:
    """Give the ends of a process that commits each line it gets and tells when it had done so."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process.stdin, process.stdout
            process.stdin.write("\n")
            process.stdin.flush()
        except BaseException:
            process.kill()
            raise


async def test_commits_of_another_process_come_within_a_moment(db_path: Path) -> None:
    """While this process is idle; how long it took is 50 ms at most, and the machine's load.

    That may be heavy, but hardly whenever one of twenty commits comes.
    """
    async with AsyncTract.open(db_path, tract_id="agent", tokenizer=COUNTER) as tract:
        await say(tract, "ours")
        watch = tract.watch(after="head")
        delays: list[float] = []
        with writer_process(db_path) as (given, told):
            for number in range(20):
                step = asyncio.create_task(commits_from(watch, 1))
                await asyncio.sleep(0.007 * (number % 8))
                await asyncio.to_thread(_put, given, str(number))
                done = float(await asyncio.to_thread(told.readline))
                (info,) = await step
                delays.append(time.monotonic() - done)
                assert info.metadata == {"done": 0}
        print(f"median {statistics.median(delays) * 1e3:.0f} ms, longest {max(delays) * 1e3:.0f}")

        assert sorted(delays)[len(delays) // 4] < 0.1
        assert await tract.head() == info.commit_hash


def _put(stream: IO[str], line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()
