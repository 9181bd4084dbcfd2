"""Events of ADK of every kind, and a model of it that answers what it was told to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions, EventCompaction
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.sessions import Session
from google.adk.tools.tool_confirmation import ToolConfirmation
from google.genai import types
from pydantic import PrivateAttr

from support.pictures import png

__all__ = ["EVENTS", "SESSION", "Answering", "called", "said", "state_event", "texts"]

SESSION: dict[str, Any] = {"app_name": "travel", "user_id": "anna", "session_id": "s"}
USAGE = types.GenerateContentResponseUsageMetadata(
    prompt_token_count=11, candidates_token_count=7, total_token_count=18
)


def said(text: str, author: str = "user", **fields: Any) -> Event:
    """Return an event in which somebody says something."""
    role = "user" if author == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=text)])
    return Event(author=author, invocation_id="i", content=content, **fields)


def called(name: str, call_id: str, args: dict[str, Any]) -> Event:
    """Return an event in which a model calls a tool."""
    call = types.FunctionCall(id=call_id, name=name, args=args)
    content = types.Content(role="model", parts=[types.Part(function_call=call)])
    return Event(author="agent", invocation_id="i", content=content)


def state_event(**changes: Any) -> Event:
    """Return an event that says nothing and changes the state; `__` stands for the colon."""
    delta = {key.replace("__", ":"): value for key, value in changes.items()}
    return Event(author="agent", invocation_id="i", actions=EventActions(state_delta=delta))


def texts(session: Session) -> list[str | None]:
    """Return what the first part of each event says."""
    contents = [event.content for event in session.events]
    return [each.parts[0].text if each and each.parts else None for each in contents]


def _event(*parts: types.Part, role: str | None = "model", **fields: Any) -> Event:
    return Event(
        author="agent",
        invocation_id="i",
        content=types.Content(role=role, parts=list(parts)),
        **fields,
    )


_ANSWER = types.FunctionResponse(id="c", name="weather", response={"sky": None, "list": [1, "a"]})
EVENTS: list[Event] = [
    said("How is the weather in Oslo?"),
    _event(
        types.Part(text="I have to ask.", thought=True),
        types.Part(
            function_call=types.FunctionCall(id="c", name="weather", args={"z": None, "a": 0.1}),
            thought_signature=b"\x00\xff signed",
        ),
        usage_metadata=USAGE,
        model_version="gemini-3-pro",
        long_running_tool_ids={"c", "b", "a"},
    ),
    _event(types.Part(function_response=_ANSWER), role="user"),
    said("Rain. ☂ \u2028", author="agent", finish_reason="STOP", avg_logprobs=-0.25),
    _event(
        types.Part.from_bytes(data=png(40, 30) + b"\x00" * 3_000, mime_type="image/png"),
        role="user",
    ),
    _event(types.Part.from_uri(file_uri="gs://a/b.pdf", mime_type="application/pdf"), role="user"),
    _event(
        types.Part.from_executable_code(code="1 + 1", language=types.Language.PYTHON),
        types.Part.from_code_execution_result(outcome=types.Outcome.OUTCOME_OK, output="2\n"),
    ),
    _event(
        types.Part(text="Grounded."),
        grounding_metadata=types.GroundingMetadata(
            search_entry_point=types.SearchEntryPoint(sdk_blob=b"blob"), web_search_queries=["q"]
        ),
        custom_metadata={"api_key": "kept", "n": [1, None, {"b": True}], "name:with": "ä"},
        citation_metadata=types.CitationMetadata(),
        branch="a.b",
    ),
    Event(
        author="agent",
        invocation_id="i",
        actions=EventActions(
            state_delta={
                "seen": {"Oslo": [1, 2.5, None, True]},
                "user:name": "Anna",
                "app:n": 2**70,
            },
            artifact_delta={"map.png": 3},
            transfer_to_agent="other",
            escalate=True,
            requested_tool_confirmations={"c": ToolConfirmation(hint="sure?", payload={"a": 1})},
        ),
    ),
    Event(author="agent", actions=EventActions(agent_state={"node": 1}, end_of_agent=True)),
    Event(
        author="user",
        actions=EventActions(
            compaction=EventCompaction(
                start_timestamp=1.0,
                end_timestamp=2.0,
                compacted_content=types.Content(role="model", parts=[types.Part(text="Short.")]),
            )
        ),
    ),
    Event(author="agent", content=types.Content(), error_code="SAFETY", error_message="no"),
    Event(author="agent", content=types.Content(role="model", parts=[]), output={"of": "a node"}),
    Event(author="agent", content=types.Content(parts=[types.Part()]), turn_complete=True),
    said("", author="agent", interrupted=True),
]


class Answering(BaseLlm):
    """Answers each call with the next of what it was given, in one piece or streamed."""

    model: str = "a-model"
    _answers: Iterator[LlmResponse] = PrivateAttr()

    def __init__(self, *answers: types.Part) -> None:
        super().__init__(model="a-model")
        self._answers = iter(
            LlmResponse(
                content=types.Content(role="model", parts=[part]),
                usage_metadata=USAGE,
                model_version="a-model-001",
            )
            for part in answers
        )

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        answer = next(self._answers)
        if stream:
            yield answer.model_copy(update={"partial": True})
        yield answer
