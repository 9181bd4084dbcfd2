"""`TractSaver`: the lines of a thread, writers at the same time, and what is deleted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from support.graphs_of_langgraph import Line, built, config_of, everything, talk
from support.killing import started
from support.opening import COUNTER
from tract import TractStore, metadata
from tract import config as tract_config
from tract.integrations.langgraph import TractSaver

USAGE = UsageMetadata(input_tokens=9, output_tokens=3, total_tokens=12)


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


async def texts(saver: TractSaver, thread: str = "t") -> list[Any]:
    """Return the texts of a thread's context."""
    context = await (await saver.tract(thread)).compile(aggregate_same_role=False)
    return [message.content for message in context.messages]


def said(*words: str) -> list[BaseMessage]:
    return [HumanMessage(word, id=word) for word in words]


async def test_the_branch_of_a_thread_goes_on_with_its_newest_line(store: TractStore) -> None:
    saver = TractSaver(store)
    line = Line(saver, config_of("t"))
    await line.put(messages=said("a"))
    fork = line.config
    await line.put(messages=said("a", "b"))
    left = line.config
    aside = Line(saver, fork, version=10)
    await aside.put(messages=said("a", "c"))

    assert await texts(saver) == ["a", "c"]
    back = Line(saver, left, version=20)
    await back.put(messages=said("a", "b", "d"))
    assert await texts(saver) == ["a", "b", "d"]
    again = Line(saver, aside.config, version=30)
    await again.put(messages=said("a", "c", "e"))
    assert await texts(saver) == ["a", "c", "e"]
    kept = [each.checkpoint["channel_values"]["messages"] for each in await everything(saver, "t")]
    assert [[each.content for each in messages] for messages in kept] == [
        ["a", "c", "e"],
        ["a", "b", "d"],
        ["a", "c"],
        ["a", "b"],
        ["a"],
    ]
    assert (await (await saver.tract("t")).verify()).faults == ()


async def test_a_checkpoint_of_a_lower_id_is_listed_in_its_place(store: TractStore) -> None:
    savers: list[BaseCheckpointSaver[Any]] = [TractSaver(store), InMemorySaver()]
    listed = []
    for saver in savers:
        found = []
        for number in (3, 1, 5, 2, 5, 2, 4):
            checkpoint: Any = {
                **{"v": 1, "id": f"{number}", "ts": "", "channel_values": {"n": number}},
                **{"channel_versions": {"n": 1}, "versions_seen": {}, "updated_channels": None},
            }
            await saver.aput(config_of("t"), checkpoint, {"step": number}, {"n": 1})
            newest = await saver.aget_tuple(config_of("t"))
            assert newest is not None
            found.append(newest.checkpoint["id"])
        for before in (None, "2", "4", "9"):
            bound = None if before is None else config_of("t", before)
            found += [
                each.checkpoint["id"] async for each in saver.alist(config_of("t"), before=bound)
            ]
        listed.append(found)

    assert listed[0] == listed[1]


async def test_what_others_commit_stays_aside_and_no_checkpoint_has_it(store: TractStore) -> None:
    saver = TractSaver(store)
    line = Line(saver, config_of("t"))
    await line.put(messages=said("a"))
    tract = await saver.tract("t")
    await tract.user("from another")
    newest = await saver.aget_tuple(config_of("t"))
    await line.put(messages=said("a", "b"))

    assert newest is not None
    assert newest.checkpoint["channel_values"]["messages"] == said("a")
    assert await texts(saver) == ["a", "b"]
    [aside] = [each.name for each in await tract.branches() if each.name.startswith("aside/")]
    assert [
        message.content
        for message in (await tract.on(aside).compile(aggregate_same_role=False)).messages
    ] == [
        "a",
        "from another",
    ]


async def test_writers_at_once_all_have_their_checkpoints(target: str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as other,
    ):
        savers = [TractSaver(one), TractSaver(other)]
        root = Line(savers[0], config_of("t"))
        await root.put(messages=said("root"))

        async def write(number: int) -> None:
            line = Line(savers[number % 2], root.config, version=number * 10)
            for step in range(3):
                words = [f"{number}.{each}" for each in range(step + 1)]
                await line.put(messages=said("root", *words), number=number)
                await line.saver.aput_writes(line.config, [("messages", words)], f"task {number}")

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(write(number))
        for saver in (*savers, TractSaver(other)):
            found = await everything(saver, "t")
            assert len(found) == 19
            for each in found[:-1]:
                values = each.checkpoint["channel_values"]
                assert values["messages"][0].content == "root"
                assert {m.content.split(".")[0] for m in values["messages"][1:]} == {
                    str(values["number"])
                }
                assert [task for task, _, _ in each.pending_writes or []] == [
                    f"task {values['number']}"
                ]
        assert await texts(savers[1]) == [
            each.content
            for each in (await everything(savers[0], "t"))[0].checkpoint["channel_values"][
                "messages"
            ]
        ]


async def test_a_cancelled_put_is_there_whole_or_not_at_all(store: TractStore) -> None:
    saver = TractSaver(store)
    line = Line(saver, config_of("t"))
    await line.put(messages=said("0"))
    chance = random.Random(1)
    for number in range(1, 40):
        words = [*(await texts(saver)), str(number)]
        putting = asyncio.ensure_future(line.put(messages=said(*words), large="x" * 900))
        await asyncio.sleep(chance.random() * 0.002)
        putting.cancel()
        with suppress(asyncio.CancelledError):
            await putting
        await (await saver.tract("other")).user("after what was under way")
        newest = await saver.aget_tuple(config_of("t"))
        assert newest is not None
        line.config = newest.config
        now = [each.content for each in newest.checkpoint["channel_values"]["messages"]]
        assert now in (words, words[:-1])
        assert await texts(saver) == now


KILLED = """
import asyncio, sys
from langchain_core.messages import HumanMessage
from support.graphs_of_langgraph import Line, built, config_of
from tract.integrations.langgraph import TractSaver

async def main():
    saver = TractSaver(sys.argv[1])
    line, messages = Line(saver, config_of("t")), []
    while True:
        messages.append(HumanMessage(f"{len(messages)}", id=f"{len(messages)}"))
        await line.put(messages=messages, large="x" * 900)
        await saver.aput_writes(line.config, [("messages", len(messages))], "task")
        print(len(messages), flush=True)

asyncio.run(main())
"""


@pytest.mark.sqlite
async def test_a_killed_process_leaves_whole_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    running = await started(KILLED, path)
    await asyncio.sleep(0.3)
    await running.kill()
    async with TractSaver.open(path) as saver:
        found = await everything(saver, "t")
        assert found
        for number, each in enumerate(reversed(found), 1):
            messages = each.checkpoint["channel_values"]["messages"]
            assert [m.content for m in messages] == [str(n) for n in range(number)]
            assert len(each.checkpoint["channel_values"]["large"]) == 900
        assert all(
            each.pending_writes == [("task", "messages", n)]
            for n, each in zip(range(len(found), 0, -1), found, strict=True)
            if n < len(found)
        )


async def test_writes_are_kept_once_and_special_ones_are_replaced(store: TractStore) -> None:
    savers: list[BaseCheckpointSaver[Any]] = [TractSaver(store), InMemorySaver()]
    found = []
    for saver in savers:
        line = Line(saver, config_of("t"))
        await line.put(n=1)
        put = saver.aput_writes
        await put(line.config, [("a", 1), ("b", "x" * 2000)], "task", "~path/2")
        await put(line.config, [("a", 2), ("b", 2)], "task", "~path/2")
        await put(line.config, [("a", 3)], "other", "~path/1")
        for value in ("one", "two", "one"):
            await put(line.config, [("__interrupt__", value)], "task", "~path/2")
        newest = await saver.aget_tuple(line.config)
        assert newest is not None
        found.append(newest.pending_writes)

    assert found[0] == found[1]


async def test_a_deleted_thread_begins_anew_and_leaves_no_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        saver, kept = TractSaver(store), TractSaver(store)
        line = Line(saver, config_of("t"))
        await line.put(messages=said("confidential"), other="confidential" * 200)
        await saver.aput_writes(line.config, [("messages", "confidential")], "task")
        await Line(saver, config_of("u")).put(messages=said("kept"))
        other = Line(kept, line.config, version=5)
        await other.put(messages=said("confidential", "more"))
        await saver.adelete_thread("t")

        assert await everything(saver, "t") == []
        assert await saver.aget_tuple(line.config) is None
        assert len(await everything(saver, "u")) == 1
        await store.vacuum()
        assert b"confidential" not in path.read_bytes()
        await other.put(messages=said("anew", "more"), other="x" * 1000)
        [found] = await everything(saver, "t")
        assert found.checkpoint["channel_values"]["messages"] == said("anew", "more")


async def test_what_runs_wrote_is_erased_but_for_what_others_show(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with TractStore.open(path, tokenizer=COUNTER) as store:
        saver = TractSaver(store)
        line = Line(saver, config_of("t"))
        await line.put({"run_id": "1"}, messages=said("shared"))
        first = line.config
        await line.put({"run_id": "2"}, messages=said("shared", "confidential"))
        await saver.aput_writes(line.config, [("messages", "confidential")], "task")
        aside = Line(saver, first, version=10)
        await aside.put({"run_id": "3"}, messages=said("shared", "other"))
        await line.put({"run_id": "2"}, messages=said("shared", "confidential", "more"))
        await saver.adelete_for_runs(["2", "unknown"])

        assert await texts(saver) == ["shared", "other"]
        assert [each.metadata["run_id"] for each in await everything(saver, "t")] == ["3", "1"]
        await store.vacuum()
        assert b"confidential" not in path.read_bytes()
        await line.put(messages=said("shared", "confidential", "again"))
        await aside.put(messages=said("shared", "other", "more"))
        assert await texts(saver) == ["shared", "other", "more"]
        for again in (saver, TractSaver(store)):
            newest = (await everything(again, "t"))[:2]
            assert [each.checkpoint["channel_values"]["messages"] for each in newest] == [
                said("shared", "other", "more"),
                said("shared", "confidential", "again"),
            ]
        tract = await saver.tract("t")
        assert (await tract.verify()).faults == ()
        assert len(await tract.query(metadata("run_id") == "3")) == 1


async def test_a_pruned_thread_has_its_newest_checkpoint_and_goes_on(store: TractStore) -> None:
    saver = TractSaver(store)
    line, nested = Line(saver, config_of("t")), Line(saver, config_of("t", ns="child:1"))
    for number in range(3):
        await line.put(messages=said(*map(str, range(number + 1))), document="x" * 3000)
        await nested.put(messages=said("nested"))
    await saver.aprune(["t"])

    assert len(await everything(saver, "t")) == 2
    await line.put(messages=said("0", "1", "2", "3"))
    assert await texts(TractSaver(store)) == ["0", "1", "2", "3"]
    with pytest.raises(ValueError, match="strategy"):
        await saver.aprune(["t"], strategy="other")


async def test_a_copy_goes_its_own_way_and_can_go_into_a_thread_that_exists(
    store: TractStore,
) -> None:
    saver = TractSaver(store)
    line = Line(saver, config_of("t"))
    for end in range(1, 6):
        await line.put(messages=talk()[:end], document="x" * end * 300)
        await saver.aput_writes(line.config, [("document", "y" * end * 300)], "task", "path")
    await Line(saver, config_of("old")).put(n=1)
    await saver.acopy_thread("t", "new")
    await saver.acopy_thread("t", "old")
    await saver.acopy_thread("t", "t")
    await saver.acopy_thread("unknown", "nothing")
    copied, merged = await everything(saver, "new"), await everything(saver, "old")
    for found in (copied, merged[1:]):
        for one, other in zip(await everything(saver, "t"), found, strict=True):
            assert one[1:3] == other[1:3]
            assert one.pending_writes == other.pending_writes
    assert (len(copied), len(merged)) == (5, 6)
    await line.put(messages=[*talk(), *said("of the source")])
    beside = Line(saver, copied[0].config, version=9)
    await beside.put(messages=[*talk(), *said("of the copy")])
    assert await texts(saver, "new") == [*(await texts(saver))[:-1], "of the copy"]
    for each in (saver, TractSaver(store)):
        for thread, last in (("t", "of the source"), ("new", "of the copy")):
            newest = (await everything(each, thread))[0]
            assert newest.checkpoint["channel_values"]["messages"][-1].content == last
    assert await everything(saver, "nothing") == []
    assert len([each async for each in saver.alist(None)]) == 18


async def test_the_history_of_delta_channels_is_as_the_memory_savers(store: TractStore) -> None:
    savers: list[BaseCheckpointSaver[Any]] = [TractSaver(store), InMemorySaver()]
    found: list[Any] = []
    for saver in savers:
        line = Line(saver, config_of("t"))
        await line.put({"counters_since_delta_snapshot": {}}, seeded=["seed"], other=1)
        for number in range(4):
            await saver.aput_writes(line.config, [("seeded", number)], "b", "~2")
            await saver.aput_writes(line.config, [("seeded", -number), ("bare", number)], "a", "~1")
            await line.put(
                {"counters_since_delta_snapshot": {"seeded": (number, number)}}, n=number
            )
        channels = ["seeded", "bare", "unknown"]
        history = saver.aget_delta_channel_history
        configs = (line.config, config_of("t"), config_of("unknown"))
        found += [await history(config=config, channels=channels) for config in configs]
        assert await saver.aget_delta_channel_history(config=line.config, channels=[]) == {}
    half = len(found) // 2

    assert found[:half] == found[half:]
    saver = savers[0]
    await saver.aprune(["t"])
    assert len(await everything(saver, "t")) == 5
    assert found[0] == await saver.aget_delta_channel_history(
        config=config_of("t"), channels=channels
    )


async def test_a_graph_that_was_interrupted_resumes_in_another_saver(target: str) -> None:
    config = RunnableConfig(configurable={"thread_id": "t"})
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        asked = await built(TractSaver(store)).ainvoke({"messages": [("user", "Hello")]}, config)
    assert asked["__interrupt__"][0].value == {"question": "Hello"}

    async with TractStore.open(target, tokenizer=COUNTER) as store:
        saver = TractSaver(store)
        graph = built(saver)
        done = await graph.ainvoke(Command(resume="yes"), config)
        assert [each.content for each in done["messages"]] == ["Hello", "You said yes."]
        assert done["steps"] == ["asked"]
        history = [each async for each in graph.aget_state_history(config)]
        await graph.aupdate_state(history[1].config, {"messages": [("user", "Again")]})
        assert await texts(saver) == ["Hello", "Again"]
        assert (await graph.aget_state(history[0].config)).values == done


async def test_a_recorder_says_how_each_message_was_made(store: TractStore) -> None:
    saver = TractSaver(store)
    words = iter([AIMessage("One"), AIMessage("Two", usage_metadata=USAGE)])
    model = GenericFakeChatModel(messages=words).bind(temperature=0.5, extra_headers={"key": "x"})

    async def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    compiled: Any = graph.compile(checkpointer=saver)
    config = RunnableConfig(configurable={"thread_id": "t"}, callbacks=[saver.recorder])
    for _ in range(2):
        await compiled.ainvoke({"messages": [("user", "Hello")]}, config)
    tract = await saver.tract("t")
    one, two = await tract.query(tract_config("temperature") == 0.5)

    assert [one.content_type, two.content_type] == ["langchain"] * 2
    assert one.metadata == {"node": "answer"}
    assert two.metadata == {"node": "answer", "usage": USAGE}
    assert two.generation_config is not None
    assert "extra_headers" not in two.generation_config
    assert await texts(saver) == ["Hello", "One", "Hello", "Two"]


async def test_secrets_in_definitions_of_tools_are_not_recorded(store: TractStore) -> None:
    saver = TractSaver(store)
    arguments = {"type": "object", "properties": {"password": {"type": "string"}}}
    tools = [
        {"type": "mcp", "authorization": "SECRET", "headers": {"X-Key": "SECRET"}, "label": "m"},
        {"type": "function", "function": {"name": "login", "parameters": arguments}},
    ]
    words = iter([AIMessage("One", id="1")])
    model = GenericFakeChatModel(messages=words).bind(
        tools=tools, aws_session_token="SECRET", max_tokens=9
    )
    answer = await model.ainvoke("Hello", {"callbacks": [saver.recorder]})
    await Line(saver, config_of("t")).put(messages=[answer])

    [made] = await (await saver.tract("t")).query(tract_config("max_tokens") == 9)
    assert made.generation_config is not None
    assert "SECRET" not in str(made.generation_config)
    remote = {"type": "mcp", "authorization": "[redacted]", "label": "m"}
    assert made.generation_config["tools"] == [remote, tools[1]]


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_put_the_memory_saver_has_the_same(store: TractStore, seed: int) -> None:
    chance = random.Random(seed)
    ours, theirs = TractSaver(store), InMemorySaver()
    configs: list[RunnableConfig] = [config_of("t")]
    lists: list[list[BaseMessage]] = [[]]
    for step in range(60):
        at = len(configs) - 1 if chance.random() < 0.7 else chance.randrange(len(configs))
        messages = [each.model_copy() for each in lists[at]]
        for _ in range(chance.randrange(3)):
            messages.insert(
                len(messages) if chance.random() < 0.7 else chance.randrange(len(messages) + 1),
                AIMessage(chance.choice("abc"), id=str(step) if chance.random() < 0.5 else None),
            )
        if messages and chance.random() < 0.2:
            messages[chance.randrange(len(messages))].content = f"edited {step}"
        if messages and chance.random() < 0.1:
            del messages[: chance.randrange(len(messages))]
        made: Any = None
        values: dict[str, Any] = {"messages": messages}
        if chance.random() < 0.4:
            values["other"] = chance.choice(["x" * 700, [1, 2], None, "y"])
        for saver in (ours, theirs):
            line = Line(saver, configs[at], version=step)
            if made is None:
                made = await line.put(**values)
            else:
                versions = made["channel_versions"]
                about: Any = {"source": "loop", "step": step + 1, "parents": {}}
                await saver.aput(configs[at], made, about, versions)
            await saver.aput_writes(
                line.config if saver is ours else config_of("t", made["id"]),
                [("messages", step)],
                f"task {step % 3}",
            )
        configs.append(config_of("t", made["id"]))
        lists.append(messages)
        if chance.random() < 0.1:
            ours = TractSaver(store)
    for saver in (ours, TractSaver(store)):
        assert await everything(saver, "t") == await everything(theirs, "t")
    assert (await (await ours.tract("t")).verify()).faults == ()
