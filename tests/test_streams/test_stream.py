"""A message written bit by bit: one commit, however its block is left."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from tract import (
    AsyncTract,
    BudgetAction,
    BudgetExceededError,
    ContentValidationError,
    NullTokenCounter,
    StoreClosedError,
    Stream,
    TokenBudgetConfig,
    TractConfig,
    TractError,
    TractStore,
)

COUNTER = NullTokenCounter()
CONFIG = {"model": "m", "temperature": 0.7}


@pytest.fixture
async def store(target: Path | str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


@pytest.fixture
def tract(store: TractStore) -> AsyncTract:
    return store.tract("agent")


def spool(path: Path) -> list[Any]:
    """Return the fragments that lie in the spool, as another process sees them."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT data FROM spool ORDER BY stream_id, number").fetchall()
    return [fragment for row in rows for fragment in json.loads(row[0])]


def spooled_text(path: Path) -> str:
    return "".join(frame[2] for frame in spool(path) if frame[0] == "text")


async def until_spooled(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while spooled_text(path) != text:
        assert time.monotonic() < deadline, spool(path)
        await asyncio.sleep(0.02)


async def texts(tract: AsyncTract) -> list[str | None]:
    return [m.content for m in (await tract.compile(aggregate_same_role=False)).messages]


async def left_by(error: Exception, tract: AsyncTract, *deltas: str, **options: Any) -> Stream:
    """Return a stream that was written to and left by *error*, having checked that it went on."""
    stream = tract.stream(**options)

    async def write() -> None:
        async with stream:
            for delta in deltas:
                await stream.write(delta)
            raise error

    with pytest.raises(type(error)) as raised:
        await write()
    assert raised.value is error
    return stream


async def test_a_stream_becomes_one_commit(tract: AsyncTract) -> None:
    async with tract.stream(generation_config=CONFIG, metadata={"n": 1}, message="why") as stream:
        for delta in ("Good ", "", "morning", "."):
            await stream.write(delta)
        assert stream.text == "Good morning."
        assert stream.commit_info is None

    [info] = await tract.log()
    assert stream.commit_info == info
    assert (info.generation_config, info.metadata, info.message) == (CONFIG, {"n": 1}, "why")
    assert await texts(tract) == ["Good morning."]


async def test_a_stream_hashes_like_the_same_text_committed_at_once(tract: AsyncTract) -> None:
    said = await tract.assistant("Good morning.")
    async with tract.stream() as stream:
        await stream.write("Good ")
        await stream.write("morning.")

    assert stream.commit_info is not None
    assert stream.commit_info.content_hash == said.content_hash


async def test_who_speaks_can_be_said(tract: AsyncTract) -> None:
    async with tract.stream(role="user", name="ann") as stream:
        await stream.write("Hi")

    [message] = (await tract.compile()).messages
    assert (message.role, message.name) == ("user", "ann")


@pytest.mark.parametrize("deltas", [[], ["", ""]])
async def test_a_stream_of_nothing_commits_nothing(tract: AsyncTract, deltas: list[str]) -> None:
    async with tract.stream() as stream:
        for delta in deltas:
            await stream.write(delta)

    assert stream.commit_info is None
    assert await tract.log() == []


async def test_what_is_passed_in_may_change_afterwards(tract: AsyncTract) -> None:
    config = {"model": "m", "stop": ["a"]}
    async with tract.stream(generation_config=config) as stream:
        config["stop"].append("b")  # type: ignore[attr-defined]
        await stream.write("x")

    assert stream.commit_info is not None
    assert stream.commit_info.generation_config == {"model": "m", "stop": ["a"]}


async def test_halves_of_a_character_are_joined_and_a_lone_one_is_replaced(
    tract: AsyncTract,
) -> None:
    async with tract.stream() as stream:
        for delta in ("a", "\ud83d", "\ude00", "b", "\ud83d"):
            await stream.write(delta)

    assert await texts(tract) == ["a\U0001f600b\ufffd"]


# Left early


async def test_an_exception_keeps_what_came_and_goes_on(tract: AsyncTract) -> None:
    error = LookupError("the tool is gone")
    stream = await left_by(error, tract, "Half a ", metadata={"n": 1})

    assert stream.commit_info is not None
    assert stream.commit_info.metadata == {
        "n": 1,
        "interrupted": True,
        "reason": "error: LookupError",
    }
    assert await texts(tract) == ["Half a "]


async def test_an_exception_keeps_nothing_if_so_asked(tract: AsyncTract, db_path: Path) -> None:
    """What was in the spool goes, too."""
    stream = tract.stream(on_interrupt="discard")
    await stream.__aenter__()
    await stream.write("x" * 20_000)
    await stream.write("y")
    await until_spooled(db_path, "x" * 20_000 + "y")
    await stream.__aexit__(LookupError, LookupError(), None)

    assert stream.commit_info is None
    assert await tract.log() == []
    assert spool(db_path) == []


async def test_the_reason_is_the_class_of_the_error_and_nothing_it_says(
    tract: AsyncTract, db_path: Path
) -> None:
    """Its text may hold keys, paths and addresses; the caller has it anyway."""
    error = RuntimeError(f"password=hunter2 in {db_path}: {object()!r}")
    stream = await left_by(error, tract, "x")

    assert stream.commit_info is not None
    assert stream.commit_info.metadata == {"interrupted": True, "reason": "error: RuntimeError"}


@pytest.mark.parametrize("name", ["Denied<sk-123>", "at 0x7f32bfb76700", "N" * 101])
async def test_a_class_with_a_made_up_name_goes_by_that_of_its_parent(
    tract: AsyncTract, name: str
) -> None:
    stream = await left_by(type(name, (LookupError,), {})(), tract, "x")

    assert stream.commit_info is not None
    assert stream.commit_info.metadata == {"interrupted": True, "reason": "error: LookupError"}


async def test_a_generator_that_is_closed_around_a_stream_closes_it(tract: AsyncTract) -> None:
    async def speak() -> AsyncIterator[str]:
        async with tract.stream() as stream:
            await stream.write("Half a ")
            yield "Half a "

    speaking = speak()
    await anext(speaking)
    await speaking.aclose()  # type: ignore[attr-defined]  # a generator, as `speak` makes it

    [info] = await tract.log()
    assert info.metadata == {"interrupted": True, "reason": "closed"}


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_task_keeps_what_came(tract: AsyncTract, times: int) -> None:
    written = asyncio.Event()

    async def work() -> None:
        async with tract.stream() as stream:
            await stream.write("Half a ")
            written.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await written.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])

    assert task.cancelled()
    [info] = await tract.log()
    assert info.metadata == {"interrupted": True, "reason": "cancelled"}


async def test_a_cancelled_scope_keeps_what_came(tract: AsyncTract) -> None:
    with anyio.move_on_after(0.01):
        async with tract.stream() as stream:
            await stream.write("Half a ")
            await anyio.sleep(60)

    assert stream.commit_info is not None
    assert stream.commit_info.metadata == {"interrupted": True, "reason": "cancelled"}
    assert await texts(tract) == ["Half a "]


async def test_a_cancelled_task_group_leaves_no_name_of_a_task_in_the_store(
    tract: AsyncTract, db_path: Path
) -> None:
    """A cancellation of anyio's says which task caused it, where its code is and at which address."""
    async with anyio.create_task_group() as group:
        group.cancel_scope.cancel()
        async with tract.stream() as stream:
            await stream.write("Half a ")
            await anyio.sleep(60)

    [info] = await tract.log()
    assert info.metadata == {"interrupted": True, "reason": "cancelled"}
    files = b"".join(file.read_bytes() for file in db_path.parent.glob(f"{db_path.name}*"))
    assert b"cancelled" in files
    assert b"Task" not in files
    assert b"/asyncio/" not in files


@pytest.mark.parametrize("turns", range(6))
async def test_cancelling_the_final_commit_does_not_tear_it(tract: AsyncTract, turns: int) -> None:
    """The commit is carried through whenever the cancellation comes; it is not interrupted."""
    leaving = asyncio.Event()

    async def work() -> None:
        async with tract.stream() as stream:
            await stream.write("whole")
            leaving.set()

    task = asyncio.create_task(work())
    await leaving.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    [info] = await tract.log()
    assert info.metadata is None
    assert await texts(tract) == ["whole"]


# The spool


async def test_what_came_is_spooled_within_a_second_or_so(tract: AsyncTract, db_path: Path) -> None:
    async with tract.stream() as stream:
        await stream.write("first")
        await until_spooled(db_path, "first")
        await stream.write(", second")
        await until_spooled(db_path, "first, second")

    assert spool(db_path) == []


async def test_sixteen_kib_are_spooled_at_once(tract: AsyncTract, db_path: Path) -> None:
    """Sooner than a second, in one of some attempts: others may take the machine from any of them."""
    took: list[float] = []
    while len(took) < 10 and not (took and took[-1] < 0.9):
        async with tract.stream() as stream:
            start = time.monotonic()
            await stream.write("x")
            await stream.write("y" * 17_000)
            await until_spooled(db_path, "x" + "y" * 17_000)
            took.append(time.monotonic() - start)

    assert min(took) < 0.9


async def test_a_hundred_streams_do_not_mix(store: TractStore) -> None:
    async def speak(number: int) -> None:
        async with store.tract(f"agent {number % 10}").stream(message=str(number)) as stream:
            for _ in range(50):
                await stream.write(f"{number} ")
                await asyncio.sleep(0)

    await asyncio.gather(*(speak(number) for number in range(100)))

    for agent in range(10):
        tract = store.tract(f"agent {agent}")
        log = await tract.log(None)
        assert len(log) == 10
        for info in log:
            content: Any = await tract.get_content(info.commit_hash)
            assert content.text == f"{info.message} " * 50


async def test_a_stream_follows_what_was_committed_meanwhile(tract: AsyncTract) -> None:
    async with tract.stream() as stream:
        await stream.write("second")
        await tract.assistant("first")

    assert await texts(tract) == ["first", "second"]


# Misuse and closing


async def test_a_stream_is_used_once(tract: AsyncTract) -> None:
    async with tract.stream() as stream:
        await stream.write("x")

    with pytest.raises(TractError, match="used once"):
        async with stream:
            pass
    with pytest.raises(TractError, match="has ended"):
        await stream.write("y")
    assert len(await tract.log()) == 1


async def test_writing_outside_the_block_is_told(tract: AsyncTract) -> None:
    with pytest.raises(TractError, match="inside"):
        await tract.stream().write("x")


async def test_only_text_can_be_written(tract: AsyncTract) -> None:
    async with tract.stream() as stream:
        with pytest.raises(ContentValidationError, match="delta"):
            await stream.write(b"x")  # type: ignore[arg-type]

    assert await tract.log() == []


@pytest.mark.parametrize(
    "options",
    [{"role": "tool"}, {"metadata": {"x": float("nan")}}, {"generation_config": []}, {"name": 1}],
)
async def test_what_cannot_be_stored_is_told_before_the_body_runs(
    tract: AsyncTract, options: dict[str, Any]
) -> None:
    with pytest.raises(ContentValidationError):
        async with tract.stream(**options):
            pytest.fail("the body ran")


async def test_an_unknown_way_to_be_interrupted_is_told(tract: AsyncTract) -> None:
    with pytest.raises(ValueError, match="on_interrupt"):
        tract.stream(on_interrupt="ignore")  # type: ignore[arg-type]


async def test_an_open_stream_does_not_block_closing_and_leaves_what_came(
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        stream = store.tract("agent").stream()
        await stream.__aenter__()
        await stream.write("what came")
    with pytest.raises(StoreClosedError):
        await stream.write("more")
    with pytest.raises(StoreClosedError):
        await stream.__aexit__(None, None, None)

    async with TractStore.open(target, tokenizer=COUNTER) as again:
        [left] = await again.recover_streams()
        assert left.text == "what came"


async def test_an_error_goes_on_though_the_store_was_closed(target: Path | str) -> None:
    store = await TractStore.open(target, tokenizer=COUNTER)
    stream = store.tract("agent").stream()
    await stream.__aenter__()
    await stream.write("x")
    await store.aclose()
    error = LookupError()
    await stream.__aexit__(LookupError, error, None)

    assert "not committed" in error.__notes__[0]


async def test_what_a_budget_refuses_can_be_recovered(target: Path | str) -> None:
    budget = TokenBudgetConfig(max_tokens=5, action=BudgetAction.REJECT)
    config = TractConfig(token_budget=budget)
    async with TractStore.open(target, config=config) as store:
        with pytest.raises(BudgetExceededError):
            async with store.tract("agent").stream() as stream:
                await stream.write("a long story " * 10)
        assert stream.commit_info is None

        [left] = await store.recover_streams()
        assert left.text == "a long story " * 10
