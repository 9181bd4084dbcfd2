"""Opening, calls under way and closing: none is lost to a cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest

from tract import AsyncTract, NullTokenCounter, StorageError, StoreClosedError, TractStore
from tract.running.lifecycle import CallGate, Opening, despite_cancellation, to_the_end

COUNTER = NullTokenCounter()


class Work:
    """Work that takes until it is told to end, and knows whether it did."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = False

    async def run(self) -> str:
        self.started.set()
        await self.may_end.wait()
        await asyncio.sleep(0)
        self.ended = True
        if self._error is not None:
            raise self._error
        return "done"


# Work that must be done


async def test_work_gives_its_result_or_its_error() -> None:
    work, failing = Work(), Work(LookupError("lost"))
    work.may_end.set()
    failing.may_end.set()

    assert await to_the_end(work.run()) == "done"
    with pytest.raises(LookupError, match="lost"):
        await to_the_end(failing.run())


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_work_is_done_however_often_its_caller_is_cancelled(times: int) -> None:
    work = Work()
    caller = asyncio.create_task(to_the_end(work.run()))
    await work.started.wait()
    for _ in range(times):
        caller.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert not caller.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.ended


async def test_work_begins_even_if_its_task_is_cancelled_before_its_first_step() -> None:
    """As by a shutdown, which cancels every task of the loop."""
    work = Work()
    work.may_end.set()
    before = asyncio.all_tasks()
    caller = asyncio.create_task(to_the_end(work.run()))
    await asyncio.sleep(0)
    assert not work.started.is_set()
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await asyncio.wait([caller])

    assert caller.cancelled()
    assert work.ended


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_an_attempt_is_made_again_each_time_that_its_task_is_cancelled(times: int) -> None:
    attempts: list[Work] = []

    async def attempt() -> str:
        attempts.append(Work())
        return await attempts[-1].run()

    task = asyncio.create_task(despite_cancellation(attempt))
    for _ in range(times):
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    attempts[-1].may_end.set()

    assert await task == "done"
    assert [work.ended for work in attempts] == [False] * times + [True]


async def test_what_an_attempt_awaits_may_be_cancelled_without_another_attempt() -> None:
    cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    async def attempt() -> None:
        await cancelled

    with pytest.raises(asyncio.CancelledError):
        await despite_cancellation(attempt)


async def test_the_error_of_work_whose_caller_was_cancelled_is_not_reported_as_forgotten() -> None:
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    work = Work(LookupError("lost"))
    caller = asyncio.create_task(to_the_end(work.run()))
    await work.started.wait()
    caller.cancel()
    await asyncio.sleep(0)
    work.may_end.set()
    await asyncio.wait([caller])

    assert caller.cancelled()
    assert work.ended
    del caller
    gc.collect()
    assert reports == []


async def test_work_is_done_in_a_cancelled_scope() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        group.start_soon(to_the_end, work.run())
        await work.started.wait()
        group.cancel_scope.cancel()
        asyncio.get_running_loop().call_later(0.01, work.may_end.set)

    assert work.ended


async def test_work_is_done_in_a_scope_that_was_cancelled_before() -> None:
    work = Work()
    work.may_end.set()
    results: list[str] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        results.append(await to_the_end(work.run()))
        await anyio.sleep(1)
        pytest.fail("the cancellation was lost")

    assert results == ["done"]


async def test_work_is_done_after_a_timeout_which_is_still_told() -> None:
    work = Work()
    asyncio.get_running_loop().call_later(0.05, work.may_end.set)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await to_the_end(work.run())
    assert work.ended


async def test_work_that_cancels_itself_cancels_its_caller() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await to_the_end(give_up())


# Opening


class Door:
    """Something that can be opened and closed."""

    def __init__(self) -> None:
        self.closings = 0

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closings += 1


class SlowDoor:
    """An opening that takes until it may end."""

    def __init__(self) -> None:
        self.door = Door()
        self.work = Work()

    async def open(self) -> Door:
        await self.work.run()
        return self.door


async def nothing() -> None:
    """All that has to be prepared."""


async def test_an_opening_can_be_awaited_or_entered() -> None:
    slow = SlowDoor()
    slow.work.may_end.set()

    assert await Opening(slow.open, nothing) is slow.door
    assert slow.door.closings == 0
    async with Opening(slow.open, nothing) as door:
        assert door is slow.door
    assert slow.door.closings == 1


async def test_what_was_entered_is_closed_when_the_body_raises() -> None:
    slow = SlowDoor()
    slow.work.may_end.set()

    with pytest.raises(LookupError):
        async with Opening(slow.open, nothing):
            raise LookupError
    assert slow.door.closings == 1


async def test_nothing_is_opened_before_it_is_awaited() -> None:
    slow = SlowDoor()
    Opening(slow.open, nothing)
    await asyncio.sleep(0)

    assert not slow.work.started.is_set()


@pytest.mark.parametrize("times", [1, 3])
async def test_what_opens_for_a_cancelled_caller_is_closed_again(times: int) -> None:
    slow = SlowDoor()

    async def enter() -> None:
        async with Opening(slow.open, nothing):
            pytest.fail("the body ran")

    caller = asyncio.create_task(enter())
    await slow.work.started.wait()
    for _ in range(times):
        caller.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    slow.work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert slow.door.closings == 1


async def test_a_cancellation_while_closing_again_does_not_stop_that() -> None:
    closing, may_close = asyncio.Event(), asyncio.Event()

    class HeavyDoor(Door):
        async def aclose(self) -> None:
            closing.set()
            await may_close.wait()
            await super().aclose()

    slow = SlowDoor()
    slow.door = HeavyDoor()
    caller = asyncio.ensure_future(_awaited(Opening(slow.open, nothing)))
    await slow.work.started.wait()
    caller.cancel()
    slow.work.may_end.set()
    await closing.wait()
    caller.cancel()
    await asyncio.sleep(0)
    may_close.set()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert slow.door.closings == 1


async def _awaited(opening: Opening[Door]) -> Door:
    return await opening


@pytest.mark.parametrize("times", [1, 3])
async def test_a_caller_who_is_cancelled_while_preparing_opens_nothing(times: int) -> None:
    slow, preparation = SlowDoor(), Work()

    async def prepare() -> None:
        await preparation.run()

    caller = asyncio.ensure_future(_awaited(Opening(slow.open, prepare)))
    await preparation.started.wait()
    assert not slow.work.started.is_set()
    for _ in range(times):
        caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert not preparation.ended
    assert not slow.work.started.is_set()


async def test_an_opening_that_fails_tells_why_and_closes_nothing() -> None:
    async def fail() -> Door:
        raise StorageError("no such thing")

    with pytest.raises(StorageError, match="no such thing"):
        await Opening(fail, nothing)
    with pytest.raises(StorageError, match="no such thing"):
        async with Opening(fail, nothing):
            pytest.fail("the body ran")


def test_a_forgotten_await_is_told() -> None:
    with pytest.raises(AttributeError, match="`await` what `open\\(\\)` returned"):
        AsyncTract.open().commit  # type: ignore[attr-defined]  # noqa: B018  (that is the point)


# Calls under way


async def test_closing_waits_for_the_calls_under_way_and_refuses_new_ones() -> None:
    gate = CallGate("x.db")
    go = asyncio.Event()

    async def work() -> None:
        with gate.call():
            await go.wait()
            with gate.call():  # what a call itself calls is let in until that call is out
                pass

    calls = [asyncio.create_task(work()) for _ in range(2)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(gate.close())
    await asyncio.sleep(0.01)

    assert not closing.done()
    with pytest.raises(StoreClosedError) as refusal, gate.call():
        pytest.fail("a call came in")
    assert refusal.value.path == "x.db"
    go.set()
    await asyncio.gather(*calls, closing)


async def test_a_task_that_a_call_has_left_behind_is_no_longer_within_it() -> None:
    """Tasks inherit the context of where they were started."""
    gate = CallGate("x.db")
    with gate.call():
        with pytest.raises(StorageError, match="under way cannot close"):
            gate.check_outside()
        later = asyncio.create_task(_checked_later(gate))
    await later


async def _checked_later(gate: CallGate) -> None:
    await asyncio.sleep(0.01)
    gate.check_outside()


async def test_a_call_closed_from_outside_its_task_is_over_and_says_nothing() -> None:
    """As the interpreter does with what is left of a loop that ended in the middle of it."""
    gate = CallGate("p")

    async def call() -> None:
        with gate.call():
            await asyncio.sleep(10)

    left = call()
    contextvars.Context().run(left.send, None)
    left.close()

    async with asyncio.timeout(20):
        await gate.close()


async def test_closing_an_idle_gate_waits_for_nothing() -> None:
    gate = CallGate("x.db")
    async with asyncio.timeout(1):
        await gate.close()

    assert gate.closed


def test_another_event_loop_is_refused_with_what_to_do() -> None:
    async def make() -> CallGate:
        return CallGate("x.db")

    async def use(gate: CallGate) -> None:
        with gate.call():
            pytest.fail("a call came in")

    gate = asyncio.run(make())

    with pytest.raises(StorageError, match="another event loop"):
        asyncio.run(use(gate))


# A store's life


async def test_closing_lets_the_calls_under_way_finish(target: Path | str) -> None:
    store = await TractStore.open(target, tokenizer=COUNTER)
    tract = store.tract("agent")
    commits = [asyncio.create_task(tract.user(str(number))) for number in range(50)]
    await asyncio.sleep(0)
    await store.aclose()

    assert all(task.done() for task in commits)
    infos = [task.result() for task in commits]
    async with AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER) as again:
        assert await again.log(None) == infos[::-1]


async def test_closing_twice_or_at_once_is_fine(target: Path | str) -> None:
    store = await TractStore.open(target, tokenizer=COUNTER)

    await asyncio.gather(store.aclose(), store.aclose())
    await store.aclose()


@pytest.mark.parametrize("steps", range(0, 12, 2))
async def test_a_cancelled_closing_closes_all_the_same(target: Path | str, steps: int) -> None:
    before = set(threading.enumerate())
    store = await TractStore.open(target, tokenizer=COUNTER)
    connections = set(threading.enumerate()) - before
    closing = asyncio.create_task(store.aclose())
    for _ in range(1 + steps):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])

    await store.aclose()
    with pytest.raises(StoreClosedError):
        await store.tract_ids()
    for thread in connections:
        thread.join(5)
    assert not any(thread.is_alive() for thread in connections)


async def test_a_handle_of_a_closed_store_says_so_at_every_call(target: Path | str) -> None:
    tract = await AsyncTract.open(target, tract_id="agent", tokenizer=COUNTER)
    info = await tract.user("hello")
    await tract.aclose()

    for call in (
        tract.user("no"),
        tract.compile(),
        tract.head(),
        tract.log(),
        tract.get_commit(info.commit_hash),
        tract.get_content(info.commit_hash),
        tract.get_annotations(info.commit_hash),
        tract.query_by_config("t", "=", 1),
        tract.record_usage({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
        tract.verify(),
    ):
        with pytest.raises(StoreClosedError):
            await call


async def test_a_handle_is_closed_alone_where_its_store_goes_on(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        closed, other = store.tract("agent"), store.tract("agent")
        await closed.aclose()
        await other.user("hello")

        for call in (closed.user("no"), closed.compile(), closed.head()):
            with pytest.raises(StoreClosedError):
                await call
        assert (await other.compile()).commit_count == 1


def test_a_handle_used_from_another_event_loop_is_refused(db_path: Path) -> None:
    with asyncio.Runner() as first, asyncio.Runner() as second:
        tract: AsyncTract = first.run(_open(db_path))

        with pytest.raises(StorageError, match="another event loop") as refusal:
            second.run(tract.user("no"))
        with pytest.raises(StorageError, match="another event loop"):
            second.run(tract.aclose())
        assert refusal.value.path == str(db_path)
        first.run(tract.user("yes"))
        first.run(tract.aclose())


async def _open(path: Path) -> AsyncTract:
    return await AsyncTract.open(path, tract_id="agent", tokenizer=COUNTER)


# Dropped open: in a process of its own, for what is told at its end

_DROPPING = """
import asyncio, gc, sys
from tract import AsyncTract, NullTokenCounter
kept = []
async def main(path, how):
    tract = await AsyncTract.open(path, tract_id="agent", tokenizer=NullTokenCounter())
    await tract.user("hello")
    if how == "kept":
        kept.append(tract)
    if how == "with a call under way":
        kept.append(asyncio.create_task(tract.user("again")))
        await asyncio.sleep(0)
    if how == "within its loop":
        del tract
        gc.collect()
        await asyncio.sleep(0.05)
asyncio.run(main(sys.argv[1], sys.argv[2]))
print("end")
"""


@pytest.mark.parametrize(
    "how", ["with its loop", "within its loop", "kept", "with a call under way"]
)
def test_a_store_dropped_open_warns_once_and_keeps_nobody_waiting(db_path: Path, how: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", _DROPPING, str(db_path), how],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )

    assert outcome.stdout == "end\n"
    assert outcome.stderr.count("ResourceWarning: the store") == 1, outcome.stderr
    # at the interpreter's end sqlite3 itself warns, since Python 3.13; nobody else does
    others = outcome.stderr.count("ResourceWarning: ") - outcome.stderr.count("unclosed database")
    assert others == 1, outcome.stderr
    assert f"the store {db_path} was dropped without being closed" in outcome.stderr
    assert "Exception in thread" not in outcome.stderr


async def test_a_dropped_store_lets_go_of_its_threads(target: Path | str) -> None:
    before = set(threading.enumerate())
    store = await TractStore.open(target, tokenizer=COUNTER)
    connections = set(threading.enumerate()) - before

    held = [store]
    del store
    with pytest.warns(ResourceWarning, match="dropped without being closed"):
        held.clear()
    gc.collect()
    for thread in connections:
        thread.join(5)
    assert not any(thread.is_alive() for thread in connections)
