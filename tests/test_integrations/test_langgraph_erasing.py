"""`TractSaver`: what becomes of a thread when some of its commits are erased."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph

from support.graphs_of_langgraph import Line, config_of, everything
from support.opening import COUNTER
from tract import TractStore
from tract.integrations.langgraph import TractSaver


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


def said(*words: str) -> list[BaseMessage]:
    return [HumanMessage(word, id=word) for word in words]


async def values(saver: TractSaver) -> dict[str, Any]:
    found = await saver.aget_tuple(config_of("t"))
    assert found is not None
    return found.checkpoint["channel_values"]


async def erase(saver: TractSaver, *words: str) -> None:
    tract = await saver.tract("t")
    named = [each.commit_hash for each in await tract.entries() if each.message.content in words]
    assert len(named) == len(words)
    await tract.erase(named, reason="asked by the user")


async def test_an_erased_message_is_left_out_and_the_thread_goes_on(store: TractStore) -> None:
    saver = TractSaver(store)
    line = Line(saver, config_of("t"))
    await line.put(messages=said("a", "secret"), note="kept")
    await line.put(messages=said("a", "secret", "b"), note="kept")
    await erase(saver, "secret")

    for each in (saver, TractSaver(store)):
        assert await values(each) == {"messages": said("a", "b"), "note": "kept"}
        assert [
            one.checkpoint["channel_values"]["messages"] for one in await everything(each, "t")
        ] == [
            said("a", "b"),
            said("a"),
        ]
    await line.put(messages=said("a", "b", "c"))
    await line.put(messages=said("a", "b", "c", "d"))
    for each in (saver, TractSaver(store)):
        assert [
            one.checkpoint["channel_values"]["messages"] for one in await everything(each, "t")
        ] == [
            said("a", "b", "c", "d"),
            said("a", "b", "c"),
            said("a", "b"),
            said("a"),
        ]


async def test_a_thread_whose_only_message_was_erased_is_empty(store: TractStore) -> None:
    saver = TractSaver(store)
    await Line(saver, config_of("t")).put(messages=said("secret"))
    await erase(saver, "secret")

    for each in (saver, TractSaver(store)):
        assert await values(each) == {"messages": []}


async def test_a_line_that_does_not_know_of_an_erasure_yet_goes_on(store: TractStore) -> None:
    saver, other = TractSaver(store), TractSaver(store)
    line = Line(saver, config_of("t"))
    await line.put(messages=said("secret", "a"))
    await erase(other, "secret")
    await line.put(messages=said("secret", "a", "b"))

    assert (await values(other))["messages"][-2:] == said("a", "b")
    await line.put(messages=[*(await values(other))["messages"], *said("c")])
    for each in (saver, other, TractSaver(store)):
        assert (await values(each))["messages"][-3:] == said("a", "b", "c")


async def test_an_erased_value_is_left_out(store: TractStore) -> None:
    saver = TractSaver(store)
    await Line(saver, config_of("t")).put(messages=said("a"), document="secret" * 200, note="kept")
    await saver.aget_tuple(config_of("t"))
    tract = await saver.tract("t")
    [large] = [
        each.commit_hash
        for each, content in await tract.log(contents=True)
        if "secret" in str(content)
    ]
    await tract.erase([large], reason="asked by the user")

    for each in (saver, TractSaver(store)):
        assert await values(each) == {"messages": said("a"), "note": "kept"}


async def test_what_another_process_erased_is_gone_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with TractSaver.open(path) as saver, TractSaver.open(path) as other:
        line = Line(saver, config_of("t"))
        await line.put(messages=said("a", "secret"))
        assert (await values(saver))["messages"] == said("a", "secret")
        await erase(other, "secret")

        assert (await values(saver))["messages"] == said("a")
        assert len(await everything(saver, "t")) == 1


async def test_a_graph_goes_on_after_a_message_was_erased(store: TractStore) -> None:
    saver = TractSaver(store)
    builder: Any = StateGraph(MessagesState)
    builder.add_node("answer", lambda _: {"messages": [("ai", "Yes.")]})
    builder.add_edge(START, "answer")
    graph = builder.compile(checkpointer=saver)
    await graph.ainvoke({"messages": [("user", "secret")]}, config_of("t"))
    await erase(saver, "secret")
    done = await graph.ainvoke({"messages": [("user", "Go on.")]}, config_of("t"))

    assert [each.content for each in done["messages"]] == ["Yes.", "Go on.", "Yes."]
    state = await builder.compile(checkpointer=TractSaver(store)).aget_state(config_of("t"))
    assert [each.content for each in state.values["messages"]] == ["Yes.", "Go on.", "Yes."]


async def test_what_is_put_during_a_prune_stays(store: TractStore) -> None:
    saver, other = TractSaver(store), TractSaver(store)
    line = Line(saver, config_of("t"))
    done = asyncio.Event()

    async def prune() -> None:
        while not done.is_set():
            await other.aprune(["t"])
            await other.adelete_for_runs(["odd"])

    pruning = asyncio.create_task(prune())
    for number in range(20):
        await line.put({"run_id": ["even", "odd"][number % 2]}, messages=said("a", str(number)))
        newest = await saver.aget_tuple(config_of("t"))
        if number % 2 == 0:
            assert newest is not None
            assert newest.config == line.config
            assert newest.checkpoint["channel_values"]["messages"] == said("a", str(number))
    done.set()
    await pruning


async def test_a_thread_can_be_read_and_written_while_it_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    done = asyncio.Event()
    async with TractSaver.open(path) as saver, TractSaver.open(path) as other:

        async def delete() -> None:
            while not done.is_set():
                await other.adelete_thread("t")
                await other.aprune(["t"])

        async def read() -> None:
            while not done.is_set():
                await saver.aget_tuple(config_of("t"))
                await everything(saver, "t")

        others = [asyncio.create_task(each()) for each in (delete, read, read)]
        for _ in range(12):
            line = Line(saver, config_of("t"))
            for number in range(3):
                await line.put(messages=said(*map(str, range(number))), document="x" * 600)
                await saver.aput_writes(line.config, [("document", "y" * 600)], "task")
        done.set()
        await asyncio.gather(*others)
        await line.put(messages=said("a", "b"), document="z")

        for each in (saver, other):
            assert await values(each) == {"messages": said("a", "b"), "document": "z"}
        assert (await (await saver.tract("t")).verify()).faults == ()
