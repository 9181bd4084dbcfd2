"""Real conversations, recorded as concurrent agents and compiled back exactly."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import MessageParam, TextBlockParam
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from support.effort import examples
from tract import (
    AnthropicArguments,
    AsyncTract,
    ContentModel,
    FreeformContent,
    InstructionContent,
    NullTokenCounter,
    TiktokenCounter,
    TractStore,
    from_openai,
)

OPENAI = TypeAdapter(list[ChatCompletionMessageParam])
ANTHROPIC = TypeAdapter(list[MessageParam])
SYSTEM = TypeAdapter(str | list[TextBlockParam])
CONFIG = {"model": "gpt-4o", "temperature": 0.7}

Messages = list[dict[str, Any]]


def sent(messages: Messages) -> Messages:
    """Return what an API gets of *messages*: a tool's result goes without its name."""
    return [
        {
            key: value
            for key, value in message.items()
            if not (message["role"] == "tool" and key == "name")
        }
        for message in messages
    ]


def as_compiled(messages: Messages) -> Messages:
    """Return *messages* in the shape of `to_openai()`, where `content` is never left out."""
    shown = []
    for message in sent(messages):
        plain = {"role": message["role"], "content": message.get("content")}
        optional = ("name", "tool_calls", "tool_call_id")
        plain.update({key: message[key] for key in optional if message.get(key) is not None})
        shown.append(plain)
    return shown


def valid(messages: Messages) -> bool:
    """Validate against the official types; their iterables validate only when they are read."""
    for message in OPENAI.validate_python(messages):
        list(message.get("tool_calls") or ())  # type: ignore[call-overload]
    return True


def valid_arguments(arguments: AnthropicArguments) -> bool:
    for message in ANTHROPIC.validate_python(arguments["messages"]):
        if not isinstance(message["content"], str):
            list(message["content"])
    if "system" in arguments:
        SYSTEM.validate_python(arguments["system"])
    return set(arguments) <= {"messages", "system"}


async def record(tract: AsyncTract, messages: Messages) -> None:
    """Commit *messages* one by one; before each assistant's turn compile, and compare."""
    for index, message in enumerate(messages):
        config = None
        if message["role"] == "assistant":
            context = await tract.compile()
            assert context.to_openai() == as_compiled(messages[:index])
            config = CONFIG
        contents = from_openai([message])
        if len(contents) == 1:
            await tract.commit(contents[0], generation_config=config)
        else:
            async with tract.batch() as batch:
                for content in contents:
                    batch.commit(content, generation_config=config)


@pytest.mark.unmeasured
async def test_a_hundred_conversations_at_once_compile_back_exactly(
    airline: list[dict[str, Any]], target: Path | str
) -> None:
    """Turn by turn while they are recorded, and again after reopening."""
    counter = TiktokenCounter()
    async with TractStore.open(target) as store:
        tracts = {chat["id"]: store.tract(chat["id"]) for chat in airline}
        await asyncio.gather(*(record(tracts[chat["id"]], chat["messages"]) for chat in airline))
        contexts = {name: await tract.compile() for name, tract in tracts.items()}
    async with TractStore.open(target) as store:
        assert await store.tract_ids() == sorted(tracts)
        for chat in airline:
            tract = store.tract(chat["id"])
            context = await tract.compile()
            assert context == contexts[chat["id"]]
            assert context.to_openai() == as_compiled(chat["messages"])
            assert valid(context.to_openai())
            assert valid_arguments(context.to_anthropic())
            assert context.token_count == counter.count_messages(context.to_dicts())
        found = await store.tract(airline[0]["id"]).query_by_config("temperature", ">", 0.5)
        report = await store.tract(airline[0]["id"]).verify()

    turns = [len(from_openai([m])) for m in airline[0]["messages"] if m["role"] == "assistant"]

    assert len(found) == sum(turns)
    assert report.faults == ()


async def test_equal_contents_are_stored_once(airline: list[dict[str, Any]], db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=NullTokenCounter()) as store:
        for chat in airline[:30]:
            async with store.tract(chat["id"]).batch() as batch:
                for content in from_openai(chat["messages"]):
                    batch.commit(content)
    contents = [content for chat in airline[:30] for content in from_openai(chat["messages"])]
    different = {json.dumps(content.model_dump(), sort_keys=True) for content in contents}
    connection = sqlite3.connect(db_path)
    ((blobs,),) = connection.execute("SELECT count(*) FROM blobs")
    ((commits,),) = connection.execute("SELECT count(*) FROM commits")
    connection.close()

    assert blobs == len(different)
    assert commits == len(contents) > blobs


async def test_a_recorded_call_keeps_its_arguments_to_the_byte(
    airline: list[dict[str, Any]],
    target: Path | str,
) -> None:
    chat = next(chat for chat in airline if any(m.get("tool_calls") for m in chat["messages"]))
    given_arguments = [
        call["function"]["arguments"]
        for message in chat["messages"]
        for call in message.get("tool_calls") or ()
    ]
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        async with tract.batch() as batch:
            for content in from_openai(chat["messages"]):
                batch.commit(content)
        compiled = (await tract.compile()).to_openai()

    assert given_arguments == [
        call["function"]["arguments"]
        for message in compiled
        for call in message.get("tool_calls", ())
    ]


async def test_any_point_of_a_conversation_can_be_had_back(
    airline: list[dict[str, Any]], target: Path | str
) -> None:
    messages = airline[0]["messages"]
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        heads = []
        for message in messages:
            for content in from_openai([message]):
                info = await tract.commit(content)
            heads.append(info)
        for index, info in enumerate(heads):
            wanted = as_compiled(messages[: index + 1])
            at_commit = await tract.compile(at_commit=info.commit_hash)
            at_time = await tract.compile(at_time=info.created_at)
            for context in (at_commit, at_time):
                assert context.to_openai(open_calls="keep") == wanted


# any valid conversation

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.none() | st.text("abc", min_size=1, max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> Messages:
    """Valid Chat Completions lists: every call answered, ids unique, roles alternating or not."""
    messages: Messages = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(TEXT)})
    for turn in range(draw(st.integers(0, 5))):
        user: dict[str, Any] = {"role": "user", "content": draw(TEXT)}
        name = draw(NAME)
        if name is not None:
            user["name"] = name
        messages.append(user)
        if draw(st.booleans()):
            messages.extend(draw(assistant_turn(turn)))
    return messages


@st.composite
def assistant_turn(draw: st.DrawFn, turn: int) -> Messages:
    count = draw(st.integers(0, 3))
    if count == 0:
        return [{"role": "assistant", "content": draw(TEXT)}]
    calls = [
        {
            "id": f"call_{turn}_{index}",
            "type": "function",
            "function": {"name": draw(st.sampled_from(["f", "g"])), "arguments": draw(TEXT)},
        }
        for index in range(count)
    ]
    text = draw(st.none() | TEXT)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": draw(TEXT)} for call in calls
    ]
    return [{"role": "assistant", "content": text, "tool_calls": calls}, *results]


async def compiled(contents: list[ContentModel]) -> tuple[Messages, AnthropicArguments, bool]:
    async with AsyncTract.open(tokenizer=NullTokenCounter()) as tract:
        async with tract.batch() as batch:
            for content in contents:
                batch.commit(content)
        context = await tract.compile(aggregate_same_role=False)
        report = await tract.verify()
        return context.to_openai(), context.to_anthropic(), report.faults == ()


@pytest.mark.unmeasured
@given(conversations())
@settings(max_examples=examples(60))
def test_from_openai_round_trips(messages: Messages) -> None:
    openai, anthropic, sound = asyncio.run(compiled(from_openai(messages)))

    assert openai == as_compiled(messages)
    assert valid(openai)
    assert valid_arguments(anthropic)
    assert sound


async def test_what_stands_between_messages_does_not_matter_to_them(target: Path | str) -> None:
    """Entries that are not messages of the conversation are an assistant's or the system's."""
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        await tract.commit(InstructionContent(text="Be kind."))
        await tract.user("Hello")
        await tract.commit(FreeformContent(payload={"seen": [1, 2]}))

        assert valid((await tract.compile()).to_openai())
        assert valid_arguments((await tract.compile()).to_anthropic())
