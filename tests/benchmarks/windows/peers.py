"""The ready components of other frameworks, on the same conversations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from agents.memory import (
    OpenAIResponsesCompactionSession,
    SessionSettings,
    SQLiteSession,
)
from langchain_core.messages import (
    BaseMessage,
    convert_to_messages,
    convert_to_openai_messages,
    trim_messages,
)
from pydantic_ai import Agent
from pydantic_ai.capabilities import ProcessHistory
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from benchmarks.windows.measuring import cost_of, tokens_of
from benchmarks.windows.ways import COUNTER, Way, shortened
from benchmarks.workload import ChatMessage

__all__ = ["AgentsCompaction", "AgentsLimit", "HistoryProcessor", "TrimMessages", "plain"]


class TrimMessages(Way):
    """LangChain's `trim_messages`, with the arguments that its documentation recommends."""

    title = "LangChain, `trim_messages`"

    def __init__(self, window: int, mean: float) -> None:
        super().__init__(window, mean)
        self._messages: list[BaseMessage] = []
        self._costs: dict[int, tuple[BaseMessage, int]] = {}

    async def add(self, message: ChatMessage) -> None:
        self._messages += convert_to_messages([message])

    async def request(self) -> Sequence[ChatMessage]:
        trimmed = trim_messages(
            self._messages,
            max_tokens=self.window,
            token_counter=self._count,
            strategy="last",
            start_on="human",
            include_system=True,
        )
        return plain(trimmed)

    def _count(self, some: list[BaseMessage]) -> int:
        costs = self._costs
        for each in some:
            if id(each) not in costs:
                costs[id(each)] = each, cost_of(*plain([each]))
        return COUNTER.tokens_for_reply + sum(costs[id(each)][1] for each in some)


def plain(messages: Sequence[Any]) -> list[ChatMessage]:
    """Return messages of LangChain as OpenAI's API takes them."""
    found = convert_to_openai_messages(messages)
    return [found] if isinstance(found, dict) else [dict(each) for each in found]


class HistoryProcessor(Way):
    """A processor as pydantic-ai's documentation has one: the newest messages, as many as fit.

    It begins with a user's message, so that it parts no call from its result.
    """

    title = "pydantic-ai, `ProcessHistory`"

    def __init__(self, window: int, mean: float) -> None:
        super().__init__(window, mean)
        self._messages: list[ModelMessage] = []
        self._sent: list[ModelMessage] = []
        self._agent = Agent(FunctionModel(self._reply), capabilities=[ProcessHistory(self._kept)])

    async def add(self, message: ChatMessage) -> None:
        self._messages.append(_of_pydantic(message))

    def _kept(self, messages: list[ModelMessage]) -> list[ModelMessage]:
        system = [part for part in messages[0].parts if isinstance(part, SystemPromptPart)]
        kept, cost = messages, tokens_of(_chat([ModelRequest(parts=system)]))
        for start in range(len(messages) - 1, 0, -1):
            cost += sum(map(cost_of, _chat([messages[start]])))
            if cost > self.window and kept is not messages:
                return kept
            if _begins(messages[start]):
                kept = [ModelRequest(parts=system), *messages[start:]]
        fits = tokens_of(_chat(messages)) <= self.window
        return messages if fits else kept

    async def _reply(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self._sent = messages
        return ModelResponse(parts=[TextPart("fine")])

    async def request(self) -> Sequence[ChatMessage]:
        await self._agent.run(message_history=self._messages)
        return _chat(self._sent)


def _begins(message: ModelMessage) -> bool:
    """Return True if a message is the user's; the framework joins it with the system prompt."""
    kinds = {type(part) for part in message.parts}
    return UserPromptPart in kinds and ToolReturnPart not in kinds


def _of_pydantic(message: ChatMessage) -> ModelMessage:
    text = message.get("content") or ""
    match message["role"]:
        case "system":
            return ModelRequest(parts=[SystemPromptPart(text)])
        case "user":
            return ModelRequest(parts=[UserPromptPart(text)])
        case "tool":
            part = ToolReturnPart(message["name"], text, message["tool_call_id"])
            return ModelRequest(parts=[part])
    calls = [
        ToolCallPart(call["function"]["name"], call["function"]["arguments"], call["id"])
        for call in message.get("tool_calls") or ()
    ]
    return ModelResponse(parts=[*([TextPart(text)] if text else []), *calls])


def _chat(messages: Sequence[ModelMessage]) -> list[ChatMessage]:
    found: list[ChatMessage] = []
    for part in (part for message in messages for part in message.parts):
        match part:
            case SystemPromptPart():
                found.append({"role": "system", "content": part.content})
            case UserPromptPart():
                found.append({"role": "user", "content": part.content})
            case ToolReturnPart():
                result = {"tool_call_id": part.tool_call_id, "content": part.content}
                found.append({"role": "tool", **result})
            case TextPart():
                found.append({"role": "assistant", "content": part.content})
            case ToolCallPart():
                found.append(_calling(part.tool_call_id, part.tool_name, part.args))
    return found


def _calling(call_id: str, name: str, arguments: Any) -> ChatMessage:
    function = {"name": name, "arguments": arguments}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


class AgentsLimit(Way):
    """A session of the Agents SDK with a limit: in items, as many as fit if all cost the mean."""

    title = "Agents SDK, `SessionSettings(limit=…)`"

    def __init__(self, window: int, mean: float) -> None:
        super().__init__(window, mean)
        self._limit = max(int(window / mean) - 1, 1)
        self._session: Any = SQLiteSession("t", session_settings=SessionSettings(limit=self._limit))
        self._system: list[ChatMessage] = []

    async def __aexit__(self, *_: object) -> None:
        self._inner.close()

    @property
    def _inner(self) -> Any:
        return self._session

    async def add(self, message: ChatMessage) -> None:
        if message["role"] == "system":  # the instructions of the agent, which no session has
            self._system.append(message)
        else:
            await self._session.add_items(_of_responses(message))

    async def request(self) -> Sequence[ChatMessage]:
        items = await self._session.get_items()
        return [*self._system, *(_of_item(item) for item in items)]

    async def finds(self, word: str) -> bool:
        kept = await self._inner.get_items(limit=1_000_000)
        return any(word in json.dumps(item) for item in kept)


class AgentsCompaction(AgentsLimit):
    """A compaction session of the Agents SDK, triggered by the window.

    The API is played by a function that returns what the API does by its documentation: the user's
    messages verbatim, and an item in the place of all others, here with a summary that can be read.
    """

    title = "Agents SDK, `OpenAIResponsesCompactionSession`"

    def __init__(self, window: int, mean: float) -> None:
        super().__init__(window, mean)
        self._stored = SQLiteSession("t")
        client: Any = SimpleNamespace(responses=SimpleNamespace(compact=self._compact))
        self._session = OpenAIResponsesCompactionSession(
            "t",
            self._stored,
            client=client,
            compaction_mode="input",
            should_trigger_compaction=lambda found: self._is_long(found["session_items"]),
        )

    @property
    def _inner(self) -> Any:
        return self._stored

    def _is_long(self, items: Sequence[Any]) -> bool:
        return tokens_of([*self._system, *map(_of_item, items)]) > self.window

    async def _compact(self, *, model: str, input: Sequence[Any]) -> Any:
        users = [item for item in input if item.get("role") == "user"]
        others = [str(_of_item(item)["content"] or "") for item in input if item not in users]
        text = shortened(others, self.window // 5)
        return SimpleNamespace(
            output=[*users, {"type": "compaction", "encrypted_content": text}], usage=None
        )

    async def request(self) -> Sequence[ChatMessage]:
        await self._session.run_compaction()
        return await super().request()


def _of_responses(message: ChatMessage) -> list[Any]:
    if message["role"] == "tool":
        output = {"call_id": message["tool_call_id"], "output": message["content"]}
        return [{"type": "function_call_output", **output}]
    text = message.get("content")
    said = [{"role": message["role"], "content": text}] if text else []
    calls = [
        {"type": "function_call", "call_id": call["id"], **call["function"]}
        for call in message.get("tool_calls") or ()
    ]
    return [*said, *calls]


def _of_item(item: Any) -> ChatMessage:
    match item.get("type"):
        case "function_call":
            return _calling(item["call_id"], item["name"], item["arguments"])
        case "function_call_output":
            return {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
        case "compaction":
            return {"role": "assistant", "content": item["encrypted_content"]}
    return {"role": item["role"], "content": item["content"]}
