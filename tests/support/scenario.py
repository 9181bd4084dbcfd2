"""A store's whole life in a few seconds, on any event loop; also a program of its own.

`python -m support.scenario PATH LOOP` runs it and prints `sound`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio

from support.opening import COUNTER
from tract import (
    AsyncTract,
    CommitInfo,
    CommitOperation,
    HeadMovedError,
    Priority,
    StoreClosedError,
    TractStore,
)

__all__ = ["PARTS", "loop_factory", "run"]

_STEPS = 24


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return a factory of event loops of the kind `asyncio` or `uvloop`."""
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module(name).new_event_loop
    return factory


def run(loop: str, work: Coroutine[Any, Any, None]) -> None:
    """Run *work* on a new event loop; every task must have ended by the end."""

    async def checked() -> None:
        # Development mode reports every slow step, and on a busy machine some always are.
        asyncio.get_running_loop().slow_callback_duration = 10
        before = asyncio.all_tasks()
        await work
        assert asyncio.all_tasks() == before, "a task was left running"

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(checked())


async def group_commits(path: Path) -> None:
    """Tasks, handles and batches form one line; an invalid commit fails alone."""
    async with TractStore.open(path, tokenizer=COUNTER) as store, store.tract("t") as tract:
        first = await tract.user("first")
        results = await asyncio.gather(
            *(tract.user(f"{number}", generation_config={"n": number}) for number in range(64)),
            tract.user("lost", expected_head="0" * 64),
            tract.annotate(first.commit_hash, Priority.PINNED),
            _batch(store.tract("t")),
            return_exceptions=True,
        )
        assert isinstance(results[64], HeadMovedError)
        assert [item for item in results if isinstance(item, BaseException)] == [results[64]]
        await _check_line(tract, 1 + 64 + 1 + 3)
        assert len(await tract.query_by_config("n", "<", 10)) == 10


async def _batch(tract: AsyncTract) -> list[CommitInfo]:
    async with tract.batch() as batch:
        entry = batch.commit({"content_type": "dialogue", "role": "user", "text": "a"})
        batch.commit(
            {"content_type": "dialogue", "role": "user", "text": "b"},
            operation=CommitOperation.EDIT,
            edit_target=entry,
        )
        batch.annotate(entry, Priority.SKIP)
    return batch.commits


async def _check_line(tract: AsyncTract, count: int) -> None:
    log = await tract.log(None)
    assert len(log) == count
    assert [info.parent_hash for info in log] == [*(info.commit_hash for info in log), None][1:]
    report = await tract.verify()
    assert (report.checked, report.faults) == (count, ())
    contexts = await asyncio.gather(*(tract.compile() for _ in range(8)))
    assert {context.head_hash for context in contexts} == {log[0].commit_hash if log else None}


async def cancelled_calls(path: Path) -> None:
    """Cancelled by a task, a scope or a timeout, at any step: all or nothing, and others go on."""
    async with AsyncTract.open(path, tract_id="t", tokenizer=COUNTER) as tract:
        acknowledged: list[CommitInfo] = []
        for steps in range(_STEPS):
            others = [asyncio.create_task(tract.user(f"{steps} {n}")) for n in range(4)]
            victim = asyncio.create_task(tract.user(f"{steps} victim"))
            compiling = asyncio.create_task(tract.compile())
            await _pause(steps)
            victim.cancel()
            compiling.cancel()
            await asyncio.wait([victim, compiling])
            if not victim.cancelled():
                acknowledged.append(victim.result())
            acknowledged += await asyncio.gather(*others)
            with anyio.move_on_after(steps * 0.0002):
                acknowledged.append(await tract.user(f"{steps} scope"))
            try:
                async with asyncio.timeout(steps * 0.0002):
                    acknowledged.append(await tract.user(f"{steps} timeout"))
            except TimeoutError:
                pass
        # A commit cancelled in the middle of its transaction may land until the next one has.
        acknowledged.append(await tract.user("last"))
        log = await tract.log(None)
        assert {info.commit_hash for info in acknowledged} <= {info.commit_hash for info in log}
        await _check_line(tract, len(log))


async def _pause(steps: int) -> None:
    for step in range(steps):
        await asyncio.sleep(0 if step < 12 else 0.0003)


async def cancelled_openings(path: Path) -> None:
    """Openings and closings that are cancelled at any step leave nothing open."""
    for steps in range(2 * _STEPS):
        opening = asyncio.create_task(_opened_and_used(path))
        await _pause(steps)
        opening.cancel()
        await asyncio.wait([opening])
    async with AsyncTract.open(path, tract_id="t", tokenizer=COUNTER) as tract:
        await _check_line(tract, len(await tract.log(None)))


async def _opened_and_used(path: Path) -> None:
    async with AsyncTract.open(path, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("used")
        await tract.compile()


async def closed_under_calls(path: Path) -> None:
    """Closing finishes calls under way, refuses new ones, and can be repeated."""
    store = await TractStore.open(path, tokenizer=COUNTER)
    tract = store.tract("t")
    await tract.user("first")
    calls = [asyncio.create_task(tract.user(str(number))) for number in range(32)]
    calls_to_read = [asyncio.create_task(tract.compile()) for _ in range(4)]
    await asyncio.sleep(0)
    closings = [asyncio.create_task(store.aclose()) for _ in range(2)]
    await _pause(3)
    try:
        await tract.user("too late")
    except StoreClosedError:
        pass
    else:
        raise AssertionError("a call came in while the store was closing")
    await asyncio.gather(*calls, *calls_to_read, *closings)
    await store.aclose()
    async with AsyncTract.open(path, tract_id="t", tokenizer=COUNTER) as again:
        await _check_line(again, 33)


PARTS: dict[str, Callable[[Path], Coroutine[Any, Any, None]]] = {
    "group commits": group_commits,
    "cancelled calls": cancelled_calls,
    "cancelled openings": cancelled_openings,
    "closed under calls": closed_under_calls,
}


def main(path: Path, loop: str) -> None:
    """Run every part, each on a database of its own."""
    for number, part in enumerate(PARTS.values()):
        run(loop, part(path.with_name(f"{number}.db")))
    print("sound")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
