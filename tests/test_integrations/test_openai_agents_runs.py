"""Runs of the OpenAI Agents SDK that hand off, wait, are cancelled and killed, and go on elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    Runner,
    RunState,
    Session,
    SQLiteSession,
    function_tool,
    handoff,
    set_tracing_disabled,
)

from support.agents import Answering, called, said
from support.killing import started
from support.opening import COUNTER
from tract import StateContent, TractStore, config
from tract.integrations.openai_agents import TractSession

set_tracing_disabled(True)
ENGINES = pytest.mark.parametrize("target", ["sqlite", "postgres"], indirect=True)

ADDING = """
import asyncio, sys
from tract.integrations.openai_agents import TractSession

async def main(target, name, turns):
    async with TractSession("s", target) as session:
        for turn in range(int(turns)):
            parts = [f"{name}:{turn}:{part}" for part in range(3)]
            await session.add_items([{"role": "user", "content": text} for text in parts])
            print("added", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def desk() -> Agent[Any]:
    """Return an agent that hands off to one whose tool has to be approved."""

    @function_tool(needs_approval=True)
    def refund(order: int) -> str:
        return f"order {order} is refunded"

    refunding = Answering([called("refund", '{"order": 7}')], [said("Done.")], model="refunder")
    refunds: Agent[Any] = Agent("refunds", model=refunding, tools=[refund])
    greeting = Answering([called("transfer_to_refunds")], model="greeter")
    return Agent("desk", model=greeting, handoffs=[handoff(refunds)])


def kinds(items: list[Any]) -> list[Any]:
    """Return items without the ids that differ from run to run."""
    return [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in items]


async def texts(session: TractSession) -> list[str]:
    items: list[Any] = await session.get_items()
    return [str(item["content"]) for item in items]


def is_whole(found: list[str]) -> bool:
    """Return True if batches are there with all of their items, one after the other."""
    batches = [found[start : start + 3] for start in range(0, len(found), 3)]
    return all(
        batch == [f"{batch[0].rpartition(':')[0]}:{part}" for part in range(3)] for batch in batches
    )


@ENGINES
async def test_a_run_that_hands_off_and_waits_goes_on_in_another_process(
    target: Path | str,
) -> None:
    """Its state is kept beside its items, as a commit."""
    agent = desk()
    async with TractSession("s", target) as session:
        run = await Runner.run(agent, "Money!", session=session, hooks=session.hooks)
        assert [each.name for each in run.interruptions] == ["refund"]
        state = run.to_state().to_json()
        await (await session.open()).state(state, key="run", on_key="replace")

    async with TractStore.open(target, tokenizer=COUNTER) as store:
        tract = store.tract("s")
        waiting = (await tract.get_by_keys(["run"]))["run"]
        kept = await tract.get_content(waiting.commit_hash, as_=StateContent)
        assert kept.payload == state
        resumed = await RunState.from_json(agent, kept.payload)
        for each in resumed.get_interruptions():
            resumed.approve(each)
        session = TractSession("s", store)
        done = await Runner.run(agent, resumed, session=session, hooks=session.hooks)

        assert done.final_output == "Done."
        assert kinds(await session.get_items()) == kinds(await as_theirs())
        made = {
            name: await tract.query(config("model") == name) for name in ("greeter", "refunder")
        }
        authors = {
            name: [(info.metadata or {})["agent"] for info in infos] for name, infos in made.items()
        }
        assert authors == {"greeter": ["desk"], "refunder": ["refunds", "refunds"]}


async def as_theirs() -> list[Any]:
    """Return what the SDK's own session has of the same run."""
    agent, theirs = desk(), SQLiteSession("s")
    run = await Runner.run(agent, "Money!", session=theirs)
    state = run.to_state()
    for each in state.get_interruptions():
        state.approve(each)
    await Runner.run(agent, state, session=theirs)
    items: list[Any] = await theirs.get_items()
    return items


async def test_a_refusal_on_a_fork_leaves_the_run_waiting(target: Path | str) -> None:
    agent = desk()
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        session = TractSession("s", store)
        run = await Runner.run(agent, "Money!", session=session)
        before = await session.get_items()
        await session.tract.fork("refused")
        aside = TractSession("s", store, branch="refused")
        state = run.to_state()
        for each in state.get_interruptions():
            state.reject(each)
        await Runner.run(agent, state, session=aside)

        assert await session.get_items() == before
        output = (await aside.get_items())[4]
        assert "not approved" in str(output)


async def test_runs_of_a_hundred_sessions_at_once_keep_to_themselves(target: Path | str) -> None:
    async def talk(session: Session, name: str) -> None:
        for number in range(3):
            agent = Agent("helper", model=Answering([said(f"{name} {number}")]))
            await Runner.run(agent, f"{name}?", session=session)

    async with TractStore.open(target, tokenizer=COUNTER) as store:
        names = [f"user:{number}" for number in range(100)]
        sessions = [TractSession(name, store) for name in names]
        await asyncio.gather(*map(talk, sessions, names))

        for name, session in zip(names, sessions, strict=True):
            items: list[Any] = await session.get_items()
            said_ = [item["content"] for item in items if item["role"] == "user"]
            answers = [item["content"][0]["text"] for item in items if item["role"] != "user"]
            assert said_ == [f"{name}?"] * 3
            assert answers == [f"{name} {number}" for number in range(3)]


async def test_a_cancelled_run_leaves_what_it_had_and_the_session_goes_on(
    target: Path | str,
) -> None:
    began = asyncio.Event()

    @function_tool
    async def wait() -> str:
        began.set()
        await asyncio.Event().wait()
        return "never"

    async with TractStore.open(target, tokenizer=COUNTER) as store:
        session = TractSession("s", store)
        agent = Agent("helper", model=Answering([called("wait")]), tools=[wait])
        run = asyncio.create_task(Runner.run(agent, "Wait.", session=session))
        await began.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert (await texts_of_users(session))[:1] == ["Wait."]
        other = Agent("helper", model=Answering([said("Yes.")]))
        result = await Runner.run(other, "Again.", session=session)
        assert result.final_output == "Yes."
        assert await texts_of_users(session) == ["Wait.", "Again."]
        assert (await session.tract.verify()).faults == ()


async def texts_of_users(session: TractSession) -> list[str]:
    items: list[Any] = await session.get_items()
    return [item["content"] for item in items if item.get("role") == "user"]


@pytest.mark.parametrize("target", ["sqlite"], indirect=True)
async def test_processes_that_add_to_one_session_lose_nothing(target: Path | str) -> None:
    running = await started(ADDING, target, "one", 8)
    async with TractSession("s", target) as session:
        for turn in range(8):
            parts = [f"two:{turn}:{part}" for part in range(3)]
            await session.add_items([{"role": "user", "content": text} for text in parts])
        assert await running.ended() == 0

        found = await texts(session)
        assert is_whole(found)
        assert sorted(found) == sorted(
            f"{name}:{turn}:{part}"
            for name in ("one", "two")
            for turn in range(8)
            for part in range(3)
        )
        assert (await session.tract.verify()).faults == ()


@pytest.mark.parametrize("target", ["postgres"], indirect=True)
async def test_a_killed_process_leaves_whole_batches(target: Path | str) -> None:
    running = await started(ADDING, target, "one", 10_000)
    await asyncio.sleep(0.3)
    await running.kill()

    async with TractSession("s", target) as session:
        found = await texts(session)
        assert found
        assert is_whole(found)
        await session.add_items([{"role": "user", "content": "more"}])
        assert (await texts(session))[-1] == "more"
        assert (await session.tract.verify()).faults == ()
