"""Calls that type checkers have to accept; nothing here runs.

Both checkers read this file; no line of it may be exempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, assert_type

import anthropic
import openai
from openai import AsyncStream
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

from tract import (
    AsyncTract,
    Batch,
    BranchReset,
    BudgetAction,
    CommitInfo,
    CommitOperation,
    CommitOptions,
    Condition,
    DialogueContent,
    MergeConflict,
    MergeResult,
    OnConflict,
    OnInterrupt,
    Opening,
    Priority,
    Recording,
    RecordOptions,
    StagedCommit,
    SyncBatch,
    SyncTract,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
    Watch,
    config,
    from_openai,
    to_anthropic,
    to_openai,
)


class Parameters(TypedDict):
    """A config as a program types it."""

    model: str
    temperature: float


class Ticket(BaseModel):
    """A content type of a program's own."""

    number: int


async def opening() -> None:
    waiting: Opening[AsyncTract] = AsyncTract.open("context.db", tract_id="planner")
    assert_type(await waiting, AsyncTract)
    async with AsyncTract.open() as tract:
        assert_type(tract, AsyncTract)
        assert_type(await tract.fork("aside"), AsyncTract)
    async with TractStore.open("agents.db") as store:
        assert_type(store.tract("planner"), AsyncTract)


async def committing(tract: AsyncTract, options: dict[str, Any], typed: CommitOptions) -> None:
    parameters: Parameters = {"model": "gpt-4o", "temperature": 0.7}
    plain = {"model": "gpt-4o", "temperature": 0.7}
    frozen: Mapping[str, str] = {"trace": "4bf92f"}
    assert_type(await tract.user("x", generation_config=parameters), CommitInfo)
    await tract.user("x", generation_config=plain, metadata=frozen)
    await tract.user("x", message="m", generation_config={"a": [1, {"b": None}]})
    await tract.user("x", **options)
    await tract.assistant("x", name="planner", **typed)
    await tract.commit({"content_type": "output", "text": "x"}, metadata={"a": 1})
    await tract.commit(DialogueContent(role="user", text="x"), operation="edit", edit_target="h")
    await tract.commit(Ticket(number=7), operation=CommitOperation.APPEND)
    await tract.annotate("h", "pinned")
    await tract.annotate("h", Priority.SKIP, reason="answered")


async def batching(tract: AsyncTract, contents: list[BaseModel]) -> None:
    async with tract.batch() as batch:
        assert_type(batch, Batch)
        draft = batch.commit({"content_type": "reasoning", "text": "x"}, generation_config={})
        assert_type(draft, StagedCommit)
        batch.commit(Ticket(number=8), operation="edit", edit_target=draft)
        batch.annotate(draft, "skip")
        for content in contents:
            batch.commit(content)


async def reading(tract: AsyncTract) -> None:
    assert_type(await tract.log(), list[CommitInfo])
    assert_type(await tract.log(None, contents=False), list[CommitInfo])
    assert_type(await tract.log(contents=True), list[tuple[CommitInfo, BaseModel]])
    assert_type(await tract.get_content("h"), BaseModel)
    assert_type(await tract.get_content("h", as_=DialogueContent), DialogueContent)
    assert_type((await tract.get_content("h", as_=Ticket)).number, int)
    assert_type(config("model") == "gpt-4o", Condition)
    await tract.query(config("model") != "o1", config(("stop", 1)) == "END")
    await tract.query_by_config(("logit_bias", "50256"), "<", 0)


async def talking_to_openai(tract: AsyncTract, client: openai.AsyncOpenAI) -> None:
    context = await tract.compile()
    parameters: Parameters = {"model": "gpt-4o", "temperature": 0.7}
    reply = await client.chat.completions.create(messages=context.to_openai(), **parameters)
    assert_type(reply, ChatCompletion)
    await tract.record_usage(reply.usage, head_hash=context.head_hash)
    for content in from_openai([reply.choices[0].message]):
        await tract.commit(content, generation_config=parameters)
    messages: list[ChatCompletionMessageParam] = to_openai(context.messages)
    from_openai(messages)
    from_openai([{"role": "user", "content": "Capital of Norway?"}])
    await tract.record_usage({"prompt_tokens": 120, "completion_tokens": 9})
    await tract.record_usage(None)


async def streaming_from_openai(
    tract: AsyncTract, response: AsyncStream[ChatCompletionChunk], options: RecordOptions
) -> None:
    interrupted: OnInterrupt = "discard"
    recording = tract.record_openai(response, on_interrupt=interrupted)
    assert_type(recording, Recording[ChatCompletionChunk])
    async for chunk in recording:
        assert_type(chunk, ChatCompletionChunk)
    tract.record_openai(response, **options)


async def talking_to_anthropic(tract: AsyncTract, client: anthropic.AsyncAnthropic) -> None:
    context = await tract.compile()
    answered = await client.messages.create(
        model="claude-sonnet-5-5", max_tokens=1024, **context.to_anthropic()
    )
    assert_type(answered, anthropic.types.Message)
    await tract.record_usage(answered.usage, head_hash=context.head_hash)
    arguments = to_anthropic(context.messages)
    assert_type(arguments.get("system"), str | None)
    async with client.messages.stream(
        model="claude-sonnet-5-5", max_tokens=1024, **arguments
    ) as events:
        async for event in tract.record_anthropic(events):
            print(event.type)


async def merging(tract: AsyncTract, way: OnConflict) -> None:
    assert_type(await tract.merge("x", on_conflict=way), MergeResult)
    await tract.merge("x", on_conflict="theirs")
    await tract.merge("x", on_conflict=_a_side)
    await tract.merge("x", on_conflict=_a_content_or_a_side)
    await tract.merge("x", on_conflict=lambda conflict: conflict.ours)
    await tract.merge("x", squash={"content_type": "output", "text": "done"})


async def _a_side(conflict: MergeConflict) -> Literal["ours", "theirs"]:
    return "ours" if conflict.base is None else "theirs"


async def _a_content_or_a_side(conflict: MergeConflict) -> DialogueContent | Literal["ours"]:
    return "ours" if conflict.kind == "priority" else DialogueContent(role="user", text="x")


async def watching(tract: AsyncTract) -> None:
    async for commit in tract.watch():
        print(commit.created_at, commit.content_type, commit.message)
    async with tract.watch(after="head") as commits:
        assert_type((await anext(commits)).parent_hash, str | None)
    assert_type(tract.watch(), Watch[CommitInfo])
    assert_type(tract.watch(resets=True), Watch[CommitInfo | BranchReset])
    async for item in tract.watch(resets=True):
        print(item.new_hash if isinstance(item, BranchReset) else item.commit_hash)
    await tract.log(None, order="context")


async def _make_room(tokens: int, most: int) -> None:
    print(tokens, most)


def configuring() -> None:
    budget = TokenBudgetConfig(max_tokens=5, action="reject")
    assert_type(budget.action, BudgetAction)
    TokenBudgetConfig(max_tokens=5, action=BudgetAction.CALLBACK, callback=_make_room)
    TractConfig(durability="full", token_budget=budget, type_to_role={"ticket": "user"})


def blocking(store: TractStore) -> None:
    """The twins have the types of what they are twins of."""
    tract = store.sync.tract("t")
    with tract.batch() as batch:
        assert_type(batch.commit(DialogueContent(role="user", text="a")), StagedCommit)
    assert_type(tract, SyncTract)
    assert_type(batch, SyncBatch)
    assert_type(tract.user("a", message="b"), CommitInfo)
    assert_type(tract.log(), list[CommitInfo])
    assert_type(tract.get_content("a", as_=DialogueContent), DialogueContent)
    for commit in tract.watch():
        assert_type(commit, CommitInfo)
