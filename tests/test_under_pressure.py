"""Promises under pressure: shutdowns, full thread pools, long work beside a busy loop, memory."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Awaitable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AssertionPool

from support.opening import engine_of
from support.threads import connection_threads, ended
from tract import (
    AsyncTract,
    BudgetAction,
    CommitInfo,
    CommitStep,
    NullTokenCounter,
    Priority,
    StorageError,
    TiktokenCounter,
    TokenBudgetConfig,
    TractConfig,
    TractError,
    TractStore,
)
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.formats.telling import told
from tract.models.queries.query import config_condition

pytestmark = pytest.mark.unmeasured  # loops are timed here, and a traced one is slow
COUNTER = TiktokenCounter()


class Note(BaseModel):
    text: str


class Table(BaseModel):
    items: list[dict[str, Any]]


async def cancel_everybody_else() -> None:
    """What many graceful shutdowns do."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class LoopMeter:
    """The most CPU seconds that the loop's own thread spent between two of its turns."""

    worst = 0.0

    async def _watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.0005)
            now = time.thread_time()
            self.worst, last = max(self.worst, now - last), now

    async def __aenter__(self) -> Self:
        gc.disable()  # a collection of all that the tests hold is nobody's call
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(0.002)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.sleep(0.002)
        self._task.cancel()
        gc.enable()


async def worst_turn(call: Awaitable[object]) -> float:
    async with LoopMeter() as meter:
        await call
    return meter.worst


def tight(action: Any) -> TractConfig:
    budget = TokenBudgetConfig(max_tokens=5, action=BudgetAction.CALLBACK, callback=action)
    return TractConfig(token_budget=budget)


async def test_closing_from_within_a_call_is_refused_and_does_not_hang(target: Path | str) -> None:
    async def close_it(tokens: int, max_tokens: int) -> None:
        await tract.aclose()

    tract = await AsyncTract.open(target, config=tight(close_it))
    call = asyncio.create_task(tract.user("one two three four five six seven"))
    done, _ = await asyncio.wait([call], timeout=20)
    if not done:
        await cancel_everybody_else()

    assert done, "commit waits for aclose(), aclose() for the commit, and neither can be cancelled"
    assert isinstance(call.exception(), StorageError)
    await tract.aclose()


async def test_closing_lets_a_call_under_way_use_the_tract_to_finish(target: Path | str) -> None:
    called = asyncio.Event()

    async def make_room(tokens: int, max_tokens: int) -> None:
        called.set()
        await asyncio.sleep(0.05)
        await tract.compile()

    tract = await AsyncTract.open(target, config=tight(make_room))
    call = asyncio.create_task(tract.user("one two three four five six seven"))
    await called.wait()
    committed, _ = await asyncio.gather(call, tract.aclose(), return_exceptions=True)

    assert not isinstance(committed, BaseException), repr(committed)


async def test_a_close_cancelled_together_with_every_task_can_be_repeated(
    target: Path | str,
) -> None:
    earlier = connection_threads()
    store = await TractStore.open(target)
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await cancel_everybody_else()
    again = await asyncio.gather(store.aclose(), return_exceptions=True)
    await asyncio.sleep(0.1)

    assert closing.done()
    assert again[0] is None
    assert await ended(connection_threads() - earlier)


async def test_cancelling_every_task_while_opening_leaves_no_connection(target: Path | str) -> None:
    earlier = connection_threads()

    async def agent() -> None:
        async with AsyncTract.open(target, tract_id="a"):
            pass

    for number in range(40):
        task = asyncio.create_task(agent())
        await asyncio.sleep(number * 0.0002)
        await cancel_everybody_else()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.3)

    assert await ended(connection_threads() - earlier)


def test_forty_worker_threads_that_call_the_tract_do_not_starve_it() -> None:
    """FastAPI runs `def` endpoints on anyio's 40 threads; a large commit needs one more."""
    program = """
import anyio
from anyio import from_thread, to_thread
from tract import TractStore

async def main():
    async with TractStore.open() as store:
        tract = store.tract("a")
        def endpoint(number):
            from_thread.run(tract.user, "hello world " * 3000 + str(number))
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(to_thread.run_sync, endpoint, number)

anyio.run(main)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        code: int | None = process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        code = None
        process.kill()
        process.wait()

    assert code == 0


async def test_an_opening_entered_twice_closes_what_it_opened(target: Path | str) -> None:
    opening = TractStore.open(target)

    async def use() -> None:
        async with opening:
            await asyncio.sleep(0.05)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        await asyncio.gather(use(), use(), return_exceptions=True)
        gc.collect()
        await asyncio.sleep(0.1)

    assert [str(warning.message) for warning in told] == []


async def test_callers_of_one_failed_compile_get_errors_of_their_own(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="a") as tract:
        tract.register_content_type("note", Note)
        await tract.commit(Note(text="x"))
    async with AsyncTract.open(target, tract_id="a") as tract:
        calls = (tract.compile() for _ in range(20))
        errors = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(error, TractError) for error in errors)
    assert len({id(error) for error in errors}) == 20


async def test_names_and_call_ids_count_towards_the_bound_of_the_cache(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=NullTokenCounter()) as store:
        tract = store.tract("a")
        await tract.commit(
            {
                "content_type": "tool_io",
                "tool_name": "n" * 500_000,
                "direction": "call",
                "payload": "{}",
                "call_id": "c" * 500_000,
            }
        )
        await tract.compile()

        assert store.cache_info().bytes > 1_000_000


async def test_configs_of_evicted_snapshots_are_freed(target: Path | str) -> None:
    """Python 3.12 never frees an interned string."""
    tracemalloc.start()
    try:
        config = TractConfig(cache_max_bytes=50_000)
        async with TractStore.open(target, config=config) as store:
            for number in range(200):
                tract = store.tract(str(number))
                await tract.user("x", generation_config={"prompt": f"{number}" + "y" * 50_000})
                await tract.compile()
        del store, tract
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held < 5_000_000


def test_skipping_many_neighbours_takes_time_in_proportion() -> None:
    compiler = DefaultContextCompiler(TiktokenCounter())

    def step(name: str, operation: str, target: str | None, data: bytes) -> CommitStep:
        kind = "dialogue" if operation == "append" else "annotation"
        return CommitStep(name, operation, target, kind, data, 1, "x", None)

    def seconds(count: int) -> float:
        text = b'{"content_type":"dialogue","name":null,"role":"%s","text":"hi"}'
        skip = json.dumps({"priority": Priority.SKIP.value, "reason": None}).encode()
        roles = (b"user", b"assistant")
        appends = [step(f"c{i}", "append", None, text % roles[i % 2]) for i in range(count)]
        skips = [step(f"s{i}", "annotate", f"c{i}", skip) for i in range(count)]
        snapshot = compiler.fold(compiler.empty(), appends)
        start = time.process_time()
        compiler.fold(snapshot, skips)
        return time.process_time() - start

    seconds(100)
    few, many = (min(seconds(count) for _ in range(3)) for count in (500, 2000))

    assert many < 10 * few


ROWS = [{"a": number, "b": f"x{number}"} for number in range(100_000)]


async def test_reading_a_large_content_keeps_the_loop_free(target: Path | str) -> None:
    start = time.thread_time()
    json.loads(json.dumps(ROWS))
    # The row of a server is read on the loop.
    bound = (time.thread_time() - start) / (4 if engine_of(target) == "postgres" else 5)
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        tract.register_content_type("table", Table)
        info = await tract.commit(Table(items=ROWS))

        assert await worst_turn(tract.get_content(info.commit_hash)) < bound


def reply_of(messages: int) -> dict[str, Any]:
    """Return a reply of the Responses API, each message of which cites twenty pages."""
    cited = {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "u", "title": "t"}
    said = {"type": "output_text", "text": "word", "annotations": [{**cited} for _ in range(20)]}
    item = {"type": "message", "role": "assistant", "status": "completed", "content": [said]}
    output = [{**item, "id": f"msg_{number}"} for number in range(messages)]
    return {"id": "r", "object": "response", "status": "completed", "model": "m", "output": output}


async def test_recording_a_large_reply_keeps_the_loop_free(target: Path | str) -> None:
    reply = reply_of(500)
    start = time.thread_time()
    told(reply)
    work = time.thread_time() - start
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        assert await worst_turn(tract.record(reply)) < work / 5
        assert len(await tract.log(None)) == 500


async def test_a_large_reply_is_copied_before_its_caller_may_change_it(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        reply, same = reply_of(100), reply_of(100)
        recording = asyncio.ensure_future(tract.record(reply))
        await asyncio.sleep(0)
        for item in reply["output"]:
            item.clear()
        await recording
        items = from_items(await tract.log(None, contents=True))

    assert items == same["output"]


def from_items(log: list[tuple[CommitInfo, BaseModel]]) -> list[Any]:
    return [content.model_dump()["item"] for _, content in reversed(log)]


async def test_large_metadata_keeps_the_loop_free(target: Path | str) -> None:
    text = json.dumps({"rows": ROWS})
    start = time.thread_time()
    json.loads(text)
    work = time.thread_time() - start
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        info = await tract.user("x", metadata={"rows": ROWS})

        assert await worst_turn(tract.get_commit(info.commit_hash)) < work / 2


async def test_committing_a_large_custom_content_keeps_the_loop_free(target: Path | str) -> None:
    start = time.thread_time()
    copy.deepcopy(ROWS)
    work = time.thread_time() - start
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        tract.register_content_type("table", Table)

        assert await worst_turn(tract.commit(Table(items=ROWS))) < work / 2


async def test_a_long_reason_keeps_the_loop_free(target: Path | str) -> None:
    reason = "abcé" * 2_000_000
    start = time.thread_time()
    json.dumps(reason, ensure_ascii=False).encode()
    # The row for a server is written on the loop.
    bound = (time.thread_time() - start) / (1 if engine_of(target) == "postgres" else 2)
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        info = await tract.user("x")

        call = tract.annotate(info.commit_hash, Priority.PINNED, reason=reason)
        assert await worst_turn(call) < bound


async def test_leaving_a_large_batch_keeps_the_loop_free(target: Path | str) -> None:
    texts = [f"word {number} " * 30 for number in range(5000)]
    await asyncio.to_thread(COUNTER.load)
    start = time.thread_time()
    for text in texts:
        COUNTER.count_text(text)
    # The rows for a server are written on the loop.
    bound = (time.thread_time() - start) / (1 if engine_of(target) == "postgres" else 2)
    turns: list[float] = []
    async with AsyncTract.open(target, tract_id="a", tokenizer=COUNTER) as tract:
        await tract.user("warm")
        while len(turns) < 3 and not (turns and turns[-1] < bound):  # others slow a turn down
            batch = tract.batch()
            await batch.__aenter__()
            for number, text in enumerate(texts):
                told = f"{len(turns)} {text}"  # what was counted before would not be again
                batch.commit({"content_type": "dialogue", "role": "user", "text": told})
                if not number % 20:
                    await asyncio.sleep(0)
            turns.append(await worst_turn(batch.__aexit__(None, None, None)))

    assert min(turns) < bound


async def test_a_query_for_many_values_keeps_the_loop_free(target: Path | str) -> None:
    values = list(range(20_000))
    start = time.thread_time()
    config_condition("a", "in", values)
    # The SQL for a server is made on the loop.
    bound = (time.thread_time() - start) * (2 if engine_of(target) == "postgres" else 0.5)
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        await tract.user("x", generation_config={"a": 1})

        assert await worst_turn(tract.query_by_config("a", "in", values)) < bound


async def test_a_pool_with_too_few_connections_is_told_as_a_storage_error(db_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{db_path}", poolclass=AssertionPool)
    try:
        with pytest.raises(StorageError):
            await TractStore.from_engine(engine)
    finally:
        await engine.dispose()
