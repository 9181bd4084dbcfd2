"""The life of a store: opening, calls in flight, closing, being dropped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from tract import (
    AsyncTract,
    DialogueContent,
    Priority,
    StorageError,
    StoreClosedError,
    TokenUsage,
    TractStore,
)

NOWHERE = "0" * 64
CONTENT = DialogueContent(role="user", text="x")

Call = Callable[[AsyncTract], Awaitable[object]]


async def enter_batch(tract: AsyncTract) -> None:
    async with tract.batch():
        pass


CALLS: dict[str, Call] = {
    "commit": lambda tract: tract.commit(CONTENT),
    "system": lambda tract: tract.system("x"),
    "user": lambda tract: tract.user("x"),
    "assistant": lambda tract: tract.assistant("x"),
    "batch": enter_batch,
    "compile": lambda tract: tract.compile(),
    "compile at_commit": lambda tract: tract.compile(at_commit=NOWHERE),
    "compile at_time": lambda tract: tract.compile(at_time=datetime.now(UTC)),
    "head": lambda tract: tract.head(),
    "get_commit": lambda tract: tract.get_commit(NOWHERE),
    "get_content": lambda tract: tract.get_content(NOWHERE),
    "log": lambda tract: tract.log(),
    "annotate": lambda tract: tract.annotate(NOWHERE, Priority.SKIP),
    "get_annotations": lambda tract: tract.get_annotations(NOWHERE),
    "query_by_config": lambda tract: tract.query_by_config("a", "=", 1),
    "record_usage": lambda tract: tract.record_usage(TokenUsage(1)),
    "verify": lambda tract: tract.verify(),
}


def sqlite_threads() -> int:
    return sum("aiosqlite" in repr(getattr(t, "_target", t)) for t in threading.enumerate())


def files_in(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def open_files(path: Path) -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if link.startswith(str(path)):
            found.append(link)
    return found


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc"
)


# opening


@pytest.mark.parametrize("kind", [AsyncTract, TractStore], ids=lambda kind: kind.__name__)
async def test_open_can_be_awaited_or_entered(kind: type[Any], target: Path | str) -> None:
    opened = await kind.open(target)
    await opened.aclose()
    async with kind.open(target) as entered:
        assert type(entered) is type(opened) is kind
    async with await kind.open(target) as both:
        assert type(both) is kind


@pytest.mark.parametrize("kind", [AsyncTract, TractStore], ids=lambda kind: kind.__name__)
async def test_what_was_entered_is_closed_even_when_the_body_raises(
    kind: type[Any], target: Path | str
) -> None:
    with pytest.raises(KeyError):
        async with kind.open(target) as opened:
            raise KeyError
    tract = opened if kind is AsyncTract else opened.tract("t")
    with pytest.raises(StoreClosedError):
        await tract.head()


@pytest.mark.parametrize("name", ["str", "path", "url"])
async def test_open_takes_a_string_a_path_or_a_url(name: str, db_path: Path) -> None:
    targets: dict[str, str | Path] = {
        "str": str(db_path),
        "path": db_path,
        "url": f"sqlite+aiosqlite:///{db_path}",
    }
    async with AsyncTract.open(targets[name], tract_id="t") as tract:
        await tract.user("a")

    assert files_in(db_path.parent) == [db_path.name]


async def test_memory_stores_are_apart_and_leave_no_file(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        async with (
            AsyncTract.open(tract_id="t") as one,
            AsyncTract.open(":memory:", tract_id="t") as other,
        ):
            await one.user("a")

            assert await other.head() is None

    assert files_in(tmp_path) == []


async def test_what_was_stored_is_there_after_reopening(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        info = await tract.user("a", generation_config={"t": 1}, metadata={"k": "v"})
        context = await tract.compile()
    async with AsyncTract.open(target, tract_id="t") as tract:
        assert await tract.log() == [info]
        assert await tract.compile() == context


@needs_proc
async def test_closing_leaves_neither_threads_nor_files_open(db_path: Path) -> None:
    before = sqlite_threads()
    async with AsyncTract.open(db_path) as tract:
        await tract.user("a")
        assert open_files(db_path)

    assert open_files(db_path) == []
    assert sqlite_threads() == before
    assert files_in(db_path.parent) == [db_path.name]


async def open_and_close(path: Path) -> None:
    async with AsyncTract.open(path) as tract:
        await tract.head()


async def cancelled_as_a_task(path: Path, steps: int) -> None:
    task = asyncio.create_task(open_and_close(path))
    for _ in range(steps):
        await asyncio.sleep(0.0005 if steps > 6 else 0)
    task.cancel()
    await asyncio.wait([task])


async def cancelled_by_a_scope(path: Path, steps: int) -> None:
    with anyio.move_on_after(steps * 0.0005):
        await open_and_close(path)


async def cancelled_by_a_timeout(path: Path, steps: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(steps * 0.0005):
            await open_and_close(path)


@needs_proc
@pytest.mark.parametrize("steps", range(13))
@pytest.mark.parametrize(
    "open_cancelled",
    [cancelled_as_a_task, cancelled_by_a_scope, cancelled_by_a_timeout],
    ids=lambda how: how.__name__,
)
async def test_a_cancelled_opening_leaves_nothing_open(
    db_path: Path, open_cancelled: Callable[[Path, int], Awaitable[None]], steps: int
) -> None:
    threads = sqlite_threads()
    await open_cancelled(db_path, steps)

    assert open_files(db_path) == []
    assert sqlite_threads() == threads
    await open_and_close(db_path)


# closing


async def test_closing_finishes_the_calls_in_flight(target: Path | str) -> None:
    tract = await AsyncTract.open(target, tract_id="t")
    commits = [asyncio.create_task(tract.user(str(n))) for n in range(20)]
    compiles = [asyncio.create_task(tract.compile()) for _ in range(5)]
    await asyncio.sleep(0)
    await tract.aclose()
    infos = await asyncio.gather(*commits)
    contexts = await asyncio.gather(*compiles)
    async with AsyncTract.open(target, tract_id="t") as again:
        log = await again.log(None)

    assert {info.commit_hash for info in infos} == {info.commit_hash for info in log}
    assert len(contexts) == 5


async def test_closing_finishes_a_long_compile_and_a_verify(target: Path | str) -> None:
    tract = await AsyncTract.open(target, tract_id="t")
    async with tract.batch() as batch:
        for n in range(2000):
            batch.commit({"content_type": "freeform", "payload": n})
    compiling = asyncio.create_task(tract.compile())
    verifying = asyncio.create_task(tract.verify())
    await asyncio.sleep(0)
    await tract.aclose()

    assert (await compiling).commit_count == 2000
    assert (await verifying).checked == 2000


async def test_a_closing_store_refuses_new_calls_at_once() -> None:
    tract = await AsyncTract.open(tract_id="t")
    slow = asyncio.create_task(tract.user("x"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(tract.aclose())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(StoreClosedError):
        await tract.head()
    await closing

    assert (await slow).parent_hash is None


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_on_a_closed_store_says_so(name: str, db_path: Path) -> None:
    tract = await AsyncTract.open(db_path, tract_id="t")
    await tract.aclose()
    with pytest.raises(StoreClosedError, match=r"closed\. Open it again") as caught:
        await CALLS[name](tract)

    assert caught.value.path == str(db_path)


async def test_closing_twice_is_fine(target: Path | str) -> None:
    tract = await AsyncTract.open(target)
    await tract.aclose()
    await tract.aclose()
    async with tract:  # leaving closes once more
        pass


async def test_closing_concurrently_closes_once_for_all(db_path: Path) -> None:
    store = await TractStore.open(db_path)
    await store.tract("t").user("a")
    await asyncio.gather(*(store.aclose() for _ in range(5)))

    assert files_in(db_path.parent) == [db_path.name]


@pytest.mark.parametrize("steps", range(6))
async def test_a_cancelled_closing_closes_all_the_same(target: Path | str, steps: int) -> None:
    tract = await AsyncTract.open(target, tract_id="t")
    writing = asyncio.create_task(tract.user("a"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(tract.aclose())
    for _ in range(steps):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert (await writing).parent_hash is None
    await tract.aclose()
    with pytest.raises(StoreClosedError):
        await tract.head()


async def test_closing_works_inside_a_cancelled_scope(db_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with AsyncTract.open(db_path, tract_id="t") as tract:
            await tract.user("a")
            scope.cancel()
            await anyio.sleep(60)

    assert files_in(db_path.parent) == [db_path.name]


async def test_a_handle_of_a_store_leaves_the_store_open() -> None:
    async with TractStore.open() as store:
        one, other = store.tract("one"), store.tract("other")
        async with one:
            await one.user("a")
        await one.aclose()

        assert (await other.user("b")).tract_id == "other"
        assert await store.tract_ids() == ["one", "other"]


async def test_closing_the_store_closes_all_its_handles() -> None:
    store = await TractStore.open()
    tract = store.tract("t")
    await store.aclose()
    with pytest.raises(StoreClosedError):
        await tract.user("a")
    with pytest.raises(StoreClosedError):
        await store.tract_ids()


# other loops


@pytest.mark.parametrize("name", [*CALLS, "aclose"])
async def test_a_handle_from_another_loop_says_so(name: str, target: Path | str) -> None:
    tract = await AsyncTract.open(target, tract_id="t")
    caught: list[BaseException] = []

    async def use() -> None:
        call = CALLS.get(name, AsyncTract.aclose)
        try:
            await call(tract)
        except BaseException as error:
            caught.append(error)

    await asyncio.to_thread(asyncio.run, use())
    await tract.user("still fine")
    await tract.aclose()

    assert [type(error) for error in caught] == [StorageError]
    assert "another event loop. Open one in each loop" in str(caught[0])


async def test_each_loop_may_open_the_file_for_itself(target: Path | str) -> None:
    async def work(name: str) -> str:
        async with AsyncTract.open(target, tract_id=name) as tract:
            return (await tract.user("a")).tract_id

    names = await asyncio.gather(
        asyncio.to_thread(asyncio.run, work("one")), asyncio.to_thread(asyncio.run, work("two"))
    )

    assert [*names] == ["one", "two"]


# being dropped


async def test_a_store_dropped_open_gives_a_resource_warning(target: Path | str) -> None:
    threads = sqlite_threads()
    tract = await AsyncTract.open(target)
    handles = [tract]
    del tract
    with pytest.warns(ResourceWarning, match=r"dropped without being closed.*async with"):
        handles.clear()
    for _ in range(100):
        if sqlite_threads() == threads:
            break
        await asyncio.sleep(0.01)

    assert sqlite_threads() == threads


async def test_a_closed_store_is_dropped_silently(target: Path | str) -> None:
    tract = await AsyncTract.open(target)
    await tract.aclose()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del tract
        gc.collect()


async def test_a_handle_of_a_store_may_be_dropped_silently() -> None:
    async with TractStore.open() as store:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            store.tract("t")
            gc.collect()


FORGETFUL = """
import asyncio, sys
from tract import AsyncTract
async def main():
    tract = await AsyncTract.open(sys.argv[1], tract_id="t")
    await tract.user("kept")
    return tract
tract = asyncio.run(main())
"""


def test_a_forgotten_store_does_not_keep_the_program_from_ending(db_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", FORGETFUL, str(db_path)],
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0
    assert "Traceback" not in done.stderr

    async def log() -> int:
        async with AsyncTract.open(db_path, tract_id="t") as tract:
            return len(await tract.log())

    assert asyncio.run(log()) == 1
