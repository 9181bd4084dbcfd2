"""Stores that maintain their branches by themselves, and processes that all ask for it at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from support.counters import WordCounter
from support.killing import started
from support.probes import probe
from tract import (
    AsyncTract,
    CompactionError,
    CompactionPolicy,
    CompactionRequest,
    MaintenanceConfig,
    ToolIOContent,
    TractConfig,
    TractStore,
)

WORDS = "word " * 40
_MOVES = 300
POLICY = CompactionPolicy(
    trigger_tokens=400, target_tokens=250, keep_recent=1, keep_results=1, clear_at_least=20
)


class Summary:
    """A summariser that counts its calls, and can be held or made to fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: BaseException | None = None
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, request: CompactionRequest) -> str:
        self.calls += 1
        self.begun.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return "the summary"


def opened(target: Path | str, maintenance: MaintenanceConfig, **options: Any) -> Any:
    config = TractConfig(compaction=POLICY, maintenance=maintenance)
    return TractStore.open(target, tokenizer=WordCounter(), config=config, **options)


async def fill(tract: AsyncTract, turns: int = 5) -> None:
    for number in range(turns):
        await tract.user(f"question {number} {WORDS}")
        await tract.assistant(f"answer {number} {WORDS}")


async def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110  (what it waits for is in a database)
            await asyncio.sleep(0.01)


async def test_a_store_shortens_what_its_commits_made_too_long(target: Path | str) -> None:
    async with opened(target, MaintenanceConfig(summarise=Summary())) as store:
        tract, other = store.tract("t"), store.tract("u")
        await fill(tract)
        await other.user("hello")
        await until(tract.compactions)

        await until(lambda: short(tract))
        assert await other.compactions() == []


async def test_a_branch_that_goes_on_moving_is_looked_at_now_and_then(target: Path | str) -> None:
    """Not once for each commit, or for every few: each look takes reads."""
    async with opened(target, MaintenanceConfig()) as store:
        tract = store.tract("t")
        await tract.user("hello")
        before = probe(store).trips
        for _ in range(_MOVES):
            await tract.user("more")
        trips = probe(store).trips - before

    assert trips < 1.15 * _MOVES


async def short(tract: AsyncTract) -> bool:
    return (await tract.compile()).token_count < POLICY.trigger_tokens


@pytest.mark.parametrize("way", ["batch", "transaction", "merge", "stream"])
async def test_however_a_branch_was_moved_it_is_looked_at(target: Path | str, way: str) -> None:
    async with opened(target, MaintenanceConfig(summarise=Summary())) as store:
        tract: AsyncTract = store.tract("t")
        await tract.user("hello")
        if way == "batch":
            async with tract.batch() as batch:
                for _ in range(12):
                    batch.user(WORDS)
                    batch.assistant(WORDS)
        elif way == "transaction":
            async with store.transaction() as tx:
                for _ in range(12):
                    tx.on(tract).user(WORDS)
                    tx.on(tract).assistant(WORDS)
        elif way == "merge":
            side = await tract.fork("side")
            await tract.user("here")
            await fill(side, 2)
            await fill(tract, 3)
            await tract.merge("side")
        else:
            await fill(tract, 4)
            async with tract.stream() as stream:
                await stream.write(WORDS)

        await until(tract.compactions)


async def test_without_a_summariser_tool_results_are_cleared(target: Path | str) -> None:
    async with opened(target, MaintenanceConfig()) as store:
        tract = store.tract("t")
        for number in range(12):
            call: dict[str, Any] = {"tool_name": "look", "call_id": f"c{number}"}
            await tract.commit(ToolIOContent(**call, direction="call", payload={}))
            await tract.commit(ToolIOContent(**call, direction="result", payload=WORDS))
        await until(tract.compactions)

        assert all(each.cleared for each in await tract.compactions())


async def test_commits_do_not_wait_for_it(target: Path | str) -> None:
    summarise = Summary()
    summarise.go_on.clear()
    async with opened(target, MaintenanceConfig(summarise=summarise)) as store:
        tract = store.tract("t")
        await fill(tract)
        await asyncio.wait_for(summarise.begun.wait(), 20)
        made = await tract.user("said meanwhile")
        assert await tract.head() == made.commit_hash
        summarise.go_on.set()
        await until(tract.compactions)

        assert (await tract.compile()).messages[-1].content == "said meanwhile"
        assert summarise.calls == 1


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_error_is_reported_and_the_next_commit_tries_again(
    target: Path | str, is_async: bool
) -> None:
    told: list[tuple[Exception, str, str]] = []
    summarise = Summary()
    summarise.error = OSError("the API is away")

    def note(*arguments: Any) -> None:
        told.append(arguments)

    async def note_later(*arguments: Any) -> None:
        told.append(arguments)

    config = MaintenanceConfig(summarise=summarise, on_error=note_later if is_async else note)
    async with opened(target, config) as store:
        tract = store.tract("t")
        await fill(tract)
        head = await tract.head()
        await until(lambda: asyncio.sleep(0, told))
        assert await tract.head() == head
        summarise.error = None
        await tract.user("again")
        await until(tract.compactions)

    assert {(type(error), *where) for error, *where in told} == {(OSError, "t", "main")}


@pytest.mark.parametrize("broken", [False, True], ids=["no on_error", "an on_error that raises"])
async def test_an_error_that_nobody_takes_goes_to_the_event_loop(
    target: Path | str, broken: bool
) -> None:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    summarise = Summary()
    summarise.error = OSError("the API is away")

    def raising(*_: object) -> None:
        raise KeyError("a mistake")

    config = MaintenanceConfig(summarise=summarise, on_error=raising if broken else None)
    async with opened(target, config) as store:
        await fill(store.tract("t"))
        await until(lambda: asyncio.sleep(0, told))

    error = told[0]["exception"]
    assert isinstance(error, KeyError if broken else OSError)
    assert isinstance(error.__context__ if broken else error, OSError)
    assert "('t', 'main')" in told[0]["message"]


async def test_closing_stops_it_and_leaves_no_task(target: Path | str) -> None:
    summarise = Summary()
    summarise.go_on.clear()
    before = asyncio.all_tasks()
    async with opened(target, MaintenanceConfig(summarise=summarise)) as store:
        await fill(store.tract("t"))
        await asyncio.wait_for(summarise.begun.wait(), 20)

    async with asyncio.timeout(10):
        while left := {each for each in asyncio.all_tasks() - before if not each.done()}:
            await asyncio.wait(left)
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        assert await store.tract("t").compactions() == []
        async with asyncio.timeout(10):  # its lease was given back
            assert await store.tract("t").maintain(Summary(), policy=POLICY) is not None


async def test_closing_that_is_cancelled_stops_it_all_the_same(target: Path | str) -> None:
    summarise = Summary()
    summarise.go_on.clear()
    store = await opened(target, MaintenanceConfig(summarise=summarise))
    await fill(store.tract("t"))
    await asyncio.wait_for(summarise.begun.wait(), 20)
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])

    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        assert await store.tract("t").compactions() == []


async def test_a_store_that_was_dropped_leaves_no_task_for_ever(db_path: Path) -> None:
    async def use() -> None:
        store = await opened(db_path, MaintenanceConfig(summarise=Summary()))
        await store.tract("t").user("hello")
        await asyncio.sleep(0.1)

    async def drop() -> None:
        await use()
        gc.collect()

    with pytest.warns(ResourceWarning, match="without being closed"):
        await drop()


async def test_it_runs_in_a_loop_of_the_stores_own(db_path: Path) -> None:
    loops: set[object] = set()

    async def summarise(request: CompactionRequest) -> str:
        loops.add(asyncio.get_running_loop())
        return "the summary"

    config = MaintenanceConfig(summarise=summarise)
    async with opened(db_path, config, own_loop=True) as store:
        tract = store.tract("t")
        await fill(tract)
        await until(tract.compactions)

    assert loops
    assert asyncio.get_running_loop() not in loops


async def test_of_two_stores_one_does_the_work(target: Path | str) -> None:
    one, two = Summary(), Summary()
    async with (
        opened(target, MaintenanceConfig(summarise=one)) as first,
        opened(target, MaintenanceConfig(summarise=two)) as second,
    ):
        for number in range(12):
            store = (first, second)[number % 2]
            await store.tract("t").user(f"{number} {WORDS}")
            await store.tract("t").assistant(f"{number} {WORDS}")
        await until(lambda: short(first.tract("t")))
        made = await first.tract("t").compactions()

    assert made
    assert one.calls + two.calls == len(made)


def test_it_needs_a_policy() -> None:
    with pytest.raises(ValidationError, match="compaction"):
        TractConfig(maintenance=MaintenanceConfig())


# Processes

_ASKING = """
import asyncio, sys, time
from pathlib import Path
from support.counters import WordCounter
from tract import CompactionPolicy, TractStore

async def summarise(request):
    with open(sys.argv[3], "a") as calls:
        calls.write(f"{sys.argv[2]}\\n")
    await asyncio.sleep(0.3)
    return "the summary"

async def main():
    policy = CompactionPolicy(
        trigger_tokens=400, target_tokens=250, keep_recent=1, clear_at_least=20
    )
    async with TractStore.open(sys.argv[1], tokenizer=WordCounter()) as store:
        print(flush=True)
        while not Path(sys.argv[4]).exists():
            await asyncio.sleep(0.005)
        asked = (store.tract("t").maintain(summarise, policy=policy) for _ in range(3))
        done = [each for each in await asyncio.gather(*asked) if each is not None]
        with open(sys.argv[3] + ".done", "a") as told:
            told.writelines(f"{each.commit_hash}\\n" for each in done)

asyncio.run(main())
"""


async def test_processes_that_all_ask_at_once_have_the_work_done_once(
    target: Path | str, tmp_path: Path
) -> None:
    calls, go = tmp_path / "calls", tmp_path / "go"
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        await fill(store.tract("t"))
    running = [await started(_ASKING, target, number, calls, go) for number in range(4)]
    go.touch()
    assert [await each.ended() for each in running] == [0] * 4

    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        made = await store.tract("t").compactions()
        assert await short(store.tract("t"))
        assert (await store.tract("t").verify()).faults == ()
    assert len(made) == len(lines(calls)) == 1
    assert lines(Path(f"{calls}.done")) == [made[0].commit_hash]


def lines(path: Path) -> list[str]:
    return path.read_text().split()


@pytest.mark.long  # the lease of a killed process has to run out
async def test_a_killed_process_leaves_the_work_to_another(
    target: Path | str, tmp_path: Path
) -> None:
    calls, go = tmp_path / "calls", tmp_path / "go"
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        await fill(store.tract("t"))
        running = await started(_ASKING, target, 0, calls, go)
        go.touch()
        await until(lambda: asyncio.sleep(0, calls.exists()))
        await running.kill()
        async with asyncio.timeout(60):
            done = await store.tract("t").maintain(Summary(), policy=POLICY)

    assert done is not None


async def test_a_context_that_cannot_be_shortened_is_an_error_each_time(
    target: Path | str,
) -> None:
    told: list[Exception] = []
    config = MaintenanceConfig(summarise=Summary(), on_error=lambda error, *_: told.append(error))
    async with opened(target, config) as store:
        tract = store.tract("t")
        pinned = await tract.user(WORDS * 11)
        await tract.annotate(pinned.commit_hash, "pinned")
        await until(lambda: asyncio.sleep(0, told))
        head = await tract.head()

        assert await tract.head() == head
        assert all(isinstance(error, CompactionError) for error in told)
