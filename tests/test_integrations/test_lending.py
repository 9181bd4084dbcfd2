"""Stores that adapters open for their callers, whatever interrupts these."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from support.graphs_of_langgraph import config_of
from support.opening import COUNTER
from tract import StoreClosedError, TractStore
from tract.integrations.langgraph import TractSaver
from tract.integrations.openai_agents import TractSession


async def test_a_close_that_was_cancelled_can_be_called_again(tmp_path: Path) -> None:
    for turns in range(1, 6):
        before = {*threading.enumerate()}
        session = TractSession("s", tmp_path / f"{turns}.db")
        await session.add_items([{"role": "user", "content": "Hello"}])
        begun = {*threading.enumerate()} - before
        closing = asyncio.create_task(session.aclose())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])

        with pytest.raises(StoreClosedError):
            await session.get_items()
        await session.aclose()
        for each in begun:
            await asyncio.to_thread(each.join, 5)
            assert not each.is_alive()


async def test_a_store_that_was_closed_while_it_opened_is_not_handed_out(tmp_path: Path) -> None:
    session = TractSession("s", tmp_path / "a.db")
    opening = asyncio.create_task(session.open())
    await asyncio.sleep(0)
    closing = asyncio.create_task(session.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    outcomes = await asyncio.gather(opening, closing, return_exceptions=True)

    assert [type(each) for each in outcomes] == [StoreClosedError, asyncio.CancelledError]
    with pytest.raises(StoreClosedError):
        await session.get_items()
    await session.aclose()


async def test_a_closed_store_is_named_without_its_password() -> None:
    session = TractSession("s", "postgresql://me:secret@127.0.0.1:1/db")
    await session.aclose()

    with pytest.raises(StoreClosedError) as caught:
        await session.get_items()
    assert "secret" not in str(caught.value)


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupted_blocking_call_leaves_the_loop_of_the_store_alone(tmp_path: Path) -> None:
    errors: list[dict[str, Any]] = []

    async def opened() -> TractStore:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: errors.append(about))
        return await TractStore.open(tmp_path / "a.db", tokenizer=COUNTER)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        store = asyncio.run_coroutine_threadsafe(opened(), loop).result()
        saver = TractSaver(store)
        config = config_of("t", "1")
        saver.put_writes(config, [("messages", HumanMessage("a"))], "task")
        with sqlite3.connect(tmp_path / "a.db") as other:
            other.execute("BEGIN IMMEDIATE")
            with interrupted_after(0.2), pytest.raises(KeyboardInterrupt):
                saver.put_writes(config, [("messages", HumanMessage("b"))], "task")
            other.rollback()
        other.close()
        saver.put_writes(config, [("messages", HumanMessage("c"))], "other")
        asyncio.run_coroutine_threadsafe(store.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    assert errors == []
