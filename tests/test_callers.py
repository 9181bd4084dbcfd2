"""Warnings name the line of the program that called, whatever the library does in between."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from support.counters import WordCounter
from support.opening import later
from support.replies import reply
from support.scripts import printed
from tract import (
    AsyncTract,
    CommitOperation,
    Priority,
    TokenBudgetConfig,
    TokenBudgetWarning,
    TractConfig,
)

SAID = {"content_type": "dialogue", "role": "user", "text": "a few words more"}
CHUNK = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
WARNING = TractConfig(token_budget=TokenBudgetConfig(max_tokens=1))


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(
        target, tract_id="t", config=WARNING, tokenizer=WordCounter()
    ) as tract:
        yield tract


def here() -> int:
    """Return the line that this is called in."""
    return sys._getframe(1).f_lineno


async def commits(tract: AsyncTract) -> int:
    await tract.commit(SAID)
    return here() - 1


async def says(tract: AsyncTract) -> int:
    await tract.assistant("a few words more")
    return here() - 1


async def expects(tract: AsyncTract) -> int:
    head = await tract.head()
    await tract.user("a few words more", expected_head=head)
    return here() - 1


async def leaves_a_batch(tract: AsyncTract) -> int:
    line = here() + 1
    async with tract.batch() as batch:
        batch.commit(SAID)
    return line


async def leaves_a_stream(tract: AsyncTract) -> int:
    line = here() + 1
    async with tract.stream() as stream:
        await stream.write("a few words more")
    return line


async def leaves_a_stream_by_an_error(tract: AsyncTract) -> int:
    line = here() + 2
    try:
        async with tract.stream() as stream:
            await stream.write("a few words more")
            raise ZeroDivisionError
    except ZeroDivisionError:
        return line


async def leaves_an_exit_stack(tract: AsyncTract) -> int:
    line = here() + 1
    async with AsyncExitStack() as stack:
        stream = await stack.enter_async_context(tract.stream())
        await stream.write("a few words more")
    return line


async def records(tract: AsyncTract) -> int:
    line = here() + 1
    async for _ in tract.record_openai(reply(CHUNK)):
        pass
    return line


async def merges(tract: AsyncTract) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await (await tract.fork("side")).user("a few words more")
        await tract.user("others")
    await tract.merge("side")
    return here() - 1


async def fast_forwards(tract: AsyncTract) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await (await tract.fork("side")).user("a few words more")
    await tract.merge("side")
    return here() - 1


async def squashes(tract: AsyncTract) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await (await tract.fork("side")).user("a few words more")
    await tract.merge("side", squash=SAID)
    return here() - 1


async def picks(tract: AsyncTract) -> int:
    head = str(await tract.head())
    await tract.cherry_pick(head)
    return here() - 1


async def annotates(tract: AsyncTract) -> int:
    head = str(await tract.head())
    await tract.annotate(head, Priority.SKIP)
    await tract.annotate(head, Priority.NORMAL)
    return here() - 1


async def edits(tract: AsyncTract) -> int:
    head = str(await tract.head())
    await tract.commit(SAID, operation=CommitOperation.EDIT, edit_target=head)
    return here() - 1


async def commits_in_a_task(tract: AsyncTract) -> int:
    return await asyncio.create_task(commits(tract))


async def commits_with_a_timeout(tract: AsyncTract) -> int:
    async with asyncio.timeout(20):
        await tract.commit(SAID)
        return here() - 1


CALLS: list[Callable[[AsyncTract], Awaitable[int]]] = [
    commits,
    says,
    expects,
    leaves_a_batch,
    leaves_a_stream,
    leaves_a_stream_by_an_error,
    leaves_an_exit_stack,
    records,
    merges,
    fast_forwards,
    squashes,
    picks,
    annotates,
    edits,
    commits_in_a_task,
    commits_with_a_timeout,
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_the_warning_of_a_budget_names_the_line_of_the_call(
    tract: AsyncTract, call: Callable[[AsyncTract], Awaitable[int]]
) -> None:
    with pytest.warns(TokenBudgetWarning):
        await tract.user("one")

    with pytest.warns(TokenBudgetWarning) as told:
        line = await call(tract)
    assert [(each.filename, each.lineno) for each in told] == [(__file__, line)]


async def test_a_recording_that_was_dropped_names_the_line_that_made_it(tract: AsyncTract) -> None:
    """Nobody is left to be called back: it is committed in the background."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}}]}
    line = here() + 1
    recordings = [tract.record_openai(reply(chunk, chunk))]
    await anext(recordings[0])

    async def drop() -> None:
        recordings.clear()
        gc.collect()
        await anext(tract.watch())

    with pytest.warns(TokenBudgetWarning) as told:
        await drop()
    assert [(each.filename, each.lineno) for each in told] == [(__file__, line)]


async def test_the_warning_of_a_call_within_a_callback_names_the_line_in_the_callback() -> None:
    """Even where the callback runs for a stream, whose commit is made in another task."""
    lines: list[int] = []

    async def call_back(tokens: int, max_tokens: int) -> None:
        await other.user("hello")
        lines.append(here() - 1)

    budget = TokenBudgetConfig(max_tokens=1, action="callback", callback=call_back)
    calling = TractConfig(token_budget=budget)
    async with (
        AsyncTract.open(config=WARNING, tokenizer=WordCounter()) as other,
        AsyncTract.open(config=calling, tokenizer=WordCounter()) as tract,
    ):
        with pytest.warns(TokenBudgetWarning) as told:
            async with tract.stream() as stream:
                await stream.write("hello")

    assert [(each.filename, each.lineno) for each in told] == [(__file__, lines[0])]


_LEAVES_A_STREAM = """
import asyncio, os, sqlite3, sys
from contextlib import closing
from tract import NullTokenCounter, TractStore
async def main(path):
    async with TractStore.open(path, tokenizer=NullTokenCounter()) as store:
        async with store.tract("t").stream() as stream:
            await stream.write("a few words more")
            with closing(sqlite3.connect(path)) as raw:
                while not raw.execute("SELECT count(*) FROM spool").fetchone()[0]:
                    await asyncio.sleep(0.01)
            os._exit(0)
asyncio.run(main(sys.argv[1]))
"""


async def test_recovering_a_stream_names_the_line_of_the_call(db_path: Path) -> None:
    await asyncio.to_thread(printed, _LEAVES_A_STREAM, db_path)
    async with await later(db_path, 20, config=WARNING, tokenizer=WordCounter()) as store:
        [left] = await store.recover_streams()
        line = here() + 2
        with pytest.warns(TokenBudgetWarning) as told:
            await left.commit()

    assert [(each.filename, each.lineno) for each in told] == [(__file__, line)]


async def test_each_line_is_told_once_by_the_default_filter() -> None:
    """By Python's own bookkeeping, which is that of the module that called."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            async with AsyncTract.open(config=WARNING, tokenizer=WordCounter()) as tract:
                await tract.user("here")
        async with AsyncTract.open(config=WARNING, tokenizer=WordCounter()) as tract:
            await tract.user("there")

    assert [each.category for each in told] == [TokenBudgetWarning] * 2
    assert len({each.lineno for each in told}) == 2


_GATHERS = """
import asyncio, sys
from tract import AsyncTract, NullTokenCounter, TokenBudgetConfig, TractConfig
class Counter(NullTokenCounter):
    def count_text(self, text): return len(text)
config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=1))
async def main():
    async with AsyncTract.open(config=config, tokenizer=Counter()) as tract:
        await asyncio.gather(tract.user("hello"))
asyncio.run(main())
"""


def test_a_task_made_of_a_call_names_a_line_of_the_program(tmp_path: Path) -> None:
    """Nothing tells which line made the task; the one that runs the event loop is the program's."""
    script = tmp_path / "gathers.py"
    script.write_text(_GATHERS)
    child = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)

    assert child.returncode == 0, child.stderr
    assert child.stderr.startswith(f"{script}:10: TokenBudgetWarning: ")
