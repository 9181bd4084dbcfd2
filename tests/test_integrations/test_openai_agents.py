"""`TractSession`: the OpenAI Agents SDK keeps its items as commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from agents import (
    Agent,
    ModelSettings,
    RunConfig,
    Runner,
    Session,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from agents.memory import OpenAIResponsesCompactionSession, SessionSettings

from support.agents import ITEMS, Answering, called, said
from support.opening import COUNTER
from tract import StoreClosedError, TractError, TractStore, config
from tract.integrations.openai_agents import RecordingModel, TractSession

set_tracing_disabled(True)


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


async def texts(session: TractSession) -> list[Any]:
    items: list[Any] = await session.get_items()
    return [item["content"] for item in items]


async def test_items_come_back_as_they_were_added(store: TractStore) -> None:
    session = TractSession("s", store)

    assert await session.get_items() == []
    await session.add_items([])
    await session.add_items(ITEMS[:3])
    await session.add_items(ITEMS[3:])

    assert await session.get_items() == ITEMS
    for limit in (0, 1, 3, 100):
        assert await session.get_items(limit) == (ITEMS[-limit:] if limit else [])


async def test_a_session_of_another_id_has_items_of_its_own(store: TractStore) -> None:
    one, other = TractSession("user:1", store), TractSession("user:2", store)
    await one.add_items(ITEMS[:1])

    assert await other.get_items() == []
    assert await other.pop_item() is None
    await other.clear_session()
    assert await one.get_items() == ITEMS[:1]


async def test_a_limit_of_the_settings_is_kept(store: TractStore) -> None:
    session = TractSession("s", store, session_settings=SessionSettings(limit=2))
    await session.add_items(ITEMS)

    assert await session.get_items() == ITEMS[-2:]
    assert await session.get_items(3) == ITEMS[-3:]


async def test_what_is_popped_is_the_newest_item_and_stays_in_the_history(
    store: TractStore,
) -> None:
    session = TractSession("s", store)
    await session.add_items(ITEMS)

    assert [await session.pop_item() for _ in ITEMS] == ITEMS[::-1]
    assert await session.pop_item() is None
    assert await session.get_items() == []
    assert len(await session.tract.entries(include_skipped=True)) == len(ITEMS)


async def test_pops_at_once_each_get_an_item_of_their_own(store: TractStore) -> None:
    sessions = [TractSession("s", store) for _ in range(4)]
    await sessions[0].add_items(ITEMS)

    popped = await asyncio.gather(*(each.pop_item() for each in sessions))

    assert sorted(popped, key=ITEMS.index) == ITEMS[4:]
    assert await sessions[0].get_items() == ITEMS[:4]


async def test_a_cleared_session_is_empty_and_its_commits_stay(store: TractStore) -> None:
    session = TractSession("s", store)
    await session.add_items(ITEMS)
    head = await session.tract.head()
    await session.clear_session()

    assert await session.get_items() == []
    await session.add_items(ITEMS[:1])
    assert await session.get_items() == ITEMS[:1]
    assert (await session.tract.compile(at_commit=head)).commit_count == len(ITEMS)


async def test_sessions_on_two_branches_of_one_tract_share_its_beginning(store: TractStore) -> None:
    session = TractSession("s", store)
    await session.add_items(ITEMS[:2])
    await session.tract.fork("try")
    other = TractSession("s", store, branch="try")
    await other.add_items(ITEMS[5:6])

    assert await session.get_items() == ITEMS[:2]
    assert await other.get_items() == [*ITEMS[:2], *ITEMS[5:6]]


async def test_what_others_committed_is_translated(store: TractStore) -> None:
    session = TractSession("s", store)
    tract = await session.open()
    await tract.user("hello")
    await tract.commit(
        {
            "content_type": "native",
            "api": "anthropic.messages",
            "item": {"role": "user", "content": "again"},
        }
    )

    assert await texts(session) == ["hello", "again"]
    assert await session.pop_item() == {"role": "user", "content": "again"}
    assert await texts(session) == ["hello"]


async def test_tools_that_others_set_are_no_items(store: TractStore) -> None:
    session = TractSession("s", store)
    await session.add_items(ITEMS[:2])
    for name in ("one", "two"):
        await session.tract.tools([{"name": name, "input_schema": {}}])

    assert await session.get_items() == ITEMS[:2]
    assert await session.get_items(1) == ITEMS[1:2]
    assert [await session.pop_item() for _ in range(3)] == [ITEMS[1], ITEMS[0], None]
    assert [tool["name"] for tool in (await session.tract.compile()).tools] == ["two"]


async def test_a_pop_takes_one_item_of_an_entry_that_is_several(store: TractStore) -> None:
    session = TractSession("s", store)
    tract = await session.open()
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    item = {"role": "assistant", "content": "Wait.", "tool_calls": [call]}
    await tract.commit({"content_type": "native", "api": "openai.chat", "item": item})
    before: list[Any] = await session.get_items()

    assert len(before) == 2
    assert await session.pop_item() == before[1]
    assert await session.get_items() == before[:1]


async def test_a_path_is_opened_at_the_first_use_and_closed_with_the_session(
    tmp_path: Path,
) -> None:
    session = TractSession("s", tmp_path / "agents.db")
    with pytest.raises(TractError, match=r"open\(\)"):
        _ = session.tract
    await asyncio.gather(*(session.add_items([item]) for item in ITEMS[:4]))
    await session.aclose()
    await session.aclose()

    with pytest.raises(StoreClosedError):
        await session.get_items()
    async with TractSession("s", str(tmp_path / "agents.db")) as again:
        assert len(await again.get_items()) == 4


async def test_a_store_that_was_given_stays_open(store: TractStore) -> None:
    async with TractSession("s", store) as session:
        await session.add_items(ITEMS[:1])

    assert await store.tract_ids() == ["s"]


def test_a_session_can_be_used_from_one_loop_after_another(tmp_path: Path) -> None:
    session = TractSession("s", tmp_path / "agents.db")
    agent = Agent("helper", model=Answering([said("one")], [said("two")]))

    with closing(asyncio.new_event_loop()) as loop:  # the SDK would leave one of its own open
        asyncio.set_event_loop(loop)
        Runner.run_sync(agent, "first", session=session)
        asyncio.set_event_loop(None)
    asyncio.run(Runner.run(agent, "second", session=session))

    items = asyncio.run(session.get_items())
    assert len(items) == 4
    asyncio.run(session.aclose())


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_with_tools_keeps_the_items_that_the_sdks_own_session_keeps(
    store: TractStore, streamed: bool
) -> None:
    @function_tool
    def weather(city: str) -> str:
        return f"rain in {city}"

    kept: list[tuple[list[Any], int]] = []
    sessions: list[Session] = [TractSession("s", store), SQLiteSession("s")]
    for session in sessions:
        model = Answering([called("weather", '{"city": "Oslo"}')], [said("Rain.")], [said("Yes.")])
        agent = Agent("helper", model=model, tools=[weather])
        for text in ("How is it in Oslo?", "Really?"):
            if streamed:
                result = Runner.run_streamed(agent, text, session=session)
                async for _ in result.stream_events():
                    pass
            else:
                await Runner.run(agent, text, session=session)
        kept.append((await session.get_items(), len(model.inputs)))

    assert [(len(items), calls) for items, calls in kept] == [(6, 3), (6, 3)]
    ours, theirs = [
        [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in items]
        for items, _ in kept
    ]
    assert ours == theirs


async def test_items_of_a_model_say_which_agent_model_and_settings_made_them(
    store: TractStore,
) -> None:
    session = TractSession("s", store)
    agent = Agent(
        "helper", model=Answering([said("Hi.")]), model_settings=ModelSettings(temperature=0.5)
    )
    await Runner.run(agent, "hello", session=session, hooks=session.hooks)

    [made] = await session.tract.query(config("temperature") == 0.5)
    assert made.generation_config == {"model": "a-model", "temperature": 0.5}
    assert made.metadata is not None
    assert made.metadata["agent"] == "helper"
    [asked, _] = await session.tract.entries()
    assert (asked.generation_config, asked.metadata) == ({}, None)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_recording_model_sees_what_a_run_overrides(
    store: TractStore, streamed: bool
) -> None:
    session = TractSession("s", store)
    model = RecordingModel(Answering([said("Hi.")]), session)
    agent = Agent("helper", model=model, model_settings=ModelSettings(temperature=0.5))
    run: dict[str, Any] = {
        "session": session,
        "hooks": session.hooks,
        "run_config": RunConfig(model_settings=ModelSettings(temperature=0.9)),
    }
    if streamed:
        async for _ in Runner.run_streamed(agent, "hello", **run).stream_events():
            pass
    else:
        await Runner.run(agent, "hello", **run)

    [made] = await session.tract.query(config("temperature") == 0.9)
    assert made.generation_config is not None
    assert made.generation_config["model"] == "a-model"


@pytest.mark.parametrize("streamed", [False, True])
async def test_usage_is_recorded_for_the_context_that_was_answered(
    store: TractStore, streamed: bool
) -> None:
    session = TractSession("s", store)
    agent = Agent("helper", model=Answering([said("Hi.")], [said("Yes.")]))
    for text in ("hello", "again"):
        if streamed:
            result = Runner.run_streamed(agent, text, session=session, hooks=session.hooks)
            async for _ in result.stream_events():
                pass
        else:
            await Runner.run(agent, text, session=session, hooks=session.hooks)

    sources = [
        (await session.tract.compile(at_commit=info.commit_hash)).token_source
        for info in reversed(await session.tract.log(None))
    ]
    assert [source.startswith("api:11+7") for source in sources] == [True, False, True, False]


async def test_headers_of_a_call_are_not_stored(store: TractStore, target: str) -> None:
    session = TractSession("s", store)
    settings = ModelSettings(extra_headers={"Authorization": "Bearer sesame"}, temperature=1)
    agent = Agent("helper", model=Answering([said("Hi.")]), model_settings=settings)
    await Runner.run(agent, "hello", session=session, hooks=session.hooks)

    assert all("sesame" not in str(info) for info in await session.tract.log(None))
    [made] = await session.tract.query(config("temperature") == 1)
    assert made.generation_config == {"model": "a-model", "temperature": 1}


class Compacting:
    """A client whose API makes one message of whatever it gets."""

    def __init__(self) -> None:
        self.responses = self
        self.given: list[Any] = []

    async def compact(self, *, input: list[Any], **_: Any) -> Any:
        self.given = input
        return SimpleNamespace(output=[SUMMARY], usage=None)


SUMMARY = {"role": "user", "content": "all of it"}


@pytest.mark.parametrize("in_a_run", [False, True])
async def test_the_sdks_compaction_replaces_items_and_the_history_stays(
    store: TractStore, in_a_run: bool
) -> None:
    session, client = TractSession("s", store), Compacting()
    compacting = OpenAIResponsesCompactionSession(
        "s",
        session,
        client=cast("Any", client),
        compaction_mode="input",
        should_trigger_compaction=lambda _: True,
    )
    if in_a_run:
        agent = Agent("helper", model=Answering([said("Hi.")]))
        await Runner.run(agent, "hello", session=compacting)
    else:
        await session.add_items(ITEMS[:2])
        await compacting.run_compaction()

    assert len(client.given) == 2
    assert await session.get_items() == [SUMMARY]
    tract = session.tract
    *before, _ = await tract.entries(include_skipped=True)
    notes = [note for each in before for note in await tract.get_annotations(each.commit_hash)]
    assert [note.reason for note in notes] == ["compaction"] * 2
