"""`TractConversationStore` does what pydantic-ai's own store does, whatever is asked of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationRecord
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryImage,
    CachePoint,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UploadedFile,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from pydantic_ai.ui.vercel_ai.request_types import SubmitMessage, TextUIPart, UIMessage
from pydantic_ai.usage import RequestUsage, RunUsage

from support.conversations import Twins
from support.opening import COUNTER
from tract import TractStore
from tract.integrations.pydantic_ai import TractConversationStore

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
IDS = st.text("abcdef0123456789", min_size=1, max_size=8)
USER = st.one_of(
    TEXTS,
    st.builds(TextContent, TEXTS, metadata=OBJECTS),
    st.builds(ImageUrl, st.just("https://example.org/a.png")),
    st.builds(DocumentUrl, st.just("https://example.org/a"), media_type=st.just("text/plain")),
    st.builds(BinaryImage, data=st.binary(max_size=20), media_type=st.just("image/png")),
    st.builds(UploadedFile, TEXTS, st.just("openai"), media_type=st.just("image/png")),
    st.builds(CachePoint),
)
TOLD: st.SearchStrategy[Any] = st.one_of(
    st.builds(SystemPromptPart, TEXTS, timestamp=TIMES, dynamic_ref=st.none() | TEXTS),
    st.builds(UserPromptPart, TEXTS | st.lists(USER, max_size=3), timestamp=TIMES),
    st.builds(
        ToolReturnPart,
        TEXTS,
        VALUES,
        tool_call_id=IDS,
        metadata=VALUES,
        timestamp=TIMES,
        outcome=st.sampled_from(["success", "failed", "denied"]),
    ),
)
PROVIDER: dict[str, Any] = {"provider_name": st.just("openai"), "provider_details": OBJECTS}
SAID: st.SearchStrategy[Any] = st.one_of(
    st.builds(TextPart, TEXTS, id=st.none() | IDS, **PROVIDER),
    st.builds(ThinkingPart, TEXTS, signature=st.none() | TEXTS, **PROVIDER),
    st.builds(ToolCallPart, TEXTS, TEXTS | OBJECTS | st.none(), tool_call_id=IDS),
    st.builds(NativeToolCallPart, TEXTS, OBJECTS, tool_call_id=IDS, **PROVIDER),
    st.builds(NativeToolReturnPart, TEXTS, OBJECTS, tool_call_id=IDS, timestamp=TIMES),
    st.builds(
        FilePart,
        st.builds(BinaryImage, data=st.binary(max_size=20), media_type=st.just("image/png")),
    ),
)
MESSAGES: st.SearchStrategy[ModelMessage] = st.one_of(
    st.builds(
        ModelRequest,
        st.lists(TOLD, max_size=3),
        timestamp=st.none() | TIMES,
        instructions=st.none() | TEXTS,
        metadata=st.none() | OBJECTS,
        run_id=st.none() | IDS,
    ),
    st.builds(
        ModelResponse,
        st.lists(SAID, max_size=3),
        usage=st.builds(RequestUsage, input_tokens=st.integers(0, 99)),
        model_name=st.none() | TEXTS,
        timestamp=TIMES,
        provider_response_id=st.none() | TEXTS,
        finish_reason=st.sampled_from([None, "stop"]),
        metadata=st.none() | OBJECTS,
        state=st.sampled_from(["complete", "interrupted"]),
    ),
)
CONVERSATIONS = st.sampled_from(["a", "b", "c/d"])
SCOPES = st.sampled_from([None, "anna", "ben"])
SIZES = st.integers(0, 6)
STEPS = st.one_of(
    st.tuples(st.just("extend"), CONVERSATIONS, st.lists(MESSAGES, max_size=3), SCOPES),
    st.tuples(st.just("rewrite"), CONVERSATIONS, SIZES, st.lists(MESSAGES, max_size=2)),
    st.tuples(st.just("stale"), CONVERSATIONS, st.lists(MESSAGES, max_size=1)),
    st.tuples(st.just("window"), CONVERSATIONS, SIZES, st.lists(MESSAGES, max_size=2)),
    st.tuples(st.just("branch"), CONVERSATIONS, SIZES),
    st.tuples(st.just("return"), CONVERSATIONS, SIZES),
    st.tuples(st.just("fork"), CONVERSATIONS, SIZES, CONVERSATIONS, SCOPES),
    st.tuples(st.just("delete"), CONVERSATIONS, SCOPES),
)


class Driver:
    """Does steps as an application would."""

    def __init__(self, store: Twins) -> None:
        self.store = store

    async def extend(self, id_: str, messages: list[ModelMessage], scope: str | None) -> None:
        found = await self.store.load(id_) or Conversation(conversation_id=id_)
        found.messages += messages
        found.usage.incr(RunUsage(requests=1))
        call = ToolCallPart("pay", {"sum": 1}, tool_call_id="call_1")
        found.deferred_tool_requests = DeferredToolRequests(calls=[call] * len(messages))
        await self.store.save(found, scope=scope)

    async def rewrite(self, id_: str, size: int, messages: list[ModelMessage]) -> None:
        found = await self.store.load(id_) or Conversation(conversation_id=id_)
        kept = [*found.messages[:size], *messages]
        given = Conversation(conversation_id=id_, messages=kept, revision=found.revision)
        await self.store.save(given)

    async def stale(self, id_: str, messages: list[ModelMessage]) -> None:
        await self.store.save(Conversation(conversation_id=id_, messages=messages, revision="x"))

    async def window(self, id_: str, size: int, messages: list[ModelMessage]) -> None:
        found = await self.store.load(id_, limit=size) or Conversation(conversation_id=id_)
        found.messages += messages
        await self.store.save(found)

    async def branch(self, id_: str, size: int) -> None:
        found = await self.store.load(id_) or Conversation(conversation_id=id_)
        await self.store.branch(id_, at=size, expected_revision=found.revision)

    async def return_(self, id_: str, number: int) -> None:
        record = await self.store.read_record(id_)
        if record is not None and record.branches:
            entry_id = record.branches[number % len(record.branches)]
            await self.store.branch(id_, from_entry=entry_id, expected_revision=record.revision)

    async def fork(self, id_: str, size: int, new: str, scope: str | None) -> None:
        await self.store.fork(id_, at=size, new_conversation_id=new, scope=scope)

    async def delete(self, id_: str, scope: str | None) -> None:
        await self.store.delete(id_, scope=scope)


async def run(steps: Sequence[tuple[Any, ...]]) -> None:
    async with TractStore.open(tokenizer=COUNTER) as tracts:
        twins = Twins(await TractConversationStore.open(tracts))
        for name, *arguments in steps:
            step = getattr(Driver(twins), {"return": "return_"}.get(name, name))
            with suppress(UserError):  # both raised it
                await step(*arguments)
        await look_at(twins)
        again = Twins(await TractConversationStore.open(tracts))
        again.theirs = twins.theirs
        await look_at(again)
        assert (await tracts.tract("conversations").verify()).faults == ()


async def look_at(twins: Twins) -> None:
    for scope in (None, "anna"):
        await twins.list_conversations(scope=scope, limit=2)
    for record in await twins.list_conversations():
        await twins.load(record.conversation_id, limit=2)
        for tip in [record.head_id, *record.branches]:
            for entry in await twins.read_history(tip):
                await twins.read_entry(entry.id)
    tract = twins.ours.tract("a")  # type: ignore[attr-defined]
    for branch in await tract.branches():
        context = await tract.compile(at_commit=branch.name)
        for api in ("to_openai", "to_responses", "to_anthropic", "to_google"):
            getattr(context, api)(open_calls="drop")


@settings(max_examples=25)
@given(st.lists(STEPS, min_size=4, max_size=12))
def test_it_does_what_the_frameworks_own_store_does(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(run(steps))


@pytest.mark.long
@settings(max_examples=400)
@given(st.lists(STEPS, max_size=40))
def test_it_does_so_for_long(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(run(steps))


async def test_records_that_an_application_writes_itself_are_kept(target: str) -> None:
    async with TractConversationStore.open(target) as ours:
        twins = Twins(ours)
        record = ConversationRecord(conversation_id="c", head_id=None, branches=["gone", "gone"])
        await twins.write_record(record, expected_revision=None)
        record.head_id = "missing"
        with pytest.raises(UserError):
            await twins.write_record(record, expected_revision=record.revision)
        with pytest.raises(LookupError):
            await twins.read_history("missing")
        with pytest.raises(LookupError):
            await twins.read_entry("e" * 64)

        assert await twins.read_history(None) == []
        await twins.delete("c")
        assert await twins.read_record("c") is None


def weather(city: str) -> str:
    return f"rain in {city}"


async def test_runs_of_an_agent_are_kept_as_the_frameworks_own_store_keeps_them(
    target: str,
) -> None:
    async with TractConversationStore.open(target) as ours:
        twins, agent = Twins(ours), Agent(TestModel(), capabilities=[ours.capability])
        agent.tool_plain(weather)
        conversation = Conversation(conversation_id="c")
        for text in ("Hi", "And?", "So?"):
            result = await agent.run(text, conversation=conversation)
            await twins.save(result)
            conversation = await twins.load("c") or conversation

        assert len(conversation.messages) == 8


@pytest.mark.skipif(
    "conversation_store" not in inspect.signature(VercelAIAdapter).parameters,
    reason="frontends take a store from a later release on",
)
async def test_a_frontend_gets_the_same_of_both(target: str) -> None:
    async with TractConversationStore.open(target) as ours:
        twins, agent = Twins(ours), Agent(TestModel())
        saved: list[str] = []
        for number in range(3):
            said = UIMessage(id=f"m{number}", role="user", parts=[TextUIPart(text="Hi")])
            run = SubmitMessage(id="c", trigger="submit-message", messages=[said])
            adapter: VercelAIAdapter[None, Any] = VercelAIAdapter(
                agent=agent, run_input=run, conversation_store=twins, conversation_scope="anna"
            )
            saved += [str(event) async for event in adapter.run_stream() if "saved" in str(event)]

        assert len(saved) == 3
        found = await twins.load("c", scope="anna")
        assert found is not None
        assert len(found.messages) == 6
