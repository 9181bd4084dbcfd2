"""A support desk with pydantic-ai: an approval in a new process, a fork, many users, a deletion.

    python docs/examples/conversations.py [PATH]

The model is a function, so it needs no API key and no network.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.tools import DeferredToolRequests

from tract import config
from tract.integrations.pydantic_ai import TractConversationStore


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call the tool, then say what it returned."""
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse(parts=[TextPart(f"Done: {last.content}")])
    return ModelResponse(parts=[ToolCallPart("refund", {"order": 7})])


def agent(store: TractConversationStore) -> Agent[None, Any]:
    """Return the agent; its tool waits for somebody's approval."""
    made: Agent[None, Any] = Agent(
        FunctionModel(answer, model_name="a-function"),
        name="desk",
        output_type=[str, DeferredToolRequests],
        capabilities=[store.capability],
    )

    @made.tool_plain(requires_approval=True)
    def refund(order: int) -> str:
        return f"order {order} is refunded"

    return made


async def ask(path: str, user: str) -> None:
    """Run until the approval is needed, and save."""
    async with TractConversationStore.open(path) as store:
        conversation = Conversation(conversation_id=user)
        result = await agent(store).run("I want my money back.", conversation=conversation)
        await store.save(result, scope=user)
        print(f"{user} waits: {isinstance(result.output, DeferredToolRequests)}")


async def decide(path: str, user: str) -> None:
    """Go on where the conversation was, as another process would; try a refusal on a fork."""
    async with TractConversationStore.open(path) as store:
        fork = await store.fork(user, new_conversation_id=f"{user}/refused")
        for conversation, approved in ((await store.load(user), True), (fork, False)):
            waiting = conversation and conversation.deferred_tool_requests
            assert waiting, "nobody waits"
            results = waiting.build_results(
                approvals={call.tool_call_id: approved for call in waiting.approvals}
            )
            result = await agent(store).run(
                conversation=conversation, deferred_tool_results=results
            )
            await store.save(result)
            print(result.output)


async def serve(path: str, users: int) -> None:
    """Answer many users at once, and forget one of them."""
    async with TractConversationStore.open(path) as store:

        async def session(number: int) -> None:
            conversation = Conversation(conversation_id=f"user-{number}")
            result = await agent(store).run("Money!", conversation=conversation)
            await store.save(result, scope=f"user-{number}")

        await asyncio.gather(*map(session, range(users)))
        made = await store.tract("user-0").query(config("model") == "a-function")
        print(f"{len(await store.list_conversations())} conversations, {len(made)} responses")

        await store.delete("user-1")
        print(f"left of user-1: {await store.load('user-1')}")
        print(f"faults: {len((await store.tract('user-0').verify()).faults)}")


async def main(path: str) -> None:
    """Run all of it."""
    await ask(path, "anna")
    await decide(path, "anna")
    await serve(path, 100)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["conversations.db"]))
