"""An agent of Google's ADK that goes on in the next run, tries another way, serves many users, and forgets one.

    python docs/examples/adk_travel.py sessions.db

Each run says one thing more. The model here is scripted; give the agent a real one by its name.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.apps.app import App
from google.adk.events.event import Event
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from tract.integrations.adk import TractPlugin, TractSessionService


class Clerk(BaseLlm):
    """Stands in for a model: it books what it is asked for, then says so."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Answer a request."""
        last = (llm_request.contents[-1].parts or [types.Part()])[-1]
        if last.function_response is not None:
            part = types.Part(text=str((last.function_response.response or {})["result"]))
        else:
            call = types.FunctionCall(name="book", args={"what": last.text or ""})
            part = types.Part(function_call=call)
        usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=9)
        content = types.Content(role="model", parts=[part])
        yield LlmResponse(content=content, usage_metadata=usage)


def book(what: str, tool_context: ToolContext) -> str:
    """Book something."""
    booked = [*tool_context.state.get("booked", []), what]
    tool_context.state["booked"] = booked
    return f"Booked: {', '.join(booked)}."


async def said(runner: Runner, session_id: str, text: str, user: str = "anna") -> str:
    """Say something in a session, and return the answer."""
    message = types.Content(role="user", parts=[types.Part(text=text)])
    run = runner.run_async(user_id=user, session_id=session_id, new_message=message)
    events: list[Event] = [event async for event in run]
    content = events[-1].content
    return (content.parts[0].text or "") if content and content.parts else ""


async def serve(runner: Runner, service: TractSessionService, users: int) -> None:
    """Answer many users at once, and forget them again."""

    async def talk(user: str) -> str:
        names: Any = {"app_name": "travel", "user_id": user, "session_id": "trip"}
        await service.create_session(**names)
        answer = await said(runner, "trip", "a boat", user)
        await service.delete_session(**names)
        return answer

    answers = await asyncio.gather(*(talk(f"user-{number}") for number in range(users)))
    left = (await service.list_sessions(app_name="travel")).sessions
    print(f"{len(answers)} users: {', '.join({*answers})} Left: {len(left)} sessions.")


async def main(path: str) -> None:
    """Book a night more, then try a tent instead, aside."""
    async with TractSessionService(path) as service:
        clerk = LlmAgent(name="clerk", model=Clerk(model="clerk-1"), tools=[book])
        app = App(name="travel", root_agent=clerk, plugins=[TractPlugin(service)])
        runner = Runner(app=app, session_service=service)
        found = await service.get_session(app_name="travel", user_id="anna", session_id="trip")
        if found is None:
            await service.create_session(app_name="travel", user_id="anna", session_id="trip")
        nights = len(found.state.get("booked", [])) if found else 0
        print(await said(runner, "trip", f"night {nights + 1}"))

        aside = await service.fork_session(app_name="travel", user_id="anna", session_id="trip")
        print("aside:", await said(runner, aside.id, "a tent"))
        sessions = (await service.list_sessions(app_name="travel", user_id="anna")).sessions
        print("sessions:", len(sessions))
        await serve(runner, service, 30)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sessions.db"))
