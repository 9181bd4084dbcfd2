"""Lines about LangGraph: graphs over `MessagesState` on our saver and on its own, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from benchmarks.model import OURS, SQLITE_SAVER, Bar, Line, Measure, Row, Sample, Workspace
from benchmarks.timing import timed
from tract.integrations.langgraph import TractSaver

__all__ = ["lines"]

_MILLISECONDS = 1e3
_THREAD = RunnableConfig(configurable={"thread_id": "thread"})
_ANSWER = "An answer has some words, and this one has as many as most. " * 5
_LISTED = 30
_FORKS = 20
_COPIED = 200

_Open = Callable[[Path], AbstractAsyncContextManager[Any]]


def lines() -> tuple[Line, ...]:
    """Return the lines about LangGraph's savers."""
    return (
        Line(
            "graph",
            (
                Row(
                    "graph.turns",
                    "turns of a graph of one node, thread of 0 to 500",
                    "/s",
                    (Bar(2, SQLITE_SAVER, at_least=True),),
                ),
                Row("graph.bytes", "its database", "MB", (Bar(0.02, SQLITE_SAVER),)),
                Row("graph.history", "its newest 30 checkpoints", "ms", (Bar(1, SQLITE_SAVER),)),
            ),
            {
                OURS: _measured(TractSaver.open),
                SQLITE_SAVER: _measured(lambda path: AsyncSqliteSaver.from_conn_string(str(path))),
            },
            "LangGraph's own work for a turn is in it. AsyncSqliteSaver waits for the disk at every "
            "write.",
        ),
        Line(
            "graph.lines",
            (
                Row("graph.fork", "a fork of a thread of 200 turns", "kB", (Bar(10),)),
                Row("graph.copy", "a copy of that thread", "ms", (Bar(50),)),
            ),
            {OURS: lambda workspace: asyncio.run(_forked(workspace))},
        ),
    )


async def _answer(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage(_ANSWER)]}


def _graph(saver: BaseCheckpointSaver[Any]) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", _answer)
    builder.add_edge(START, "answer")
    return builder.compile(checkpointer=saver)


async def _talk(graph: Any, turns: int) -> float:
    """Return how long some turns take."""
    start = perf_counter()
    for number in range(turns):
        await graph.ainvoke({"messages": [("user", f"Question {number}? " * 10)]}, _THREAD)
    return perf_counter() - start


def _measured(opened: _Open) -> Measure:
    return lambda workspace: asyncio.run(_run(opened, workspace))


async def _run(opened: _Open, workspace: Workspace) -> Sample:
    turns = workspace.sizes.history // 2
    async with opened(workspace.folder / "graphs.db") as saver:
        took = await _talk(_graph(saver), turns)
        listed = await timed(_newest(saver))
    nbytes = sum(path.stat().st_size for path in workspace.folder.iterdir())
    return {
        "graph.turns": turns / took,
        "graph.bytes": nbytes / 1e6,
        "graph.history": listed * _MILLISECONDS,
    }


async def _newest(saver: BaseCheckpointSaver[Any]) -> None:
    found = [each async for each in saver.alist(_THREAD, limit=_LISTED)]
    assert len(found) == _LISTED


async def _forked(workspace: Workspace) -> Sample:
    turns = min(_COPIED, workspace.sizes.history // 2)
    async with TractSaver.open(workspace.folder / "graphs.db") as saver:
        graph = _graph(saver)
        await _talk(graph, turns)
        copied = await timed(saver.acopy_thread("thread", "copy"))
        states = [state async for state in graph.aget_state_history(_THREAD, limit=2 * _FORKS)]
        store = await saver.store()
        before = (await store.info()).nbytes
        for state in states[:_FORKS]:
            await graph.aupdate_state(state.config, {"messages": [("user", "What if?")]})
        grown = (await store.info()).nbytes - before
    return {"graph.fork": grown / _FORKS / 1e3, "graph.copy": copied * _MILLISECONDS}
