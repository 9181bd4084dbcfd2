"""A store with a loop of its own: every call from any loop, and by its twin from none."""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import pytest_asyncio
from pydantic import BaseModel

from support.counters import WordCounter
from support.opening import COUNTER
from support.stubs import STUB, stub
from tract import (
    AsyncTract,
    CommitInfo,
    CompactionPolicy,
    HeadMovedError,
    MergeConflict,
    Retention,
    StorageError,
    StoreClosedError,
    SyncBatch,
    SyncRecording,
    SyncStore,
    SyncStream,
    SyncTract,
    SyncTransaction,
    SyncWatch,
    TokenBudgetConfig,
    TokenBudgetWarning,
    TokenUsage,
    TractConfig,
    TractError,
    TractStore,
    copy_store,
)

SAID = {"content_type": "dialogue", "role": "user", "text": "hello"}
REPLY = {
    "object": "chat.completion",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
    ],
}
CHUNKS: list[dict[str, Any]] = [
    *({"choices": [{"index": 0, "delta": {"content": word}}]} for word in "ab"),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]


class Ticket(BaseModel):
    number: int


async def elsewhere(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run *work* in another event loop, on a thread of its own."""
    return await asyncio.to_thread(lambda: asyncio.run(work()))


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread does, for 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:  # noqa: ASYNC110  # nothing to wait for
        await asyncio.sleep(0.01)
    assert is_so()


@pytest_asyncio.fixture
async def own(target: Path | str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, own_loop=True, tokenizer=COUNTER) as store:
        yield store


@pytest_asyncio.fixture
async def tract(own: TractStore) -> AsyncTract:
    tract = own.tract("t")
    await tract.user("hello")
    await tract.fork("side")
    return tract


# Each public call, on a handle or on its twin. `t` is on `main`, and has one commit in the end.

Calls = dict[str, Callable[[Any], Any]]
_NUMBERS = itertools.count()


def _new() -> Path:
    return Path(tempfile.mkdtemp()) / "new.db"


def _exported() -> Path:
    """Return a file that a store has exported."""
    path = _new()

    def export() -> None:
        with SyncStore.open(":memory:", tokenizer=COUNTER) as store:
            store.tract("t2").user("hello")
            store.export(path)

    with ThreadPoolExecutor(1) as pool:  # this thread may run a loop
        pool.submit(export).result()
    return path


ALWAYS = CompactionPolicy(trigger_tokens=1, target_tokens=0, clear_at_least=0)


def expanded(t: Any) -> Any:
    """Undo a compaction, made first on a branch of its own."""
    if isinstance(t, SyncTract):
        aside = t.fork(f"compacted-{next(_NUMBERS)}")
        aside.user("hello")
        done = aside.compact(None, keep_recent=0)
        assert done is not None
        return aside.expand(done.commit_hash)
    return _expanded(t)


async def _expanded(t: AsyncTract) -> CommitInfo:
    aside = await t.fork(f"compacted-{next(_NUMBERS)}")
    await aside.user("hello")
    done = await aside.compact(None, keep_recent=0)
    assert done is not None
    return await aside.expand(done.commit_hash)


TRACT: Calls = {
    "annotate": lambda t: t.annotate("main", "pinned"),
    "assistant": lambda t: t.assistant("hi", expected_head="main"),
    "attach": lambda t: t.attach(b"bytes", "text/plain"),
    "attachment": lambda t: t.attachment(
        "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"
    ),
    "batch": lambda t: t.batch(),
    "branch": lambda t: t.branch,
    "branches": lambda t: t.branches(),
    "cherry_pick": lambda t: t.cherry_pick("side"),
    "clear_tool_results": lambda t: t.clear_tool_results(exclude_tools=iter(())),
    "commit": lambda t: t.commit(SAID, metadata={"a": 1}),
    "compact": lambda t: t.compact(
        lambda request: "short", keep_recent=0, must_keep=iter(["short"])
    ),
    "compactions": lambda t: t.compactions(),
    "compare": lambda t: t.compare(["side"]),
    "compile": lambda t: t.compile(at_time=datetime.now(UTC)),
    "delete_branch": lambda t: t.delete_branch("new", force=True),
    "delete_tag": lambda t: t.delete_tag("v1"),
    "diff": lambda t: t.diff(None, "main"),
    "edit_entries": lambda t: t.edit_entries(append=iter([SAID])),
    "entries": lambda t: t.entries(),
    "erase": lambda t: t.erase([], reason="none"),
    "expand": expanded,
    "prune": lambda t: t.prune(keep=1000, reason="none"),
    "fork": lambda t: t.fork("new"),
    "get_by_keys": lambda t: t.get_by_keys(["k"]),
    "keys": lambda t: t.keys(),
    "get_annotations": lambda t: t.get_annotations("side"),
    "get_commit": lambda t: t.get_commit("main"),
    "get_content": lambda t: t.get_content("side"),
    "get_contents": lambda t: t.get_contents(each for each in ("side", "side")),
    "head": lambda t: t.head(),
    "log": lambda t: t.log(5, contents=True),
    "merge": lambda t: t.merge("side"),
    "on": lambda t: t.on("side"),
    "plan_compaction": lambda t: t.plan_compaction(keep=lambda message: False),
    "origins": lambda t: t.origins(),
    "query": lambda t: t.query(),
    "count": lambda t: t.count(),
    "info": lambda t: t.info(),
    "set_info": lambda t: t.set_info(title="T"),
    "search": lambda t: t.search("hi"),
    "query_by_config": lambda t: t.query_by_config("temperature", ">", 0),
    "reached_by": lambda t: t.reached_by(each for each in ("side", "main")),
    "record": lambda t: t.record(REPLY),
    "record_anthropic": lambda t: t.record_anthropic(iter(())),
    "record_openai": lambda t: t.record_openai(iter(())),
    "record_stream": lambda t: t.record_stream(iter(())),
    "record_usage": lambda t: t.record_usage(TokenUsage(7)),
    "reflog": lambda t: t.reflog(),
    "register_content_type": lambda t: t.register_content_type("ticket", Ticket),
    "reset": lambda t: t.reset("side"),
    "maintain": lambda t: t.maintain(policy=ALWAYS),
    "settle": lambda t: t.settle(),
    "state": lambda t: t.state({"n": 1}),
    "stats": lambda t: t.stats(),
    "stream": lambda t: t.stream(),
    "sync": lambda t: t.sync,
    "system": lambda t: t.system("be good"),
    "tag": lambda t: t.tag("v1"),
    "tags": lambda t: t.tags(),
    "tools": lambda t: t.tools([]),
    "tract_id": lambda t: t.tract_id,
    "user": lambda t: t.user("hi"),
    "verify": lambda t: t.verify(),
    "watch": lambda t: t.watch(),
    "aclose": lambda t: t.aclose(),
}
STORE: Calls = {
    "backup": lambda s: s.backup(_new()),
    "collect": lambda s: s.collect(),
    "retain": lambda s: s.retain(Retention(keep=1000), reason="none"),
    "copy_tract": lambda s: s.copy_tract("t", f"copy-{next(_NUMBERS)}"),
    "erase_tract": lambda s: s.erase_tract("nobody", reason="none"),
    "export": lambda s: s.export(_new()),
    "import_": lambda s: s.import_(_exported()),
    "info": lambda s: s.info(exact=True),
    "vacuum": lambda s: s.vacuum(),
    "cache_info": lambda s: s.cache_info(),
    "create_config_index": lambda s: s.create_config_index("model"),
    "recover_streams": lambda s: s.recover_streams(),
    "register_content_type": lambda s: s.register_content_type("ticket2", Ticket),
    "sync": lambda s: s.sync,
    "tract": lambda s: s.tract("t"),
    "disable_search": lambda s: s.disable_search(),
    "enable_search": lambda s: s.enable_search(),
    "search": lambda s: s.search("hi"),
    "tracts": lambda s: s.tracts(),
    "tract_ids": lambda s: s.tract_ids(),
    "transaction": lambda s: s.transaction(),
    "aclose": lambda s: s.aclose(),
}
LATE = ["delete_branch", "delete_tag", "disable_search", "aclose"]
"""Those that follow all others."""


def in_order(calls: Calls) -> list[str]:
    return sorted(calls, key=lambda name: (LATE.index(name) if name in LATE else -1, name))


def public(cls: type) -> set[str]:
    opening = {"open", "from_engine"}
    return {name for name, _ in inspect.getmembers(cls) if not name.startswith("_")} - opening


def test_every_public_call_is_here() -> None:
    assert public(AsyncTract) == TRACT.keys()
    assert public(TractStore) == STORE.keys()


def test_a_twin_has_every_call() -> None:
    assert public(SyncTract) | {"sync"} == TRACT.keys()
    assert public(SyncStore) | {"sync"} == STORE.keys()


async def test_every_call_is_made_from_another_loop(
    own: TractStore, tract: AsyncTract, target: Path | str
) -> None:
    on_a_server = str(target).startswith("postgresql")

    async def use() -> None:
        await own.enable_search()
        for handle, calls in ((tract, TRACT), (own, STORE)):
            for name in in_order(calls):
                if name == "backup" and on_a_server:
                    continue  # refused there
                try:
                    result = calls[name](handle)
                    if inspect.isawaitable(result):
                        await result
                except Exception as error:
                    error.add_note(name)
                    raise

    await elsewhere(use)


def test_every_call_is_made_without_a_loop(db_path: Path) -> None:
    with SyncStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        tract.user("hello")
        tract.fork("side")
        store.enable_search()
        for handle, calls in ((tract, TRACT), (store, STORE)):
            for name in in_order(calls):
                if name == "sync":
                    continue  # a twin has none
                try:
                    result = calls[name](handle)
                except Exception as error:
                    error.add_note(name)
                    raise
                assert not inspect.isawaitable(result)


def test_type_checkers_are_told_of_every_call() -> None:
    """Run `python -m support.stubs` in tests/ after a change of a public call."""
    written = STUB.read_text(encoding="utf-8")

    assert _parsed(written) == _parsed(stub())


def _parsed(text: str) -> tuple[set[str], str]:
    body = ast.parse(text).body
    imports = {
        f"{each.module}.{name.name}"
        for each in body
        if isinstance(each, ast.ImportFrom)
        for name in each.names
    }
    rest = [each for each in body if not isinstance(each, ast.ImportFrom)]
    return imports, "\n".join(map(ast.unparse, rest))


# Handles


async def test_a_handle_is_of_the_class_that_type_checkers_see(tract: AsyncTract) -> None:
    handles = tract, await tract.fork("new"), tract.on("side")

    assert all(isinstance(handle, AsyncTract) for handle in handles)
    assert {type(handle).__name__ for handle in handles} == {"AsyncTract"}


async def test_handles_are_used_from_another_loop(own: TractStore, tract: AsyncTract) -> None:
    async def use() -> None:
        async with tract.batch() as batch:
            staged = batch.commit(SAID)
            batch.annotate(staged, "pinned")
        async with tract.stream() as stream:
            await stream.write("he")
            await stream.write("llo")
            assert stream.text == "hello"
        assert stream.commit_info is not None
        async with tract.watch() as watch:
            assert await anext(watch) == (await tract.log(None))[-1]
            with anyio.move_on_after(0.05):
                async for _ in watch:
                    pass
        assert len(batch.commits) == 2

    await elsewhere(use)

    assert len(await tract.log(None)) == 4


async def test_a_response_is_iterated_over_in_the_task_of_its_caller(tract: AsyncTract) -> None:
    async def use() -> None:
        me = asyncio.current_task()

        async def response() -> AsyncIterator[dict[str, Any]]:
            async with asyncio.timeout(20):  # may only be left in the task that entered it
                for chunk in CHUNKS:
                    assert asyncio.current_task() is me
                    yield chunk

        recording = tract.record_stream(response())
        assert [chunk async for chunk in recording] == CHUNKS
        assert recording.text == "ab"
        assert len(recording.commits) == 1

    await elsewhere(use)


class Response:
    """A provider's stream that knows in which loop it was closed."""

    closed_in: asyncio.AbstractEventLoop | None = None

    def __init__(self) -> None:
        self._chunks = iter(CHUNKS)

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> dict[str, Any]:
        return next(self._chunks)

    async def aclose(self) -> None:
        self.closed_in = asyncio.get_running_loop()


@pytest.mark.parametrize("dropped", [False, True])
async def test_a_response_is_closed_in_the_loop_of_its_caller(
    tract: AsyncTract, dropped: bool
) -> None:
    async def use() -> None:
        response = Response()
        recording = tract.record_stream(response)
        await anext(recording)
        if dropped:
            del recording
        else:
            await recording.aclose()
        await until(lambda: response.closed_in is not None)
        assert response.closed_in is asyncio.get_running_loop()

    await elsewhere(use)

    assert len(await tract.log(None)) == 2


def test_handles_are_used_without_a_loop(db_path: Path) -> None:
    with SyncStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        with tract.batch() as batch:
            batch.commit(SAID)
        with tract.stream() as stream:
            stream.write("hello")
        recording = tract.record_stream(iter(CHUNKS))
        assert list(recording) == CHUNKS
        with tract.watch() as watch:
            seen = [next(watch) for _ in range(3)]
        left = store.recover_streams()

        kinds = [type(each) for each in (batch, stream, recording, watch, tract.fork("new"))]
        assert kinds == [SyncBatch, SyncStream, SyncRecording, SyncWatch, SyncTract]
        assert seen == [*batch.commits, stream.commit_info, *recording.commits]
        assert seen == tract.log(None)[::-1]
        assert (recording.text, left) == ("ab", [])


def test_a_block_that_raises_writes_nothing(db_path: Path) -> None:
    with SyncStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        with pytest.raises(KeyError), tract.batch() as batch:
            batch.commit({"text": SAID["nothing"]})

        assert tract.head() is None


async def test_a_transaction_is_used_from_another_loop(own: TractStore, tract: AsyncTract) -> None:
    log = own.tract("log")

    async def use() -> None:
        async with own.transaction() as tx:
            said = tx.on(tract).user("a")
            draft = tx.on(tract).fork("draft")
            tx.on(log).state([said, draft.user("b")], key="1")
        assert [info.tract_id for info in tx.commits] == ["t", "t", "log"]

    await elsewhere(use)

    assert len(await log.keys()) == 1


def test_a_transaction_is_used_without_a_loop(db_path: Path) -> None:
    with SyncStore.open(db_path, tokenizer=COUNTER) as store:
        tract, log = store.tract("t"), store.tract("log")
        with store.transaction() as tx:
            said = tx.on(tract, expected_head=None).user("a")
            tx.on(log).state([said])
        late = store.transaction()
        late.__enter__()
        late.on(log).user("never")
        late.on(tract, expected_head=None)
        with pytest.raises(HeadMovedError):
            late.__exit__(None, None, None)

        assert type(tx) is SyncTransaction
        assert tx.commits == [*tract.log(None), *log.log(None)]
        assert log.get_content("main").model_dump()["payload"] == [said.info.commit_hash]


# Callbacks


def conflicting(tract: SyncTract) -> None:
    base = tract.user("one").commit_hash
    side = tract.fork(f"on {base[:5]}".replace(" ", "-"))
    tract.user("ours", operation="edit", edit_target=base)
    side.user("theirs", operation="edit", edit_target=base)


def test_a_function_about_conflicts_runs_in_the_thread_that_merges(db_path: Path) -> None:
    with SyncStore.open(db_path, tokenizer=COUNTER) as store:
        asked: list[object] = []

        def decide(conflict: MergeConflict) -> Any:
            asked.append(threading.current_thread())
            assert store.tract_ids()  # which may call
            return "theirs"

        async def decide_later(conflict: MergeConflict) -> Any:
            await asyncio.sleep(0)
            return decide_in_loop(conflict)

        def decide_in_loop(conflict: MergeConflict) -> Any:
            asked.append(threading.current_thread())
            return "ours"

        for function in (decide, decide_later):
            tract = store.tract(function.__name__)
            conflicting(tract)
            [name] = [each.name for each in tract.branches() if each.name != "main"]
            tract.merge(name, on_conflict=function)

        assert asked == [threading.current_thread()] * 2


async def test_a_budgets_callback_runs_in_the_loop_that_commits(target: Path | str) -> None:
    ran: list[object] = []

    async def make_room(tokens: int, most: int) -> None:
        ran.append(asyncio.get_running_loop())
        for oldest in (await chat.compile()).commit_hashes[:1]:
            await chat.annotate(oldest, "skip")

    config = TractConfig(
        token_budget=TokenBudgetConfig(max_tokens=4, action="callback", callback=make_room)
    )

    async def use() -> None:
        await chat.user("one two three")
        await chat.user("four five six")
        assert {*ran} == {asyncio.get_running_loop()}

    async with TractStore.open(
        target, own_loop=True, config=config, tokenizer=WordCounter()
    ) as store:
        chat = store.tract("t")
        await elsewhere(use)

        assert (await chat.compile()).commit_count == 1


def test_an_error_of_a_callback_reaches_the_call(db_path: Path) -> None:
    def decide(conflict: MergeConflict) -> Any:
        raise ZeroDivisionError

    with SyncStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        conflicting(tract)
        [name] = [each.name for each in tract.branches() if each.name != "main"]
        with pytest.raises(ZeroDivisionError):
            tract.merge(name, on_conflict=decide)

        assert tract.user("goes on")


async def test_a_warning_names_the_line_that_called(target: Path | str) -> None:
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=1))
    async with TractStore.open(
        target, own_loop=True, config=config, tokenizer=WordCounter()
    ) as store:
        tract = store.tract("t")
        line = sys._getframe().f_lineno + 2
        with pytest.warns(TokenBudgetWarning) as told:
            await tract.user("a few words")

    assert [(each.filename, each.lineno) for each in told] == [(__file__, line)]


def test_a_warning_of_a_blocking_call_names_its_line(db_path: Path) -> None:
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=1))
    with SyncStore.open(db_path, config=config, tokenizer=WordCounter()) as store:
        tract = store.tract("t")
        line = sys._getframe().f_lineno + 2
        with pytest.warns(TokenBudgetWarning) as told:
            tract.user("a few words")

    assert [(each.filename, each.lineno) for each in told] == [(__file__, line)]


# Many loops, cancellation and closing


async def test_loops_and_threads_commit_side_by_side(own: TractStore) -> None:
    tract = own.tract("t")

    async def commit(number: int) -> list[CommitInfo]:
        return await asyncio.gather(*(tract.user(f"{number}.{each}") for each in range(20)))

    def block(number: int) -> list[CommitInfo]:
        return [tract.sync.user(f"{number}.{each}") for each in range(20)]

    made = await asyncio.gather(
        commit(0),
        *(elsewhere(lambda number=number: commit(number)) for number in (1, 2)),  # type: ignore[misc]
        *(asyncio.to_thread(block, number) for number in (3, 4)),
    )
    log = await tract.log(None)

    assert sorted(info.commit_hash for each in made for info in each) == sorted(
        info.commit_hash for info in log
    )
    assert all(a.parent_hash == b.commit_hash for a, b in itertools.pairwise(log))


async def test_a_batch_that_is_cancelled_anywhere_is_written_or_not(own: TractStore) -> None:
    tract = own.tract("t")

    async def write(step: int) -> None:
        async with tract.batch() as batch:
            for _ in range(3):
                batch.commit({**SAID, "text": str(step)})

    async def use() -> list[int]:
        made: list[int] = []
        for step in range(25):
            task = asyncio.create_task(write(step))
            await asyncio.sleep(step * 0.0001)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                made.append(step)
        await write(25)
        return [*made, 25]

    made = await elsewhere(use)
    texts = [str(message.content) for message in (await tract.compile()).messages]
    found = sorted(int(step) for text in texts for step in text.split())

    assert set(found) >= {*made}
    assert found == sorted(3 * [*{*found}])
    assert (await tract.verify()).faults == ()


async def test_a_cancelled_wait_ends_under_asyncio_and_anyio(tract: AsyncTract) -> None:
    async def use() -> None:
        async with tract.watch(after="head") as watch:
            with anyio.move_on_after(0.02) as scope:
                await anext(watch)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(watch)
            assert scope.cancelled_caught
            await tract.user("next")
            assert (await anext(watch)).commit_hash == await tract.head()

    await elsewhere(use)


async def test_what_a_caller_changes_meanwhile_has_no_effect(tract: AsyncTract) -> None:
    metadata = {"kept": ["yes"]}
    task = asyncio.create_task(tract.user("hello", metadata=metadata))
    await asyncio.sleep(0)
    metadata["kept"].append("no")

    assert (await task).metadata == {"kept": ["yes"]}


async def test_closing_from_another_loop_waits_for_calls_under_way(target: Path | str) -> None:
    store = await TractStore.open(target, own_loop=True, tokenizer=COUNTER)
    tract = store.tract("t")
    calls = [asyncio.create_task(tract.user(str(number))) for number in range(20)]
    watching = asyncio.create_task(drained(tract.watch()))
    await asyncio.sleep(0)
    await asyncio.gather(elsewhere(store.aclose), elsewhere(store.aclose), store.aclose())
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await watching

    assert {type(outcome) for outcome in outcomes} <= {CommitInfo, StoreClosedError}
    with pytest.raises(StoreClosedError):
        await tract.head()
    with pytest.raises(StoreClosedError):
        tract.batch()
    await store.aclose()
    async with TractStore.open(target, tokenizer=COUNTER) as again:
        made = [each.commit_hash for each in outcomes if isinstance(each, CommitInfo)]
        kept = {info.commit_hash for info in await again.tract("t").log(None)}
        assert kept == {*made}


async def drained(watch: Any) -> None:
    async for _ in watch:
        pass


async def test_a_blocking_call_says_that_its_store_is_closed(target: Path | str) -> None:
    store = await TractStore.open(target, own_loop=True)
    before = store.sync
    await store.aclose()

    def call() -> None:
        for twin in (before, store.sync):
            with pytest.raises(StoreClosedError):
                twin.tract("t").user("too late")

    await asyncio.to_thread(call)


async def test_a_closed_store_leaves_no_thread(target: Path | str) -> None:
    async with TractStore.open(target, own_loop=True, tokenizer=COUNTER) as store:
        await store.tract("t").user("hello")
        assert "tract-loop" in {thread.name for thread in threading.enumerate()}
    await until(lambda: "tract-loop" not in {thread.name for thread in threading.enumerate()})


async def test_a_store_that_is_dropped_open_says_so_and_ends_its_thread(db_path: Path) -> None:
    stores = [await TractStore.open(db_path, own_loop=True, tokenizer=COUNTER)]
    await stores[0].tract("t").user("hello")
    with pytest.warns(ResourceWarning, match="dropped without being closed"):
        drop(stores)

    await until(lambda: "tract-loop" not in {thread.name for thread in threading.enumerate()})


def drop(stores: list[TractStore]) -> None:
    stores.clear()
    gc.collect()


# What is refused


async def test_a_blocking_call_is_refused_where_it_would_block_a_loop(tract: AsyncTract) -> None:
    head = await tract.head()
    with pytest.raises(StorageError, match="would block the event loop of this thread"):
        tract.sync.user("hello")
    with pytest.raises(StorageError, match="would block"):
        SyncStore.open()

    assert await tract.head() == head
    assert await asyncio.to_thread(tract.sync.head) == head


async def test_a_store_without_a_loop_of_its_own_has_no_twin(main: AsyncTract) -> None:
    with pytest.raises(TractError, match="own_loop=True"):
        main.sync.head  # noqa: B018  # it raises before


async def test_a_call_without_asyncio_says_so(tract: AsyncTract) -> None:
    def by_hand() -> None:
        with pytest.raises(StorageError, match="no asyncio event loop is running"):
            tract.head().send(None)

    await asyncio.to_thread(by_hand)


async def test_copying_needs_stores_of_the_running_loop(own: TractStore, tmp_path: Path) -> None:
    async with TractStore.open(tmp_path / "other.db", tokenizer=COUNTER) as other:
        with pytest.raises(StorageError, match="without `own_loop=True`"):
            await copy_store(own, other)


# Processes


_PRELUDE = """
import asyncio, os, signal, sys, threading, time, warnings
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs without
from tract import NullTokenCounter, SyncStore, ForkedProcessError
store = SyncStore.open(sys.argv[1], tokenizer=NullTokenCounter())
tract = store.tract("t")
"""


def run(code: str, path: Path) -> tuple[str, str, float]:
    """Run a script; return what it printed, its errors, and its seconds since it printed."""
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + code, str(path)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return done.stdout.strip(), done.stderr, time.time() - float(done.stdout.split()[-1])


_LEFT = """
for number in range(3):
    tract.user(str(number))
threading.Thread(target=lambda: [tract.user("more") for _ in range(10**6)], daemon=True).start()
print(time.time(), flush=True)
"""
_TURNED = """
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    for commit in tract.watch():
        pass
except KeyboardInterrupt:
    print("interrupted", tract.user("usable").tract_id)
store.aclose()
print(time.time(), flush=True)
"""
_FORKED = """
warnings.simplefilter("ignore")
tract.user("parent")
child = os.fork()
if child == 0:
    told = []
    for call in (tract.head, lambda: tract.batch(), store.aclose):
        try:
            call()
        except ForkedProcessError:
            told.append("refused")
    os._exit(len(told))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), tract.user("on").tract_id)
store.aclose()
print(time.time(), flush=True)
"""


def test_a_program_that_ends_without_closing_ends_at_once(db_path: Path) -> None:
    _, _, seconds = run(_LEFT, db_path)

    assert seconds < 20  # as soon as a busy machine lets it
    with SyncStore.open(db_path, tokenizer=COUNTER) as store:
        assert len(store.tract("t").log(None)) >= 3
        assert store.tract("t").verify().faults == ()


def test_an_interrupt_from_the_keyboard_ends_a_blocking_call_and_leaves_the_store(
    db_path: Path,
) -> None:
    told, errors, _ = run(_TURNED, db_path)

    assert (told.splitlines()[0], errors) == ("interrupted t", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process forks here")
def test_a_forked_child_is_refused_and_its_parent_goes_on(db_path: Path) -> None:
    told, errors, _ = run(_FORKED, db_path)

    assert (told.splitlines()[0], errors) == ("3 t", "")
