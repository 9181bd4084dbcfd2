"""Runs of ADK on a `TractSessionService`: loops, tools, provenance, processes that die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("google.adk", reason="google-adk needs an environment of its own")

from google.adk.agents import LlmAgent, ParallelAgent, RunConfig
from google.adk.apps.app import App
from google.adk.events.event import Event
from google.adk.runners import Runner
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from support.adk import SESSION, Answering, said, texts
from support.killing import started
from support.opening import COUNTER
from tract import TractStore, config
from tract.integrations.adk import TractPlugin, TractSessionService


@pytest.fixture
async def store(target: str) -> AsyncIterator[TractStore]:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        yield opened


@pytest.fixture
def service(store: TractStore) -> TractSessionService:
    return TractSessionService(store)


def weather(city: str, tool_context: ToolContext) -> dict[str, str]:
    """Return the weather."""
    tool_context.state["city"] = city
    tool_context.state["user:home"] = city
    return {"sky": "rain"}


def text(said: str) -> types.Part:
    return types.Part(text=said)


def call(name: str, **args: Any) -> types.Part:
    return types.Part(function_call=types.FunctionCall(name=name, args=args))


def runner(service: TractSessionService, agent: Any) -> Runner:
    app = App(name="travel", root_agent=agent, plugins=[TractPlugin(service)])
    return Runner(app=app, session_service=service)


async def run(running: Runner, message: str, run_config: RunConfig | None = None) -> list[Event]:
    content = types.Content(role="user", parts=[types.Part(text=message)])
    events = running.run_async(
        user_id="anna", session_id="s", new_message=content, run_config=run_config
    )
    return [event async for event in events]


def helper(*answers: types.Part, name: str = "helper", **options: Any) -> LlmAgent:
    settings = types.GenerateContentConfig(
        temperature=0.5, http_options=types.HttpOptions(headers={"Authorization": "secret"})
    )
    return LlmAgent(
        name=name, model=Answering(*answers), generate_content_config=settings, **options
    )


async def test_a_loop_with_a_tool_is_on_the_branch_with_how_it_was_made(
    service: TractSessionService,
) -> None:
    session = await service.create_session(**SESSION)
    agent = helper(call("weather", city="Oslo"), text("Rain."), tools=[weather])
    await run(runner(service, agent), "How is the weather in Oslo?")

    found = await service.get_session(**SESSION)
    assert found is not None
    assert found.state == {"city": "Oslo", "user:home": "Oslo"}
    tract = await service.tract(session)
    made = await tract.query(config("temperature") == 0.5)
    assert [each.generation_config for each in made] == [
        {"model": "a-model", "temperature": 0.5, "tools": ["weather"]}
    ] * 2
    assert [(each.metadata or {})["author"] for each in made] == ["helper", "helper"]
    context = await tract.compile()
    assert [each.role for each in context.messages] == ["user", "assistant", "tool", "assistant"]
    sent = await tract.compile(at_commit=made[0].parent_hash)
    assert sent.token_source == "api:11+7"


async def test_streamed_answers_are_kept_once(service: TractSessionService) -> None:
    await service.create_session(**SESSION)
    streaming = RunConfig.model_validate({"streaming_mode": "sse"})
    events = await run(runner(service, helper(text("Hello."))), "Hi", streaming)

    assert [event.partial for event in events] == [True, None]
    found = await service.get_session(**SESSION)
    assert found is not None
    assert [event.author for event in found.events] == ["user", "helper"]


@pytest.mark.filterwarnings("ignore:ParallelAgent is deprecated:DeprecationWarning")
async def test_agents_at_once_have_their_own_settings(service: TractSessionService) -> None:
    session = await service.create_session(**SESSION)
    agents = [helper(text(str(n)), name=f"a{n}") for n in range(5)]
    for number, agent in enumerate(agents):
        agent.generate_content_config = types.GenerateContentConfig(temperature=number / 10)
    await run(runner(service, ParallelAgent(name="all", sub_agents=list(agents))), "Go")

    made = await (await service.tract(session)).query(config("temperature") >= 0)
    told = {(each.metadata or {})["author"]: each.generation_config for each in made}
    assert {name: (of or {})["temperature"] for name, of in told.items()} == {
        f"a{number}": number / 10 for number in range(5)
    }


async def test_after_a_hand_off_events_say_which_agents_model_made_them(
    service: TractSessionService,
) -> None:
    session = await service.create_session(**SESSION)
    other = helper(text("Hello from me."), name="other")
    other.generate_content_config = types.GenerateContentConfig(temperature=0.1)
    agent = helper(call("transfer_to_agent", agent_name="other"), sub_agents=[other])
    await run(runner(service, agent), "Hi")

    made = await (await service.tract(session)).query(config("model") == "a-model")
    assert [
        ((each.metadata or {})["author"], (each.generation_config or {})["temperature"])
        for each in made
    ] == [("helper", 0.5), ("other", 0.1)]


async def test_without_the_plugin_events_have_the_model_that_the_api_reported(
    service: TractSessionService,
) -> None:
    session = await service.create_session(**SESSION)
    app = App(name="travel", root_agent=helper(text("Hello.")))
    await run(Runner(app=app, session_service=service), "Hi")

    [made] = await (await service.tract(session)).query(config("model") == "a-model-001")
    assert made.generation_config == {"model": "a-model-001"}


async def test_a_run_goes_on_in_another_process_and_after_a_rewind_of_adks_own(
    target: str, service: TractSessionService
) -> None:
    await service.create_session(**SESSION, state={"n": 0})
    first = await run(runner(service, helper(text("1"))), "one")
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        other = TractSessionService(store)
        running = runner(other, helper(text("2"), text("3")))
        second = await run(running, "two")
        await running.rewind_async(
            user_id="anna",
            session_id="s",
            rewind_before_invocation_id=second[0].invocation_id,
        )
        await run(running, "three")
    found = await service.get_session(**SESSION)

    assert found is not None
    assert [event.invocation_id for event in found.events][:2] == [first[0].invocation_id] * 2
    assert len(found.events) == 7
    assert found.events[4].actions.rewind_before_invocation_id == second[0].invocation_id


async def test_a_hundred_sessions_at_once_are_all_whole(service: TractSessionService) -> None:
    async def one(number: int) -> None:
        names = SESSION | {"user_id": f"u{number % 7}", "session_id": str(number)}
        session = await service.create_session(**names)
        for step in range(3):
            await service.append_event(session, said(f"{number}.{step}"))

    await asyncio.gather(*map(one, range(100)))

    sessions = (await service.list_sessions(app_name="travel")).sessions
    assert len(sessions) == 100
    for each in sessions[::20]:
        found = await service.get_session(
            app_name="travel", user_id=each.user_id, session_id=each.id
        )
        assert found is not None
        assert texts(found) == [f"{each.id}.{step}" for step in range(3)]


_WRITER = """
import asyncio, sys
from google.adk.errors import StaleSessionError
from support.adk import SESSION, state_event
from tract.integrations.adk import TractSessionService

async def main(path, name, rounds):
    async with TractSessionService(path) as service:
        print("ready", flush=True)
        for number in range(int(rounds)):
            while True:
                session = await service.get_session(**SESSION)
                change = {f"{name}{number}": 1, f"app__{name}{number}": 1}
                try:
                    await service.append_event(session, state_event(**change))
                    break
                except StaleSessionError:
                    pass

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_write_one_session_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "adk.db"
    async with TractSessionService(path) as service:
        await service.create_session(**SESSION)
        running = [await started(_WRITER, path, name, 5) for name in ("a", "b")]
        assert [await each.ended() for each in running] == [0, 0]
        session = await service.get_session(**SESSION)

    assert session is not None
    assert len(session.events) == 10
    assert len(session.state) == 20
    assert {
        name: value for event in session.events for name, value in event.actions.state_delta.items()
    } == session.state


async def test_a_killed_process_leaves_each_event_with_its_states_or_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "adk.db"
    async with TractSessionService(path) as service:
        await service.create_session(**SESSION)
        for number in range(2):
            writer = await started(_WRITER, path, f"w{number}", 10_000)
            await asyncio.sleep(0.3)
            await writer.kill()
            session = await service.get_session(**SESSION)
            assert session is not None
            assert {
                name: value
                for event in session.events
                for name, value in event.actions.state_delta.items()
            } == session.state
            assert (await (await service.tract(session)).verify()).faults == ()
