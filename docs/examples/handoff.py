"""A help desk of the OpenAI Agents SDK: a hand-off, an approval in a new process, many users, an erasure.

    pip install "asynctract[openai-agents]"
    python docs/examples/handoff.py [desk.db]

The models here are scripted: leave `model=` out and set `OPENAI_API_KEY` for real ones.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

from agents import (
    Agent,
    Model,
    ModelResponse,
    Runner,
    RunState,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from agents.items import TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
)

from tract import StateContent, TractStore, config
from tract.integrations.openai_agents import TractSession

set_tracing_disabled(True)
NUMBERS = count(1)


class Scripted(Model):
    """A model whose reply is a function of the items that it gets."""

    model = "scripted-1"

    def __init__(self, reply: Callable[[list[Any]], ResponseOutputItem]) -> None:
        self._reply = reply

    async def get_response(
        self, system_instructions: str | None, input: str | list[Any], *args: Any, **options: Any
    ) -> ModelResponse:
        """Reply at once."""
        items = input if isinstance(input, list) else []
        return ModelResponse(output=[self._reply(items)], usage=Usage(requests=1), response_id=None)

    async def stream_response(
        self, system_instructions: str | None, input: str | list[Any], *args: Any, **options: Any
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Reply in one event."""
        made = await self.get_response(system_instructions, input)
        response = Response(
            id=f"resp_{next(NUMBERS)}",
            created_at=0,
            model=self.model,
            object="response",
            output=made.output,
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=False,
        )
        yield ResponseCompletedEvent(
            type="response.completed", response=response, sequence_number=0
        )


def called(name: str, arguments: str = "{}") -> ResponseOutputItem:
    """Return a call of a tool."""
    number = f"call_{next(NUMBERS)}"
    return ResponseFunctionToolCall(
        type="function_call", call_id=number, name=name, arguments=arguments
    )


def said(text: str) -> ResponseOutputItem:
    """Return what a model says."""
    part = ResponseOutputText(type="output_text", text=text, annotations=[])
    return ResponseOutputMessage(
        id=f"msg_{next(NUMBERS)}",
        type="message",
        role="assistant",
        status="completed",
        content=[part],
    )


def refunding(items: list[Any]) -> ResponseOutputItem:
    """Ask for a refund, then say what came of it."""
    calls = {item["call_id"] for item in items if item.get("name") == "refund"}
    if items[-1].get("call_id") in calls:
        return said(f"Done: {items[-1]['output']}")
    return called("refund", '{"order": 7}')


@function_tool(needs_approval=True)
def refund(order: int) -> str:
    """Pay an order back."""
    return f"order {order} is refunded"


refunds: Agent[Any] = Agent("refunds", model=Scripted(refunding), tools=[refund])
desk: Agent[Any] = Agent(
    "desk", model=Scripted(lambda _: called("transfer_to_refunds")), handoffs=[refunds]
)


async def ask(session: TractSession) -> None:
    """Run until somebody has to approve, and keep the state of the run beside its items."""
    run = Runner.run_streamed(desk, "I want my money back.", session=session, hooks=session.hooks)
    async for event in run.stream_events():
        if event.type == "agent_updated_stream_event":
            print(f"{session.session_id}: {event.new_agent.name}")
    await session.tract.state(run.to_state().to_json(), key="run", on_key="replace")


async def decide(session: TractSession, *, approved: bool) -> str:
    """Go on with the run that waits, as another process would."""
    tract = await session.open()
    waiting = (await tract.get_by_keys(["run"]))["run"]
    kept = await tract.get_content(waiting.commit_hash, as_=StateContent)
    state = await RunState.from_json(desk, kept.payload)
    for each in state.get_interruptions():
        state.approve(each) if approved else state.reject(each)
    result = await Runner.run(desk, state, session=session, hooks=session.hooks)
    return str(result.final_output)


async def main(path: str) -> None:
    """Run all of it."""
    async with TractSession("anna", path) as session:
        await ask(session)

    async with TractStore.open(path) as store:
        main = store.tract("anna")
        for name in ("refused", "approved"):  # both from where the run waits
            await main.fork(name)
            aside = TractSession("anna", store, branch=name)
            print(f"{name}: {await decide(aside, approved=name == 'approved')}")
        merged = await main.merge("approved")
        print(f"main: {merged.kind}, {len(await TractSession('anna', store).get_items())} items")

        users = [TractSession(f"user-{number}", store) for number in range(100)]
        await asyncio.gather(*(Runner.run(desk, "Money!", session=user) for user in users))
        made = await main.query(config("model") == "scripted-1")
        print(f"{len(await store.tract_ids())} sessions; {len(made)} items of anna's are a model's")

        receipt = await store.erase_tract("user-1", reason="the user asked for it")
        print(f"user-1: {len(await users[1].get_items())} items, {receipt.commits} commits erased")
        print(f"faults: {len((await main.verify()).faults)}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["desk.db"]))
