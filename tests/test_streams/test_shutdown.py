"""Streams at a shutdown that cancels every task of the loop, as `asyncio.run` does at its end."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from support import sse
from support.faults import refuse_at_commit
from support.replies import reply
from tract import (
    AsyncTract,
    DialogueContent,
    HeadMovedError,
    NullTokenCounter,
    OnInterrupt,
    StorageError,
    StoreClosedError,
    StreamRecoveredError,
    TractStore,
)

COUNTER = NullTokenCounter()
TURNS = range(0, 30, 2)  # of the loop between the last write and the shutdown


async def shut_down_after(turns: int, *, times: int = 1) -> None:
    """Do what `asyncio.run` does before it closes its loop, or several such things in a row."""
    begun: set[asyncio.Task[Any]] = set()
    for _ in range(times):
        for _ in range(turns):
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        begun |= tasks
    await asyncio.gather(*begun, return_exceptions=True)


async def kept(path: Path, tract_id: str) -> tuple[list[str], list[str]]:
    """Return what was committed to a tract, and what of its streams may be recovered."""
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        tract = store.tract(tract_id)
        contents = [await tract.get_content(info.commit_hash) for info in await tract.log(None)]
        streams = await store.recover_streams()
    left = [stream.text for stream in streams if stream.tract_id == tract_id]
    return [item.text for item in contents if isinstance(item, DialogueContent)], left


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("length", [1, 20_000], ids=["unsaved", "saved"])
async def test_a_stream_is_committed_or_left_but_not_both(
    db_path: Path, length: int, times: int
) -> None:
    async def work(tract: AsyncTract, written: asyncio.Event) -> None:
        async with tract.stream() as stream:
            await stream.write("x" * length)
            await asyncio.sleep(0.05 if length > 1 else 0)
            await stream.write("y")
            written.set()

    for turns in TURNS:
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            written = asyncio.Event()
            task = asyncio.create_task(work(store.tract(f"{turns}"), written))
            await written.wait()
            await shut_down_after(turns, times=times)
            assert task.done()

    for turns in TURNS:
        committed, left = await kept(db_path, f"{turns}")
        assert [*committed, *left] == ["x" * length + "y"], turns


@pytest.mark.parametrize("on_interrupt", ["keep", "discard"])
async def test_a_save_under_way_leaves_nothing_of_a_stream_that_has_ended(
    db_path: Path, on_interrupt: OnInterrupt
) -> None:
    text = "x" * 20_000 + "y"

    async def work(tract: AsyncTract, written: asyncio.Event) -> None:
        async with tract.stream(on_interrupt=on_interrupt) as stream:
            await stream.write(text[:-1])
            await stream.write(text[-1])
            written.set()
            await asyncio.sleep(60)

    for turns in TURNS:
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            written = asyncio.Event()
            task = asyncio.create_task(work(store.tract(f"{turns}"), written))
            await written.wait()
            await shut_down_after(turns)
            assert task.cancelled()

    for turns in TURNS:
        committed = [text] if on_interrupt == "keep" else []
        assert await kept(db_path, f"{turns}") == (committed, []), turns


@pytest.mark.unmeasured
async def test_a_stream_is_not_left_once_it_is_committed(db_path: Path) -> None:
    """Its metadata are so large that they are read on a thread, for the info of the commit."""

    async def work(tract: AsyncTract) -> None:
        async with tract.stream(metadata={"notes": ["z" * 10] * 30_000}) as stream:
            await stream.write("y")

    with closing(sqlite3.connect(db_path)) as connection:
        for turns in TURNS:
            async with TractStore.open(db_path, tokenizer=COUNTER) as store:
                asyncio.create_task(work(store.tract(f"{turns}")))  # noqa: RUF006  (it is gathered)
                query = "SELECT 1 FROM commits WHERE tract_id = ?"
                while connection.execute(query, (f"{turns}",)).fetchone() is None:  # noqa: ASYNC110  (the disk tells nobody)
                    await asyncio.sleep(0)
                await shut_down_after(turns)

    for turns in TURNS:
        assert await kept(db_path, f"{turns}") == (["y"], []), turns


@pytest.mark.parametrize("pause", [0.002, 0.05], ids=["being saved", "saved"])
async def test_a_stream_that_is_being_discarded_leaves_nothing(db_path: Path, pause: float) -> None:
    async def work(tract: AsyncTract) -> None:
        async with tract.stream(on_interrupt="discard") as stream:
            await stream.write("x" * 17_000)
            await asyncio.sleep(60)

    for turns in TURNS:
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            task = asyncio.create_task(work(store.tract(f"{turns}")))
            await asyncio.sleep(pause)
            task.cancel()
            await shut_down_after(turns)
            assert task.cancelled()

    for turns in TURNS:
        assert await kept(db_path, f"{turns}") == ([], []), turns


async def spooled(path: Path) -> None:
    """Wait until something is in the spool."""
    with closing(sqlite3.connect(path)) as connection:
        while connection.execute("SELECT 1 FROM spool").fetchone() is None:  # noqa: ASYNC110  (the disk tells nobody)
            await asyncio.sleep(0)


@pytest.mark.parametrize("saved", [False, True])
async def test_a_discarded_stream_leaves_nothing_if_its_block_is_left_while_the_store_closes(
    db_path: Path, saved: bool
) -> None:
    for turns in TURNS:
        store = await TractStore.open(db_path, tokenizer=COUNTER)
        with suppress(ConnectionError):
            async with store.tract("t").stream(on_interrupt="discard") as stream:
                await stream.write("x" * 17_000 if saved else "x")
                if saved:
                    await spooled(db_path)
                closing_it = asyncio.create_task(store.aclose())
                for _ in range(turns):
                    await asyncio.sleep(0)
                raise ConnectionError
        await closing_it
        assert await kept(db_path, "t") == ([], []), turns


async def test_a_stream_that_is_kept_is_left_if_its_block_ends_while_the_store_closes(
    db_path: Path,
) -> None:
    for turns in TURNS:
        store = await TractStore.open(db_path, tokenizer=COUNTER)
        with suppress(StoreClosedError):
            async with store.tract(f"{turns}").stream() as stream:
                await stream.write("x")
                closing_it = asyncio.create_task(store.aclose())
                for _ in range(turns):
                    await asyncio.sleep(0)
        await closing_it
        committed, left = await kept(db_path, f"{turns}")
        assert [*committed, *left] == ["x"], turns


def recovered(path: Path, tract_id: str) -> str:
    """Take what is spooled of a tract, as another process does that recovers it; return its text."""
    with closing(sqlite3.connect(path)) as connection, connection:
        query = "DELETE FROM spool WHERE tract_id = ? RETURNING data"
        rows = connection.execute(query, (tract_id,)).fetchall()
    return "".join(frame[2] for (data,) in rows for frame in json.loads(data) if frame[0] == "text")


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
async def test_what_others_recovered_is_not_left_again_because_its_save_was_cancelled(
    db_path: Path, again: bool
) -> None:
    taken: dict[int, str] = {}
    for turns in TURNS:
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            with suppress(StreamRecoveredError):
                async with store.tract(f"{turns}").stream() as stream:
                    for letter in "ab" if again else "a":
                        await stream.write(letter * 17_000)
                        await shut_down_after(turns)
                    await store.tract("other").user("later than any save under way")
                    taken[turns] = recovered(db_path, f"{turns}")
                    await stream.write("y")

    text = ("a" * 17_000 + "b" * 17_000 if again else "a" * 17_000) + "y"
    assert any(taken.values())
    for turns in TURNS:
        committed, left = await kept(db_path, f"{turns}")
        assert "".join([taken[turns], *committed, *left]) == text, turns


@pytest.mark.unmeasured
async def test_a_dropped_recording_is_committed_or_left_even_if_a_shutdown_comes_at_once(
    db_path: Path,
) -> None:
    for turns in range(4):
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            recording = store.tract(f"{turns}").record_stream(reply(*sse.texts("Let me ", "look.")))
            await anext(recording)
            await anext(recording)
            del recording
            gc.collect()
            await shut_down_after(turns)

    for turns in range(4):
        committed, left = await kept(db_path, f"{turns}")
        assert [*committed, *left] == ["Let me "], turns


def owners(path: Path) -> set[str]:
    """Return the owners of the streams in the spool; "" is nobody, so that anybody may recover."""
    with closing(sqlite3.connect(path)) as connection:
        return {owner for (owner,) in connection.execute("SELECT owner FROM spool")}


@pytest.mark.parametrize("busy", [False, True], ids=["alone", "busy"])
async def test_a_save_that_a_shutdown_cancels_is_made_all_the_same(
    db_path: Path, busy: bool
) -> None:
    """The final commit is refused, so that the reply has to be saved, perhaps after other writes."""

    async def work(tract: AsyncTract, written: asyncio.Event) -> None:
        async with tract.stream(expected_head="0" * 64) as stream:
            await stream.write("y")
            written.set()

    async def keep_busy(tract: AsyncTract) -> None:
        while busy:
            await tract.user("hello")

    for turns in range(40):
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            written = asyncio.Event()
            other = asyncio.create_task(keep_busy(store.tract("busy")))
            task = asyncio.create_task(work(store.tract(f"{turns}"), written))
            await written.wait()
            await shut_down_after(turns)
            assert task.cancelled() or isinstance(task.exception(), HeadMovedError)
            assert other.done()

    assert owners(db_path) == {""}
    for turns in range(40):
        assert await kept(db_path, f"{turns}") == ([], ["y"]), turns


async def test_a_commit_that_fails_while_a_shutdown_cancels_it_loses_nothing(
    db_path: Path,
) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER):
        pass
    refuse_at_commit(db_path, "refused")

    async def work(tract: AsyncTract, written: asyncio.Event) -> None:
        async with tract.stream(message="refused") as stream:
            await stream.write("y")
            written.set()

    for turns in TURNS:
        async with TractStore.open(db_path, tokenizer=COUNTER) as store:
            written = asyncio.Event()
            task = asyncio.create_task(work(store.tract(f"{turns}"), written))
            await written.wait()
            await shut_down_after(turns)
            assert task.cancelled() or isinstance(task.exception(), StorageError)

    for turns in TURNS:
        assert await kept(db_path, f"{turns}") == ([], ["y"]), turns


async def test_closing_keeps_what_arrived_of_open_streams_if_a_shutdown_comes_meanwhile(
    db_path: Path,
) -> None:
    for turns in TURNS:
        store = await TractStore.open(db_path, tokenizer=COUNTER)
        stream = await store.tract(f"{turns}").stream().__aenter__()
        await stream.write("y")
        closing_it = asyncio.create_task(store.aclose())
        await shut_down_after(turns)
        assert closing_it.done()
        await store.aclose()

    assert owners(db_path) == {""}
    for turns in TURNS:
        assert await kept(db_path, f"{turns}") == ([], ["y"]), turns
