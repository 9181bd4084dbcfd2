"""The summarising components of LangChain and LangMem, on the same conversations.

Both leave the system prompt to the agent, so it is kept apart, and what it costs is taken from the
window. No model is called: a function in a model's place shortens what the component sends it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.graph.message import add_messages

from benchmarks.windows.measuring import cost_of, tokens_of
from benchmarks.windows.peers import plain
from benchmarks.windows.ways import Way, shortened
from benchmarks.workload import ChatMessage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports has moved since in LangGraph
    from langmem.short_term import SummarizationNode

__all__ = ["WAYS"]

_FIRST_PROMPT = ChatPromptTemplate.from_messages([("placeholder", "{messages}")])
_NEXT_PROMPT = ChatPromptTemplate.from_messages(
    [("user", "{existing_summary}"), ("placeholder", "{messages}")]
)


class _Apart(Way):
    """Keeps messages of LangChain, and the system prompt apart from them."""

    def __init__(self, window: int, mean: float) -> None:
        super().__init__(window, mean)
        self._system: list[ChatMessage] = []
        self._messages: list[Any] = []
        self._costs: dict[int, tuple[BaseMessage, int]] = {}
        self._ids = count()

    async def add(self, message: ChatMessage) -> None:
        if message["role"] == "system":
            self._system.append(message)
            return
        [added] = convert_to_messages([message])
        added.id = str(next(self._ids))
        self._messages.append(added)

    @property
    def _room(self) -> int:
        """What is left of the window; a little, where the system prompt is longer than that."""
        return max(self.window - tokens_of(self._system), self.window // 10)

    def _count(self, some: Iterable[Any]) -> int:
        costs, asked = self._costs, list(some)
        for each in asked:
            if id(each) not in costs:
                costs[id(each)] = each, cost_of(*plain([each]))
        return sum(costs[id(each)][1] for each in asked)

    def _shortened(self, messages: Sequence[BaseMessage]) -> str:
        return shortened((str(each.content) for each in messages), self._room // 5)


class Middleware(_Apart):
    """LangChain's middleware, called as an agent calls it before its model.

    It is to summarise where the window is full, and then to keep what fits beside a summary.
    """

    title = "LangChain, `SummarizationMiddleware`"

    async def request(self) -> Sequence[ChatMessage]:
        state: Any = {"messages": self._messages}
        runtime: Any = None  # which it does not look at
        update = await self._middleware().abefore_model(state, runtime)
        if update is not None:
            self._messages = list(add_messages(self._messages, update["messages"]))
        return [*self._system, *plain(self._messages)]

    def _middleware(self) -> SummarizationMiddleware[Any, Any]:
        async def summarizer(messages: Sequence[BaseMessage]) -> str:
            return self._shortened(messages)

        return SummarizationMiddleware(
            FakeListChatModel(responses=["never asked"]),
            trigger=("tokens", self._room),
            keep=("tokens", self._room * 6 // 10),
            token_counter=self._count,
            trim_tokens_to_summarize=None,
            summarizer=summarizer,
        )


class Node(_Apart):
    """LangMem's node for LangGraph, with the summary's room taken from the window, too."""

    title = "LangGraph, LangMem's `SummarizationNode`"

    def __init__(self, window: int, mean: float) -> None:
        super().__init__(window, mean)
        self._context: dict[str, Any] = {}

    async def request(self) -> Sequence[ChatMessage]:
        given = {"messages": self._messages, "context": self._context}
        with warnings.catch_warnings():
            # It warns where it asks for a summary of more than a window: no user's message fits.
            warnings.simplefilter("ignore", RuntimeWarning)
            update = await self._node().ainvoke(given)
        self._context = update.get("context", self._context)
        return [*self._system, *plain(update["summarized_messages"])]

    def _node(self) -> Any:
        return SummarizationNode(
            model=RunnableLambda(lambda asked: AIMessage(self._shortened(asked))),
            max_tokens=self._room,
            max_tokens_before_summary=self._room - self._room // 5,
            max_summary_tokens=self._room // 5,
            token_counter=self._count,
            initial_summary_prompt=_FIRST_PROMPT,
            existing_summary_prompt=_NEXT_PROMPT,
        )


WAYS: tuple[type[Way], ...] = (Middleware, Node)
