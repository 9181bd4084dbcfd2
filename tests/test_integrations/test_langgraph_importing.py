"""`import_threads`: threads of LangGraph's own savers, as threads here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

from support.graphs_of_langgraph import Line, built, config_of, everything, talk
from support.opening import COUNTER
from tract import TractStore
from tract.integrations.langgraph import TractSaver, import_threads


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


@pytest.fixture
async def theirs(postgres_url: str) -> AsyncIterator[AsyncPostgresSaver]:
    async with AsyncPostgresSaver.from_conn_string(postgres_url) as saver:
        await saver.setup()
        yield saver


async def test_threads_of_other_savers_come_whole_and_once(
    store: TractStore, tmp_path: Path
) -> None:
    saver = TractSaver(store)
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "theirs.db")) as theirs:
        config = RunnableConfig(configurable={"thread_id": "t"})
        graph = built(theirs)
        await graph.ainvoke({"messages": [("user", "Hello")]}, config)
        line = Line(theirs, config_of("u", ns="child:1"))
        for end in range(1, 6):
            await line.put(messages=talk()[:end], place=[end, {1, 2}])
        await theirs.aput_writes(line.config, [("b", 1), ("a", 2)], "task", "~2")
        await theirs.aput_writes(line.config, [("c", 3)], "other", "~1")
        first = await import_threads(theirs, saver, thread_ids=["u"])
        report = await import_threads(theirs, saver)
        again = await import_threads(theirs, saver)

        assert (first.threads, first.checkpoints, first.writes, first.kept) == (1, 5, 3, 0)
        assert (report.threads, report.checkpoints, report.kept) == (2, 7, 5)
        assert (again.checkpoints, again.kept) == (7, 7)
        assert first.differences == report.differences == again.differences == ()
        for thread in ("t", "u"):
            assert await everything(saver, thread) == await everything(theirs, thread)
    done = await built(saver).ainvoke(Command(resume="yes"), config)
    assert [each.content for each in done["messages"]] == ["Hello", "You said yes."]
    newest = await saver.aget_tuple(config_of("t"))
    assert newest is not None
    assert all(isinstance(each, str) for each in newest.checkpoint["channel_versions"].values())


async def test_an_import_from_a_saver_without_paths_keeps_the_order_of_writes(
    store: TractStore,
) -> None:
    saver, theirs = TractSaver(store), InMemorySaver()
    line = Line(theirs, config_of("t"))
    await line.put(n=1)
    await theirs.aput_writes(line.config, [("b", 1), ("a", 2)], "a task", "~2")
    await theirs.aput_writes(line.config, [("c", 3), ("__interrupt__", 4)], "b task", "~1")

    report = await import_threads(theirs, saver)

    assert report.differences == ()
    assert await everything(saver, "t") == await everything(theirs, "t")


async def test_threads_come_from_a_server(store: TractStore, theirs: AsyncPostgresSaver) -> None:
    """Inline and large values, subgraphs, pending writes, and an interrupt that is answered here."""
    config = RunnableConfig(configurable={"thread_id": "t"})
    await built(theirs).ainvoke({"messages": [("user", "Hello")]}, config)
    line = Line(theirs, config_of("u", ns="child:1"))
    for end in range(1, 6):
        await line.put(messages=talk()[:end], text="x" * 5_000, flag=end % 2 == 0, place=[end, {1}])
    await theirs.aput_writes(line.config, [("b", 1), ("a", 2)], "task", "~2")
    await theirs.aput_writes(line.config, [("c", 3)], "other", "~1")
    saver = TractSaver(store)
    first = await import_threads(theirs, saver, thread_ids=["u"])
    report = await import_threads(theirs, saver)
    again = await import_threads(theirs, saver)

    assert (first.threads, first.checkpoints, first.writes, first.kept) == (1, 5, 3, 0)
    assert (report.threads, report.checkpoints, report.kept) == (2, 7, 5)
    assert (again.checkpoints, again.kept) == (7, 7)
    assert first.differences == report.differences == again.differences == ()
    for thread in ("t", "u"):
        assert await everything(saver, thread) == await everything(theirs, thread)
    done = await built(saver).ainvoke(Command(resume="yes"), config)
    assert [each.content for each in done["messages"]] == ["Hello", "You said yes."]


async def test_an_import_from_a_server_that_was_cut_short_goes_on(
    store: TractStore, theirs: AsyncPostgresSaver
) -> None:
    line = Line(theirs, config_of("t"))
    for number in range(40):
        await line.put(number=number)
        await theirs.aput_writes(line.config, [("number", number)], "task")
    saver = TractSaver(store)
    for cut in range(4):
        task = asyncio.create_task(import_threads(theirs, saver))
        await asyncio.sleep(0.05 * cut)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    report = await import_threads(theirs, saver)

    assert (report.checkpoints, report.writes, report.differences) == (40, 40, ())
    assert await everything(saver, "t") == await everything(theirs, "t")
