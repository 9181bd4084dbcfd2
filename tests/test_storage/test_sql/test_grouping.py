"""Groups of reads, and how callers of a group are woken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.drafts import MAIN, draft, ticking
from support.effort import examples
from support.probes import workers_of
from tract import StorageError, TractConfig
from tract.storage.opening import open_database
from tract.storage.sql.database import Database
from tract.storage.sql.grouping import Deliver, Groups, Outcome
from tract.storage.sql.port import Connection
from tract.storage.sql.repositories import repositories_over
from tract.storage.sqlite.connection import SqliteConnection


async def opened(target: Path | str) -> Database:
    return await open_database(target, TractConfig(readers=2), ticking())


async def test_quick_reads_that_come_together_share_trips(db_path: Path) -> None:
    database = await opened(db_path)
    commits = repositories_over(database).commits
    [commit] = await commits.write(MAIN, [draft()])
    before = database.trips
    reads = (commits.get(MAIN.tract_id, commit.commit_hash) for _ in range(65))

    assert await asyncio.gather(*reads) == [commit] * 65
    assert database.trips - before == 2  # the first leaves at once, having been alone before
    await database.aclose()


async def test_a_read_sees_all_that_was_committed_before_it_was_called(target: Path | str) -> None:
    """Whatever group it went with."""
    database = await opened(target)
    refs, commits = repositories_over(database).refs, repositories_over(database).commits

    async def check(number: int) -> None:
        branch = MAIN._replace(branch=f"b{number % 7}")
        for turn in range(10):
            [commit] = await commits.write(branch, [draft(f"{number} {turn}")])
            head = await refs.head(branch)
            log = await repositories_over(database).histories.log(branch, limit=None)

            assert await commits.get(branch.tract_id, commit.commit_hash) == commit
            assert head is not None
            assert commit.commit_hash in [item.commit_hash for item in log]

    async with asyncio.timeout(30):
        await asyncio.gather(*(check(number) for number in range(30)))
    await database.aclose()


async def test_a_read_that_fails_fails_alone_and_leaves_no_transaction(db_path: Path) -> None:
    database = await opened(db_path)

    def broken(connection: Connection) -> None:
        assert isinstance(connection, SqliteConnection)
        connection.raw.execute("SELECT * FROM no_such_table")

    def count(connection: Connection) -> int:
        assert isinstance(connection, SqliteConnection)
        return int(connection.raw.execute("SELECT count(*) FROM commits").fetchone()[0])

    reads = [database.glance(broken if number % 5 == 0 else count) for number in range(20)]
    results = await asyncio.gather(*reads, return_exceptions=True)

    assert results[1::5] == [0] * 4
    for failed in results[::5]:
        assert isinstance(failed, StorageError)
        assert failed.path == str(db_path)
    for worker in workers_of(database):
        assert not await worker.run(lambda connection: connection.in_transaction)
    await database.aclose()


async def test_a_cancelled_read_takes_no_other_along(target: Path | str) -> None:
    database = await opened(target)
    commits = repositories_over(database).commits
    [commit] = await commits.write(MAIN, [draft()])
    tasks = [asyncio.create_task(commits.get(MAIN.tract_id, commit.commit_hash)) for _ in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(result, asyncio.CancelledError) for result in results] == [
        number % 3 == 0 for number in range(40)
    ]
    assert {result for number, result in enumerate(results) if number % 3} == {commit}
    await database.aclose()


class Post:
    """Takes groups away and gives them back when told."""

    def __init__(self) -> None:
        self.groups: list[tuple[list[int], Deliver]] = []

    def send(self, jobs: object, deliver: Deliver) -> None:
        assert isinstance(jobs, list)
        self.groups.append((jobs, deliver))

    def give_back(self, number: int) -> None:
        jobs, deliver = self.groups[number]
        deliver([Outcome(job * 10, None) for job in jobs], None)


async def away_together(
    post: Post, groups: Groups[int], calls: Iterable[Coroutine[Any, Any, Any]]
) -> list[asyncio.Task[Any]]:
    """Have *calls* share a group, the second; it is away when this returns."""
    first = asyncio.create_task(groups.run(0))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    post.give_back(0)
    assert await first == 0
    await asyncio.sleep(0)
    return tasks


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time passes as the test says."""

    now: float = 0.0

    def time(self) -> float:
        return self.now


def nothing() -> None:
    """Take no time."""


async def woken_by_turn(
    callers: int, pass_time: Callable[[], None], work: Callable[[], None] = nothing
) -> list[int]:
    """Return how many of a group's *callers* go on in each turn of the loop; each works in the next."""
    post = Post()
    groups: Groups[int] = Groups(post.send, 512)
    woken: list[int] = []

    async def call(number: int) -> None:
        woken.append(await groups.run(number))
        await asyncio.sleep(0)
        work()

    calls = [call(number) for number in range(callers)]
    tasks = await away_together(post, groups, calls)
    post.give_back(1)
    turns: list[int] = []
    while len(woken) < callers:
        before = len(woken)
        pass_time()
        await asyncio.sleep(0)
        turns.append(len(woken) - before)
    await asyncio.gather(*tasks)

    assert woken == [number * 10 for number in range(callers)]
    return turns


@pytest.mark.parametrize("callers", [1, 3, 4, 64, 100])
def test_callers_are_woken_a_few_in_each_turn_of_the_loop(callers: int) -> None:
    """So that everything else in the process gets its turn between them."""
    with asyncio.Runner(loop_factory=Clock) as runner:
        turns = runner.run(woken_by_turn(callers, nothing))

    assert max(turns) <= 3
    assert turns.count(0) <= 1


@pytest.mark.parametrize(("held", "most"), [(0.0004, 171), (0.005, 45), (0.1, 5)])
def test_more_are_woken_the_longer_others_keep_the_loop(held: float, most: int) -> None:
    """Else the last of many would wait for a turn of the others with every third caller."""
    with asyncio.Runner(loop_factory=Clock) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Clock)

        def hold() -> None:
            loop.now += held

        turns = runner.run(woken_by_turn(512, hold))

    assert len(turns) <= most + 2
    assert max(turns) <= 3 + held / 0.0005


def test_what_callers_do_themselves_wakes_no_more_of_them() -> None:
    """Else each turn, longer by their work, would wake still more, and the loop would stand still."""
    with asyncio.Runner(loop_factory=Clock) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Clock)

        def work() -> None:
            loop.now += 0.001

        turns = runner.run(woken_by_turn(512, nothing, work))

    assert max(turns) <= 3


async def test_the_next_group_leaves_once_all_callers_of_the_last_are_woken() -> None:
    """They are about to put in their next jobs, which then go together."""
    post = Post()
    groups: Groups[int] = Groups(post.send, 512)

    async def call() -> None:
        for turn in range(3):
            await groups.run(turn)

    tasks = [asyncio.create_task(call()) for _ in range(30)]
    await asyncio.sleep(0)
    sizes: list[int] = []
    while len(post.groups) > len(sizes):
        sizes.append(len(post.groups[-1][0]))
        post.give_back(len(post.groups) - 1)
        for _ in range(12):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert sum(sizes) == 90
    assert len(sizes) <= 5


class Carrier:
    """Takes groups of one kind away and brings them back some turns of the loop later."""

    def __init__(self, rng: random.Random, room: int) -> None:
        self.groups: Groups[tuple[int, bool]] = Groups(self._send, room)
        self.carried: list[int] = []
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._away = False

    def _send(self, jobs: Sequence[tuple[int, bool]], deliver: Deliver) -> None:
        assert not self._away
        self._away = True
        self.carried += [number for number, _ in jobs]
        self._later(self._rng.randrange(12), partial(self._back, jobs, deliver))

    def _later(self, turns: int, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback if turns == 0 else partial(self._later, turns - 1, callback))

    def _back(self, jobs: Sequence[tuple[int, bool]], deliver: Deliver) -> None:
        self._away = False
        if self._rng.random() < 0.1:
            deliver(None, StorageError("all"))
        else:
            failed = StorageError("one")
            deliver([Outcome(n, None) if ok else Outcome(None, failed) for n, ok in jobs], None)


async def play(rng: random.Random) -> None:
    """Have callers of two kinds of groups come and go, and see that each gets what is theirs."""
    carriers = [Carrier(rng, rng.choice([1, 3, 64])) for _ in range(2)]
    numbers = iter(range(10_000))

    async def call() -> None:
        for _ in range(rng.randrange(1, 5)):
            number, ok = next(numbers), rng.random() < 0.9
            run = rng.choice(carriers).groups.run((number, ok), rng.choice([1, 1, 5]))
            outcome: list[object] = await asyncio.gather(run, return_exceptions=True)
            got = outcome[0]
            if isinstance(got, StorageError):
                assert got.problem == "all" or not ok
            else:
                assert (got, ok) == (number, True)

    tasks = [asyncio.create_task(call()) for _ in range(rng.choice([1, 3, 4, 30, 100]))]
    while not all(task.done() for task in tasks):
        if rng.random() < 0.2:
            rng.choice(tasks).cancel()
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)

    for result in results:
        assert result is None or isinstance(result, asyncio.CancelledError)
    carried = [number for carrier in carriers for number in carrier.carried]
    assert len(carried) == len(set(carried))
    for carrier in carriers:  # whoever comes next is served
        async with asyncio.timeout(20):
            with suppress(StorageError):
                assert await carrier.groups.run((-1, True)) == -1


@given(st.randoms(use_true_random=True))
@settings(max_examples=examples(60))
def test_whatever_comes_between_each_caller_gets_their_own(rng: random.Random) -> None:
    asyncio.run(play(rng))


async def test_a_job_whose_caller_was_interrupted_before_it_left_is_not_sent() -> None:
    """An interrupt ends the caller like a cancellation, but leaves what it awaits pending."""
    post = Post()
    groups: Groups[int] = Groups(post.send, 512)
    first = asyncio.create_task(groups.run(0))
    await asyncio.sleep(0)
    interrupted = groups.run(1)
    interrupted.send(None)
    with pytest.raises(KeyboardInterrupt):
        interrupted.throw(KeyboardInterrupt())
    last = asyncio.create_task(groups.run(2))
    await asyncio.sleep(0)
    post.give_back(0)
    await first
    post.give_back(1)

    assert await last == 20
    assert [jobs for jobs, _ in post.groups] == [[0], [2]]


class Struck(list[Outcome]):
    """Outcomes, at one of which an interrupt from the keyboard comes, once."""

    def __init__(self, outcomes: Iterable[Outcome], at: int) -> None:
        super().__init__(outcomes)
        self._at: int | None = at

    def __getitem__(self, index: Any) -> Any:
        if index == self._at:
            self._at = None
            raise KeyboardInterrupt
        return super().__getitem__(index)


async def test_an_interrupt_while_callers_are_notified_leaves_none_waiting() -> None:
    post = Post()
    groups: Groups[int] = Groups(post.send, 512)
    tasks = await away_together(post, groups, [groups.run(number) for number in range(10)])
    jobs, deliver = post.groups[1]
    with pytest.raises(KeyboardInterrupt):
        deliver(Struck([Outcome(job, None) for job in jobs], at=1), None)

    async with asyncio.timeout(20):
        assert await asyncio.gather(*tasks) == jobs
    last = asyncio.create_task(groups.run(5))
    await asyncio.sleep(0.01)
    post.give_back(2)
    assert await last == 50


async def test_an_outcome_that_no_future_takes_is_an_error_of_that_caller_alone() -> None:
    post = Post()
    groups: Groups[int] = Groups(post.send, 512)
    tasks = await away_together(post, groups, [groups.run(number) for number in range(10)])
    jobs, deliver = post.groups[1]
    outcomes = [Outcome(job, None) for job in jobs]
    outcomes[4] = Outcome(None, StopIteration())
    deliver(outcomes, None)
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results.pop(4), TypeError)
    assert results == jobs[:4] + jobs[5:]


async def test_giving_a_group_up_also_answers_a_caller_whose_outcome_no_future_takes() -> None:
    post = Post()
    groups: Groups[int] = Groups(post.send, 512)
    tasks = await away_together(post, groups, [groups.run(number) for number in range(10)])
    jobs, deliver = post.groups[1]
    outcomes = [Outcome(job, None) for job in jobs]
    outcomes[4] = Outcome(None, StopIteration())
    deliver(outcomes, None)
    groups.recover(groups.flight)  # before the later turns of the loop, in which the rest is told
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results.pop(4), TypeError)
    assert results == jobs[:4] + jobs[5:]


async def test_an_error_of_the_whole_group_reaches_every_caller() -> None:
    post = Post()
    groups: Groups[int] = Groups(post.send, 512)
    tasks = [asyncio.create_task(groups.run(number)) for number in range(20)]
    await asyncio.sleep(0)
    failure = StorageError("gone")
    while post.groups:
        _, deliver = post.groups.pop()
        deliver(None, failure)
        for _ in range(10):
            await asyncio.sleep(0)

    assert await asyncio.gather(*tasks, return_exceptions=True) == [failure] * 20
