"""`TractSaver`: LangGraph keeps its threads as tracts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from support.graphs_of_langgraph import Line, config_of, everything, talk
from support.opening import COUNTER
from tract import UNSET, MediaPart, StorageError, StoreClosedError, ThinkingPart, TractStore
from tract.integrations.langgraph import CONTENT_TYPES, TractSaver


@dataclasses.dataclass
class Place:
    """A value of a graph's own."""

    name: str
    seen: datetime


class Shout(HumanMessage):
    """A message of an application's own."""

    volume: int = 11


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


async def messages_of(saver: TractSaver, thread: str = "t", at: str | None = None) -> Any:
    found = await saver.aget_tuple(config_of(thread, at))
    assert found is not None
    return found.checkpoint["channel_values"]["messages"]


async def texts(saver: TractSaver, thread: str = "t", at: str | None = None) -> list[Any]:
    """Return the texts of a thread's context."""
    tract = await saver.tract(thread)
    context = await tract.compile(aggregate_same_role=False, at_commit=UNSET if at is None else at)
    return [message.content for message in context.messages]


async def test_it_conforms_with_every_capability() -> None:
    @checkpointer_test(name="TractSaver")
    async def savers() -> AsyncIterator[TractSaver]:
        async with TractStore.open(tokenizer=COUNTER) as store:
            yield TractSaver(store)

    report = await validate(savers)

    assert {
        name: (each.passed, each.failures) for name, each in report.results.items()
    } == dict.fromkeys(report.results, (True, []))
    assert len(report.results) >= 8


async def test_messages_come_back_as_they_were_put(store: TractStore) -> None:
    saver, oracle = TractSaver(store), InMemorySaver()
    said = [
        *talk(),
        SystemMessage("Be terse.", id="6", additional_kwargs={"z": 1, "a": [None, True, 2.0]}),
        ChatMessage(content="Hm.", role="critic", id="7"),
        FunctionMessage(content="4", name="add", id="8"),
        ToolMessage("?", tool_call_id="x", status="error", artifact={"of": b"bytes"}, id="9"),
        AIMessage(
            "", id="10", invalid_tool_calls=[{"name": "f", "args": "{", "id": "c", "error": "e"}]
        ),
        HumanMessage("\0 and \N{SNOWMAN}", id="11", later="release"),
        AIMessageChunk(content="A piece", id="12"),
        RemoveMessage(id="13"),
        Shout(content="Loud", id="14"),
    ]
    for each in (saver, oracle):
        line = Line(each, config_of("t"))
        await line.put(messages=said[:3])
        await line.put(messages=said)
    for again in (saver, TractSaver(store)):
        found, expected = await everything(again, "t"), await everything(oracle, "t")
        for one, other in zip(found, expected, strict=True):
            one_said = one.checkpoint["channel_values"]["messages"]
            other_said = other.checkpoint["channel_values"]["messages"]
            assert one_said == other_said
            assert list(map(repr, one_said)) == list(map(repr, other_said))
            assert [type(each) for each in one_said] == [type(each) for each in other_said]
            assert [each.model_fields_set for each in one_said] == [
                each.model_fields_set for each in other_said
            ]


VALUES: dict[str, Any] = {
    "none": None,
    "truth": True,
    "number": 1 << 60,
    "float": 2.0,
    "infinite": float("inf"),
    "text": "Ærlig",
    "long": "x" * 5000,
    "bytes": b"\0\xff",
    "empty": b"",
    "array": bytearray(b"ab"),
    "list": [],
    "nested": {"b": [1, {"a": 1}], "a": {}},
    "tuple": [1, 2],
    "set": {1, 2},
    "place": Place("Oslo", datetime(2026, 1, 1, tzinfo=UTC)),
    "places": [Place("Oslo", datetime(2026, 1, 1, tzinfo=UTC))] * 40,
    "numbered": {1: "a", "1": "b"},
}


async def test_values_of_every_kind_come_back_equal_and_of_their_types(store: TractStore) -> None:
    saver = TractSaver(store)
    await Line(saver, config_of("t")).put(**VALUES)

    for again in (saver, TractSaver(store)):
        found = await again.aget_tuple(config_of("t"))
        assert found is not None
        values = found.checkpoint["channel_values"]
        assert values == VALUES
        assert {name: type(value) for name, value in values.items()} == {
            name: type(value) for name, value in VALUES.items()
        }
        assert list(values["nested"]) == ["b", "a"]


async def test_what_is_put_and_what_is_returned_is_shared_with_nobody(store: TractStore) -> None:
    saver = TractSaver(store)
    said, numbers = talk(), [1, 2]
    checkpoint = await Line(saver, config_of("t")).put(messages=said, numbers=numbers)
    said[0].content = "changed"
    said[2].tool_calls[0]["args"]["b"] = "changed"  # type: ignore[attr-defined]
    numbers.append(3)
    found = await saver.aget_tuple(config_of("t"))
    assert found is not None
    found.checkpoint["channel_values"]["messages"][2].tool_calls.clear()
    found.checkpoint["channel_values"]["numbers"].clear()
    found.metadata["parents"]["x"] = "changed"

    again = await saver.aget_tuple(config_of("t", checkpoint["id"]))
    assert again is not None
    assert again.checkpoint["channel_values"] == {"messages": talk(), "numbers": [1, 2]}
    assert again.metadata["parents"] == {}


async def test_a_message_that_was_changed_in_place_is_found_and_the_old_one_stays(
    store: TractStore,
) -> None:
    saver = TractSaver(store)
    line, said = Line(saver, config_of("t")), talk()
    first = await line.put(messages=said)
    said[2].tool_calls[0]["args"]["b"] = True  # type: ignore[attr-defined]  # which equals 1
    await line.put(messages=said)

    assert (await messages_of(saver))[2].tool_calls[0]["args"]["b"] is True
    assert (await messages_of(saver, at=first["id"]))[2].tool_calls[0]["args"]["b"] == 1
    assert await messages_of(TractSaver(store)) == said


async def test_a_threads_context_has_tool_calls_thinking_and_images(store: TractStore) -> None:
    saver = TractSaver(store)
    await Line(saver, config_of("user:42")).put(messages=talk())
    context = await (await saver.tract("user:42")).compile(aggregate_same_role=False)

    assert [message.role for message in context.messages] == [
        *("user", "user", "assistant", "tool", "assistant"),
    ]
    [_, image] = context.messages[1].parts
    assert isinstance(image, MediaPart)
    assert image.kind == "image"
    assert image.media_type == "image/png"
    thinking, _text, _call = context.messages[2].parts
    assert isinstance(thinking, ThinkingPart)
    assert thinking.signature == "c2ln"
    assert context.messages[2].tool_calls[0].arguments == '{"b": 1, "a": 2}'
    assert context.messages[3].tool_call_id == "call_1"
    assert not context.open_calls
    sent = context.request("anthropic.messages")["messages"]
    assert sent[1]["content"][0] == {
        "type": "thinking",
        "thinking": "A picture.",
        "signature": "c2ln",
    }
    assert sent[0]["content"][-1]["source"]["data"] == "aGVsbG8gd29ybGQ="


async def test_a_store_that_was_opened_without_a_saver_can_be_told_the_type(tmp_path: Path) -> None:
    async with TractSaver.open(tmp_path / "a.db") as saver:
        await Line(saver, config_of("t")).put(messages=talk())
    async with TractStore.open(tmp_path / "a.db", content_types=CONTENT_TYPES) as store:
        assert len((await store.tract("t").compile(aggregate_same_role=False)).messages) == 5
        assert (await store.tract("t").verify()).faults == ()


async def test_entries_are_edited_skipped_and_appended_as_the_list_changes(
    store: TractStore,
) -> None:
    saver = TractSaver(store)
    line = Line(saver, config_of("t"))
    said: list[BaseMessage] = [HumanMessage(text, id=text) for text in "abcde"]
    lists: list[list[BaseMessage]] = [
        said[:3],
        said[:3],
        [said[0], HumanMessage("B", id="b"), said[2]],
        [said[0], said[2], said[3]],
        [said[3], said[0]],
        [],
        [HumanMessage("x"), HumanMessage("x")],
        [HumanMessage("x"), HumanMessage("y"), HumanMessage("x")],
        said,
    ]
    put = [await line.put(messages=each) for each in lists]
    for again in (saver, TractSaver(store)):
        for messages, checkpoint in zip(lists, put, strict=True):
            assert await messages_of(again, at=checkpoint["id"]) == messages
    tract = await saver.tract("t")
    kept = await tract.keys("langgraph/checkpoint/")
    for messages, info in zip(lists, kept, strict=True):
        assert await texts(saver, at=info.commit_hash) == [each.content for each in messages]


async def test_only_new_messages_are_committed(store: TractStore) -> None:
    saver = TractSaver(store)
    line, said = Line(saver, config_of("t")), talk()
    for end in range(1, 6):
        await line.put(messages=said[:end], other="x" * 600)
    operations = [str(info.operation) for info in await (await saver.tract("t")).log(None)]

    assert operations.count("append") == 5
    assert operations.count("state") == 10


async def test_a_value_whose_version_is_the_parents_is_stored_once(store: TractStore) -> None:
    saver = TractSaver(store)
    line = Line(saver, config_of("t"))
    first = await line.put(messages=talk(), document="x" * 5000)
    again = await line.put(messages=talk())
    values = {**again["channel_values"], "document": "x" * 5000}
    versions = {**again["channel_versions"], "document": first["channel_versions"]["document"]}
    kept = {
        **again,
        "id": f"{again['id']}0",
        "channel_values": values,
        "channel_versions": versions,
    }
    before = await everything(saver, "t")
    await saver.aput(before[1].config, kept, {}, {"messages": 2})  # type: ignore[arg-type]
    found = await saver.aget_tuple(config_of("t"))
    states = await (await saver.tract("t")).query()

    assert found is not None
    assert found.checkpoint["channel_values"] == values
    assert len([each for each in states if each.key is None and each.operation == "state"]) == 1


async def test_checkpoints_and_metadata_of_any_size_are_put_one_after_the_other(
    store: TractStore,
) -> None:
    saver = TractSaver(store)
    line = Line(saver, config_of("t"))
    channels = {f"channel-{number:04}": number for number in range(5_000)}
    for number in range(2):
        about = {"run_id": str(number), "note": "x" * 100_000}
        await line.put(about, messages=talk()[: number + 1], **channels)

    config = RunnableConfig(configurable={"thread_id": "t"})
    found = [each async for each in TractSaver(store).alist(config, filter={"run_id": "1"})]
    assert [dict(each.metadata)["note"] for each in found] == ["x" * 100_000]
    assert len(found[0].checkpoint["channel_versions"]) == 5_001
    await saver.adelete_for_runs(["0"])
    assert len(await everything(saver, "t")) == 1
    await saver.aprune(["t"])
    assert len(await everything(saver, "t")) == 1


async def test_an_encrypting_serializer_sees_everything(tmp_path: Path) -> None:
    class Reversed:
        def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
            return "reversed", plaintext[::-1]

        def decrypt(self, name: str, ciphertext: bytes) -> bytes:
            assert name == "reversed"
            return ciphertext[::-1]

    serde = EncryptedSerializer(Reversed(), JsonPlusSerializer())
    path = tmp_path / "a.db"
    async with TractSaver.open(path, serde=serde) as saver:
        await Line(saver, config_of("t")).put(messages=talk(), word="confidential")
        assert await messages_of(saver) == talk()
        assert await texts(saver) == []
    whole = path.read_bytes()
    assert b"confidential" not in whole
    assert b"What is on" not in whole


async def test_a_saver_works_in_any_loop_and_on_threads_without_one(tmp_path: Path) -> None:
    async with TractSaver.open(tmp_path / "a.db") as saver:
        line = Line(saver, config_of("t"))
        checkpoint = await line.put(messages=talk())

        def blocking() -> Any:
            saver.put_writes(line.config, [("messages", "x")], "task")
            saver.copy_thread("t", "u")
            saver.delete_thread("t")
            saver.prune(["u"])
            saver.delete_for_runs(["run"])
            [listed] = saver.list(config_of("u"))
            assert saver.get_tuple(config_of("t")) is None
            assert saver.get_delta_channel_history(
                config=config_of("u"), channels=["messages"]
            ) == {"messages": {"writes": []}}
            return listed, saver.get(config_of("u"))

        listed, found = await asyncio.to_thread(blocking)
        with pytest.raises(StorageError, match="an `a` before it"):
            saver.get_tuple(config_of("u"))
        other = await asyncio.to_thread(asyncio.run, everything(saver, "u"))

    assert found["id"] == checkpoint["id"]
    assert listed.pending_writes == [("task", "messages", "x")]
    assert len(other) == 1


def test_a_program_without_a_loop_uses_a_saver_in_a_with_block(tmp_path: Path) -> None:
    with TractSaver.open(tmp_path / "a.db") as saver:
        assert saver.get_tuple(config_of("t")) is None
    with pytest.raises(StoreClosedError):
        saver.get_tuple(config_of("t"))


async def test_blocking_calls_on_a_callers_store_run_in_its_loop(store: TractStore) -> None:
    saver = TractSaver(store)
    await Line(saver, config_of("t")).put(messages=talk())

    found = await asyncio.to_thread(saver.get_tuple, config_of("t"))

    assert found is not None
    assert found.checkpoint["channel_values"]["messages"] == talk()


def test_versions_are_numbers_or_go_on_as_strings() -> None:
    saver = TractSaver()

    assert [saver.get_next_version(None, None), saver.get_next_version(7, None)] == [1, 8]
    assert saver.get_next_version(f"{9:032}.{0.5:016}", None).startswith(f"{10:032}.")
