"""`TractConversationStore`: pydantic-ai keeps its conversations as branches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, ModelSettings
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryImage,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIResponsesModelSettings
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RequestUsage

from support.opening import COUNTER
from support.pictures import png
from tract import StoreClosedError, TractError, TractStore, config
from tract.integrations.pydantic_ai import TractConversationStore

pytestmark = pytest.mark.measured


@pytest.fixture
async def tracts(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


@pytest.fixture
async def store(tracts: TractStore) -> TractConversationStore:
    return await TractConversationStore.open(tracts)


def asked(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


def said(text: str) -> ModelMessage:
    return ModelResponse(parts=[TextPart(text)], model_name="a-model")


def conversation(*texts: str, id_: str = "c") -> Conversation:
    made = [said(text) if number % 2 else asked(text) for number, text in enumerate(texts)]
    return Conversation(messages=made, conversation_id=id_)


async def loaded(store: TractConversationStore, id_: str = "c") -> Conversation:
    found = await store.load(id_)
    assert found is not None
    return found


async def texts(store: TractConversationStore, id_: str = "c") -> list[Any]:
    parts: list[Any] = [part for each in (await loaded(store, id_)).messages for part in each.parts]
    return [part.content for part in parts]


async def shown(store: TractConversationStore, id_: str = "c") -> list[str | None]:
    context = await store.tract(id_).compile(aggregate_same_role=False)
    return [message.content for message in context.messages]


EVERYTHING: list[ModelMessage] = [
    ModelRequest(
        parts=[
            SystemPromptPart("Be terse."),
            UserPromptPart(
                [
                    "Look:",
                    ImageUrl("https://example.org/a.png"),
                    BinaryImage(png(3, 2), media_type="image/png"),
                ]
            ),
        ],
        instructions="Answer.",
        metadata={"raw": [1, None, {"$priority": "x"}]},
    ),
    ModelResponse(
        parts=[
            ThinkingPart("Hm.", signature="c2ln", provider_name="anthropic"),
            TextPart("Wait."),
            ToolCallPart("weather", {"zone": 1, "city": "Ōsaka"}, tool_call_id="call_1"),
            ToolCallPart("weather", '{"city" : "Oslo"}', tool_call_id="call_2"),
        ],
        usage=RequestUsage(input_tokens=11, output_tokens=7),
        model_name="a-model",
    ),
    ModelRequest(
        parts=[
            ToolReturnPart("weather", {"rain": 0.1, "at": [1]}, tool_call_id="call_1"),
            ToolReturnPart(
                "weather",
                ["seen", BinaryImage(png(3, 2), media_type="image/png")],
                tool_call_id="call_2",
                outcome="failed",
            ),
            UserPromptPart("And?"),
        ]
    ),
    ModelResponse(parts=[]),
    ModelRequest(parts=[]),
]


async def test_a_conversation_comes_back_as_it_was_saved(store: TractConversationStore) -> None:
    given = Conversation(messages=[*EVERYTHING], conversation_id="c")
    given.deferred_tool_requests = DeferredToolRequests(
        approvals=[ToolCallPart("pay", {"b": 1, "a": 2}, tool_call_id="call_3")],
        metadata={"call_3": {"why": "money"}},
    )
    given.usage.requests = 3
    saved = await store.save(given, scope="anna")
    found = await loaded(store)

    assert found == given
    assert [entry.message for entry in saved] == EVERYTHING
    assert await store.load_entries("c") == saved
    assert await store.load("c", scope="ben") is None
    for limit in (0, 1, 3, 100):
        some = await store.load("c", limit=limit)
        assert some is not None
        assert some.messages == (EVERYTHING[-limit:] if limit else [])


async def test_arguments_of_a_tool_call_keep_the_order_of_their_members(
    store: TractConversationStore,
) -> None:
    await store.save(Conversation(messages=[*EVERYTHING], conversation_id="c"))
    call = (await loaded(store)).messages[1].parts[2]

    assert isinstance(call, ToolCallPart)
    assert list(call.args_as_dict()) == ["zone", "city"]


async def test_the_branch_compiles_as_real_messages(store: TractConversationStore) -> None:
    await store.save(Conversation(messages=[*EVERYTHING[:3]], conversation_id="c"))
    context = await store.tract("c").compile()

    roles = [message.role for message in context.messages]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user"]
    sent = context.to_anthropic()["messages"]
    assert [block["type"] for block in sent[0]["content"]] == ["text", "image", "image"]
    assert sent[1]["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    assert sent[2]["content"][1]["is_error"] is True
    assert context.to_openai()[2]["tool_calls"][1]["function"]["arguments"] == '{"city" : "Oslo"}'
    assert context.messages[3].content == '{"rain":0.1,"at":[1]}'
    assert context.open_calls == []


async def test_thinking_goes_back_to_the_api_that_made_it(store: TractConversationStore) -> None:
    own: dict[str, Any] = {"id": "rs_1", "provider_name": "openai"}
    parts: list[Any] = [
        ThinkingPart("First.", signature="gAAA", **own),
        ThinkingPart("Then.", **own),
        ThinkingPart("", id="rs_2", signature="gBBB", provider_name="openai"),
        TextPart("So."),
    ]
    given = Conversation(conversation_id="c", messages=[asked("Why?"), ModelResponse(parts)])
    await store.save(given)
    context = await store.tract("c").compile()

    _, first, second, _ = context.to_responses()["input"]
    assert [each["text"] for each in first["summary"]] == ["First.", "Then."]
    assert (first["id"], first["encrypted_content"]) == ("rs_1", "gAAA")
    assert (second["id"], second["encrypted_content"]) == ("rs_2", "gBBB")
    assert second["summary"] == []
    assert context.losses == []
    assert (await loaded(store)).messages == given.messages
    context.to_anthropic()
    assert {loss.what for loss in context.losses} == {"thinking"}


async def test_what_has_no_form_elsewhere_is_named_as_lost(store: TractConversationStore) -> None:
    part: Any = {"part_kind": "something-new", "content": "later"}
    entry = '{"id":"e","parent_id":null,"message":{"kind":"response","parts":[%s]}}'
    tract = await loaded_tract(store)
    content = {"content_type": "pydantic_ai.entry", "entry": entry % str(part).replace("'", '"')}
    await tract.commit(content)
    context = await tract.compile()
    context.to_openai()

    assert [loss.what for loss in context.losses] == ["something-new"]


async def loaded_tract(store: TractConversationStore) -> Any:
    await store.load("c")
    return store.tract("c")


async def test_nothing_is_shared_with_callers(store: TractConversationStore) -> None:
    given: Any = conversation(*map(str, range(140)))
    await store.save(given)
    given.messages[0].parts[0].content = "changed"
    for _ in range(2):
        found: Any = await loaded(store)
        found.messages[0].parts[0].content = "changed"
        found.messages[1].parts = []
        record = await store.read_record("c")
        assert record is not None
        record.branches.append("x")

    assert await texts(store) == [*map(str, range(140))]
    record = await store.read_record("c")
    assert record is not None
    assert record.branches == []


async def test_a_save_that_another_overtook_raises_their_error_and_writes_nothing(
    store: TractConversationStore,
) -> None:
    await store.save(conversation("1", "2"))
    one, other = await loaded(store), await loaded(store)
    one.messages.append(asked("3"))
    other.messages.append(asked("three"))
    await store.save(one)
    head = await store.tract("c").head()

    with pytest.raises(ConversationConflict):
        await store.save(other)
    with pytest.raises(ConversationConflict):
        await store.save(conversation("new"))
    with pytest.raises(ConversationConflict):
        await store.delete_record("c", expected_revision="else")
    assert await store.tract("c").head() == head


async def test_of_many_saves_at_once_one_lands(store: TractConversationStore) -> None:
    await store.save(conversation("1", "2"))
    copies = [await loaded(store) for _ in range(8)]
    for number, each in enumerate(copies):
        each.messages.append(asked(str(number)))
    done = await asyncio.gather(*map(store.save, copies), return_exceptions=True)

    assert sorted(type(each).__name__ for each in done) == ["ConversationConflict"] * 7 + ["list"]
    assert len(await texts(store)) == 3


async def test_entries_that_are_no_chain_are_refused(store: TractConversationStore) -> None:
    one = ConversationEntry(id="1", parent_id=None, message=asked("1"))
    two = ConversationEntry(id="2", parent_id=None, message=asked("2"))
    record = ConversationRecord(conversation_id="c", head_id="2")

    for entries in ([one, two], [one]):
        with pytest.raises(UserError):
            await store.write_record(record, new_entries=entries, expected_revision=None)
    assert await store.read_record("c") is None


async def test_a_conversation_can_go_back_and_return_to_what_it_left(
    store: TractConversationStore,
) -> None:
    saved = conversation("1", "2", "3", "4")
    await store.save(saved)
    back = await store.branch("c", at=2, expected_revision=saved.revision)
    back.messages += [asked("other")]
    await store.save(back)

    assert await texts(store) == await shown(store) == ["1", "2", "other"]
    record = await store.read_record("c")
    assert record is not None
    names = [branch.name for branch in await store.tract("c").branches()]
    assert names == ["conversation/c", f"left/c/{record.branches[0]}", "main"]
    left = await store.tract("c").compile(at_commit=names[1], aggregate_same_role=False)
    assert [message.content for message in left.messages] == ["1", "2", "3", "4"]

    await store.branch("c", from_entry=record.branches[0], expected_revision=back.revision)
    assert await texts(store) == await shown(store) == ["1", "2", "3", "4"]
    nothing = await store.branch("c", at=0, expected_revision=(await loaded(store)).revision)
    assert await texts(store) == await shown(store) == []
    nothing.messages.append(asked("anew"))
    await store.save(nothing)
    assert await texts(store) == ["anew"]


async def test_a_fork_costs_two_rows_and_shares_its_entries(store: TractConversationStore) -> None:
    saved = conversation(*map(str, range(40)))
    await store.save(saved)
    before = (await store.tract("c").info()).commits  # type: ignore[union-attr]
    fork = await store.fork("c", at=30, new_conversation_id="f")
    after = (await store.tract("c").info()).commits  # type: ignore[union-attr]
    fork.messages.append(asked("else"))
    await store.save(fork)

    assert after - before == 2  # the fork's record, and one commit of the journal
    assert await texts(store, "f") == [*map(str, range(30)), "else"]
    assert len(await texts(store)) == 40
    with pytest.raises(ConversationConflict):
        await store.fork("c", new_conversation_id="f")


async def test_deleting_erases_what_no_other_conversation_has(
    store: TractConversationStore,
) -> None:
    saved = conversation("shared", "answer")
    await store.save(saved, scope="anna")
    saved.messages += [asked("more"), said("secret")]
    await store.save(saved)
    entries = await store.load_entries("c") or []
    back = await store.branch("c", at=3, expected_revision=saved.revision)
    await store.save(back)
    await store.fork("c", at=3, new_conversation_id="f", scope="ben")
    tract = store.tract("c")
    await store.delete("c")

    assert await store.load("c") is None
    assert await texts(store, "f") == ["shared", "answer", "more"]
    assert [record.conversation_id for record in await store.list_conversations()] == ["f"]
    with pytest.raises(LookupError):
        await store.read_entry(entries[3].id)
    with pytest.raises(LookupError):
        await store.read_history(entries[3].id)
    assert [branch.name for branch in await tract.branches()] == ["conversation/f", "main"]
    kept = [str(content) for _, content in await tract.query(contents=True)]
    assert not [text for text in kept if "secret" in text or "anna" in text]
    assert (await tract.verify()).faults == ()

    await store.save(conversation("again"))
    assert await texts(store) == ["again"]


async def test_an_erased_message_is_left_out_and_the_conversation_goes_on(
    store: TractConversationStore, tracts: TractStore
) -> None:
    saved = conversation("1", "2", "3")
    entries = await store.save(saved)
    tract = store.tract("c")
    for entry in (entries[0], entries[2]):
        key = f"entry/{entry.id}"
        named = (await tract.get_by_keys([key]))[key]
        await tract.erase([named.commit_hash], reason="asked")

    again = TractConversationStore(tracts)
    for each in (store, again):
        assert await texts(each) == ["2"]
    found = await loaded(again)
    found.messages.append(asked("4"))
    await again.save(found)
    assert await texts(store) == ["2", "4"]


async def test_what_others_skip_or_edit_or_commit_is_loaded_so(
    store: TractConversationStore,
) -> None:
    entries = await store.save(conversation("1", "2", "3", "4"))
    tract = store.tract("c")
    keys = [f"entry/{entry.id}" for entry in entries]
    named = {key: info.commit_hash for key, info in (await tract.get_by_keys(keys)).items()}
    await tract.annotate(named[keys[1]], "skip")
    await tract.user("five", operation="edit", edit_target=named[keys[2]])
    await tract.tools([{"name": "t", "input_schema": {}}])
    await tract.assistant("6")

    assert await texts(store) == ["1", "five", "4", "6"]
    found = await loaded(store)
    found.messages.append(asked("7"))
    await store.save(found)
    assert await texts(store) == await shown(store) == ["1", "five", "4", "6", "7"]
    [last] = (await store.load_entries("c", limit=2) or [])[:1]
    assert (await store.read_entry(last.id)).message.parts == last.message.parts
    assert len((await store.fork("c", from_entry=last.id)).messages) == 4


async def test_a_branch_that_was_forked_by_hand_is_a_conversation(
    store: TractConversationStore,
) -> None:
    await store.save(conversation("1", "2"))
    await store.tract("c").fork("conversation/other")
    found = await loaded(store, "other")
    found.messages.append(asked("3"))
    await store.save(found)

    assert await texts(store, "other") == ["1", "2", "3"]
    assert await texts(store) == ["1", "2"]
    record = await store.read_record("other")
    assert record is not None
    assert record.forked_from == "c"


@pytest.mark.parametrize("id_", ["", "main", "a/b", "../é\x00", "HEAD", "x" * 300, "a:b", "%"])
async def test_any_text_is_an_id(tracts: TractStore, id_: str) -> None:
    store = TractConversationStore(tracts)
    saved = conversation("1", "2", id_=id_)
    await store.save(saved, scope=id_)
    await store.save(conversation("else", id_=f"{id_}."))
    await store.branch(id_, at=1, expected_revision=saved.revision)

    assert await texts(store, id_) == ["1"]
    [record] = await store.list_conversations(scope=id_)
    assert record.conversation_id == id_
    await store.delete(id_)
    assert await store.load(id_) is None
    assert await texts(store, f"{id_}.") == ["else"]


async def test_listing_is_by_time_of_saving_and_by_scope(store: TractConversationStore) -> None:
    for number in range(4):
        scope = "anna" if number % 2 else None
        await store.save(conversation("1", id_=str(number)), scope=scope)
    await store.save(await loaded(store, "1"))

    async def ids(**asked: Any) -> list[str]:
        return [each.conversation_id for each in await store.list_conversations(**asked)]

    assert await ids() == ["1", "3", "2", "0"]
    assert await ids(limit=2) == ["1", "3"]
    assert await ids(limit=0) == []
    assert await ids(scope="anna", limit=1) == ["1"]
    assert await ids(scope="nobody") == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_responses_say_what_they_were_made_with(
    store: TractConversationStore, streamed: bool
) -> None:
    agent = Agent(TestModel(), name="helper", capabilities=[store.capability])

    @agent.tool_plain
    def weather(city: str) -> str:
        return "rain"

    settings = ModelSettings(temperature=0.5, extra_headers={"authorization": "secret"})
    given = Conversation(conversation_id="c")
    if streamed:
        async with agent.run_stream("Hi", conversation=given, model_settings=settings) as run:
            await run.get_output()
            messages = run.all_messages()
        await store.save(Conversation(conversation_id="c", messages=messages))
    else:
        await store.save(await agent.run("Hi", conversation=given, model_settings=settings))

    made = await store.tract("c").query(config("temperature") == 0.5)
    assert len(made) == 2
    for each in made:
        wanted = {"model": "test", "provider": "test", "temperature": 0.5, "tools": ["weather"]}
        assert each.generation_config == wanted
        assert each.metadata is not None
        assert each.metadata["agent"] == "helper"
        context = await store.tract("c").compile(at_commit=each.parent_hash)
        assert context.token_source.startswith("api:")
    asked_ = await store.tract("c").get_commit(str(made[0].parent_hash))
    assert asked_ is not None
    assert asked_.generation_config is None


async def test_secrets_in_settings_are_not_recorded_however_deep_they_are(
    store: TractConversationStore,
) -> None:
    remote: Any = {"type": "mcp", "authorization": "SECRET", "headers": {"X-Key": "SECRET"}}
    settings = OpenAIResponsesModelSettings(max_tokens=9, openai_native_tools=[remote])
    given = Conversation(conversation_id="c")
    agent = Agent(TestModel(), capabilities=[store.capability])
    await store.save(await agent.run("Hi", conversation=given, model_settings=settings))

    [made] = await store.tract("c").query(config("max_tokens") == 9)
    assert made.generation_config is not None
    [kept] = made.generation_config["openai_native_tools"]
    assert kept == {"type": "mcp", "authorization": "[redacted]"}


async def test_agents_that_run_at_once_record_their_own_settings(
    store: TractConversationStore,
) -> None:
    agent = Agent(TestModel(), capabilities=[store.capability])

    async def run(number: int) -> None:
        given = Conversation(conversation_id=str(number))
        settings = ModelSettings(max_tokens=number)
        await store.save(await agent.run("Hi", conversation=given, model_settings=settings))

    await asyncio.gather(*(run(number) for number in range(1, 9)))

    for number in range(1, 9):
        tract = store.tract(str(number))
        made = await tract.query(config("max_tokens") > 0, branch_only=True)
        assert [(each.generation_config or {})["max_tokens"] for each in made] == [number]


async def test_a_response_without_the_capability_says_its_model(
    store: TractConversationStore,
) -> None:
    await store.save(conversation("1", "2"))

    assert len(await store.tract("c").query(config("model") == "a-model")) == 1


async def test_a_run_that_pauses_for_an_approval_goes_on_in_another_process(
    target: str,
) -> None:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("pay", {"sum": 3}, tool_call_id="call_1")])
        return ModelResponse(parts=[TextPart("Paid.")])

    def agent() -> Agent[None, Any]:
        made: Agent[None, Any] = Agent(
            FunctionModel(answer), output_type=[str, DeferredToolRequests]
        )
        made.tool_plain(requires_approval=True)(pay)
        return made

    def pay(sum: int) -> str:
        return f"{sum} paid"

    async with TractConversationStore.open(target) as store:
        result = await agent().run("Pay.", conversation=Conversation(conversation_id="c"))
        await store.save(result)
    async with TractConversationStore.open(target) as store:
        paused = await loaded(store)
        assert paused.deferred_tool_requests is not None
        results = paused.deferred_tool_requests.build_results(approve_all=True)
        result = await agent().run(conversation=paused, deferred_tool_results=results)
        await store.save(result)

        assert result.output == "Paid."
        assert (await loaded(store)).deferred_tool_requests is None
        assert (await shown(store))[-2:] == ["3 paid", "Paid."]


async def test_a_cancelled_save_is_whole_or_nothing(store: TractConversationStore) -> None:
    await store.save(conversation("1", "2"))
    for turns in range(12):
        found = await loaded(store)
        size, before = len(found.messages), found.revision
        found.messages += [asked("a"), said("b")]
        saving = asyncio.ensure_future(store.save(found))
        for _ in range(turns):
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)

        now = await loaded(store)
        assert len(now.messages) == (size if now.revision == before else size + 2)
    assert (await store.tract("c").verify()).faults == ()


async def test_a_path_is_opened_at_the_first_use_and_closed_with_the_store(
    tmp_path: Path,
) -> None:
    store = TractConversationStore(tmp_path / "agents.db")
    with pytest.raises(TractError, match="not open"):
        store.tract("c")
    ids = [str(number) for number in range(4)]
    await asyncio.gather(*(store.save(conversation("1", id_=each)) for each in ids))
    await store.aclose()
    await store.aclose()

    with pytest.raises(StoreClosedError):
        await store.load("c")
    async with TractConversationStore.open(tmp_path / "agents.db") as again:
        assert len(await again.list_conversations()) == 4


def test_a_store_can_be_used_from_one_loop_after_another(tmp_path: Path) -> None:
    store = TractConversationStore(tmp_path / "agents.db")
    asyncio.run(store.save(conversation("1", "2")))

    assert asyncio.run(texts(store)) == ["1", "2"]
    asyncio.run(store.aclose())


async def test_conversations_of_another_tract_are_apart(tracts: TractStore) -> None:
    one, other = (TractConversationStore(tracts, tract_id=each) for each in ("a", "b"))
    await one.save(conversation("1"))

    assert await other.load("c") is None
    assert await other.list_conversations() == []
    await other.save(conversation("2"))
    assert await texts(one) == ["1"]


async def test_conversations_with_the_same_newest_entry_keep_their_own_contexts(
    store: TractConversationStore,
) -> None:
    entries = await store.save(conversation("1", "2"))
    await store.fork("c", new_conversation_id="f")
    key = f"entry/{entries[0].id}"
    named = (await store.tract("f").get_by_keys([key]))[key]
    await store.tract("f").annotate(named.commit_hash, "skip")

    for _ in range(3):
        read = await asyncio.gather(*(texts(store, id_) for id_ in "cfcf"))
        assert read == [["1", "2"], ["2"], ["1", "2"], ["2"]]


async def test_a_history_that_was_deleted_after_its_record_was_read_is_not_taken_for_empty(
    store: TractConversationStore, tracts: TractStore
) -> None:
    other = TractConversationStore(tracts)
    await store.save(conversation("1", "2"))
    record = await store.read_record("c")
    assert record is not None
    await asyncio.create_task(other.delete("c"))

    with pytest.raises(LookupError):
        await store.read_history(record.head_id)
    assert await store.load("c") is None


async def test_a_history_that_was_erased_with_all_after_its_record_was_read_is_not_found(
    store: TractConversationStore, tracts: TractStore
) -> None:
    await store.save(conversation("Hello", "Hi."))
    record = await store.read_record("c")
    await tracts.erase_tract("conversations", reason="asked")

    assert record is not None
    assert record.head_id is not None
    with pytest.raises(LookupError):
        await store.read_history(record.head_id)
    with pytest.raises(LookupError):
        await store.read_entry(record.head_id)


async def test_everybody_can_be_erased_while_conversations_are_read_and_saved(
    store: TractConversationStore, tracts: TractStore
) -> None:
    done = asyncio.Event()

    async def save() -> None:
        while not done.is_set():
            given = await store.load("c") or Conversation(conversation_id="c")
            given.messages.append(asked("Hello"))
            with suppress(ConversationConflict):
                await store.save(given)

    async def read() -> None:
        while not done.is_set():
            await store.list_conversations()
            await store.load_entries("c")

    others = [asyncio.create_task(each()) for each in (save, read, read)]
    for _ in range(5):
        await asyncio.sleep(0.05)
        await tracts.erase_tract("conversations", reason="asked")
    done.set()
    await asyncio.gather(*others)

    assert (await store.tract("c").verify()).faults == ()


async def test_a_conversation_may_begin_with_a_response(store: TractConversationStore) -> None:
    usage = RequestUsage(input_tokens=11, output_tokens=7)
    given = Conversation(
        conversation_id="c", messages=[ModelResponse([TextPart("1")], usage=usage)]
    )
    await store.save(given)
    back = await store.branch("c", at=0, expected_revision=given.revision)
    back.messages += [ModelResponse([TextPart("2")], usage=usage)]
    await store.save(back)

    assert await texts(store) == ["2"]


async def test_what_others_committed_is_not_erased_with_a_conversation(
    store: TractConversationStore,
) -> None:
    for id_ in "ab":
        await store.save(conversation("1", id_=id_))
        await store.tract(id_).user("the same")
    await store.delete("a")

    assert await texts(store, "b") == ["1", "the same"]


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "response", "parts": [{"part_kind": "tool-call", "name": "renamed"}]},
        {"kind": "response", "parts": [{"part_kind": "file", "content": None}]},
        {"kind": "request", "parts": [{"part_kind": "tool-return", "result": 1}]},
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": [{"kind": 1}]}]},
        {"kind": "request", "parts": [{"part_kind": "new", "type": None}]},
        {"kind": "new"},
    ],
)
async def test_a_form_that_is_not_known_yet_does_not_keep_a_context_from_compiling(
    store: TractConversationStore, message: dict[str, Any]
) -> None:
    tract = await loaded_tract(store)
    entry = json.dumps({"id": "e", "parent_id": None, "message": message})
    await tract.commit({"content_type": "pydantic_ai.entry", "entry": entry})
    context = await tract.compile()

    assert len(context.messages) == 1
    for write in (context.to_openai, context.to_anthropic, context.to_google, context.to_responses):
        write(open_calls="drop")


async def test_numbers_that_json_lacks_and_characters_that_databases_lack_are_kept(
    store: TractConversationStore,
) -> None:
    value = {"nan": float("nan"), "inf": float("inf"), "big": 10**30, "nul": "a\0b"}
    part = ToolReturnPart("t", value, tool_call_id="1", metadata=value)
    await store.save(Conversation(conversation_id="c", messages=[ModelRequest([part])]))
    [found] = (await loaded(store)).messages[0].parts

    assert isinstance(found, ToolReturnPart)
    assert repr(found.content) == repr(found.metadata) == repr(value)
