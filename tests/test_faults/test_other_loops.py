"""Where asyncio does not run: every way in says so, and what to do, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
from sqlalchemy.ext.asyncio import create_async_engine

from support.opening import COUNTER
from support.replies import reply
from tract import AsyncTract, StorageError, TractStore

SAYS = "AsyncTract runs on asyncio.*`anyio.run\\(main, backend='asyncio'\\)`"
Runner = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


def by_hand(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine that never waits, without any event loop."""
    with pytest.raises(StopIteration):
        function().send(None)


def anyio_on_trio(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    anyio.run(function, backend="trio")


def trio_run(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    trio.run(function)


every_runner = pytest.mark.parametrize("run", [trio_run, anyio_on_trio, by_hand])

OPENINGS: dict[str, Callable[[Path], Any]] = {
    "tract": lambda path: AsyncTract.open(path, tokenizer=COUNTER),
    "store": lambda path: TractStore.open(path, tokenizer=COUNTER),
    "engine": lambda path: TractStore.from_engine(
        create_async_engine(f"sqlite+aiosqlite:///{path}"), tokenizer=COUNTER
    ),
}


@every_runner
@pytest.mark.parametrize("kind", OPENINGS)
def test_opening_without_asyncio_says_what_to_do(run: Runner, kind: str, db_path: Path) -> None:
    async def open_it() -> None:
        with pytest.raises(StorageError, match=SAYS):
            await OPENINGS[kind](db_path)
        with pytest.raises(StorageError, match=SAYS):
            await OPENINGS[kind](db_path).__aenter__()

    before = threading.active_count()
    run(open_it)

    assert threading.active_count() == before
    assert not db_path.exists()


CALLS: dict[str, Callable[[AsyncTract], Awaitable[Any]]] = {
    "commit": lambda tract: tract.user("hello"),
    "compile": lambda tract: tract.compile(),
    "head": lambda tract: tract.head(),
    "merge": lambda tract: tract.merge("main"),
    "batch": lambda tract: tract.batch().__aenter__(),
    "watch": lambda tract: anext(tract.watch()),
    "verify": lambda tract: tract.verify(),
    "aclose": lambda tract: tract.aclose(),
}


@every_runner
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_on_an_open_store_without_asyncio_says_so_and_does_nothing(
    run: Runner, call: str, db_path: Path
) -> None:
    async def use() -> None:
        with pytest.raises(StorageError, match=SAYS) as told:
            await CALLS[call](tract)
        assert told.value.path == str(db_path)

    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as tract:
        info = await tract.user("hello")
        with ThreadPoolExecutor(1) as elsewhere:
            await asyncio.get_running_loop().run_in_executor(elsewhere, run, use)

        assert await tract.log() == [info]


@every_runner
async def test_a_stream_without_asyncio_says_so_when_it_is_made(
    run: Runner, target: Path | str
) -> None:
    async def use() -> None:
        for make in (tract.stream, lambda: tract.record_openai(reply())):
            with pytest.raises(StorageError, match=SAYS):
                make()

    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        with ThreadPoolExecutor(1) as elsewhere:
            await asyncio.get_running_loop().run_in_executor(elsewhere, run, use)


@every_runner
@pytest.mark.parametrize("step", ["anext", "aclose"])
async def test_a_recording_that_is_used_without_asyncio_says_so_and_goes_on_with_it(
    run: Runner, step: str, target: Path | str
) -> None:
    deltas = [{"content": "a"}, {"content": "b"}]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

    async def use() -> None:
        with pytest.raises(StorageError, match=SAYS):
            await (anext(recording) if step == "anext" else recording.aclose())

    async with AsyncTract.open(target, tokenizer=COUNTER) as tract:
        recording = tract.record_openai(reply(*chunks, end))
        await anext(recording)
        with ThreadPoolExecutor(1) as elsewhere:
            await asyncio.get_running_loop().run_in_executor(elsewhere, run, use)
        async for _ in recording:
            pass

        assert recording.text == "ab"
        assert recording.commits == await tract.log()
