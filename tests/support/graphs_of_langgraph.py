"""Checkpoints, messages and graphs of LangGraph, for tests of its checkpointer."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    empty_checkpoint,
)
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

__all__ = ["Line", "built", "config_of", "everything", "talk"]


def config_of(thread: str, checkpoint_id: str | None = None, ns: str = "") -> RunnableConfig:
    """Return a config that names a thread, and perhaps a checkpoint."""
    named = {"thread_id": thread, "checkpoint_ns": ns}
    if checkpoint_id is not None:
        named["checkpoint_id"] = checkpoint_id
    return RunnableConfig(configurable=named)


def talk() -> list[BaseMessage]:
    """Return a conversation with all that a model says: text, calls, thinking and an image."""
    picture = "data:image/png;base64,aGVsbG8gd29ybGQ="
    return [
        HumanMessage("What is on this picture?", id="1"),
        HumanMessage(
            [
                {"type": "text", "text": "This one."},
                {"type": "image_url", "image_url": {"url": picture}},
            ],
            id="2",
        ),
        AIMessage(
            [
                {"type": "thinking", "thinking": "A picture.", "signature": "c2ln"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"b": 1, "a": 2}},
            ],
            id="3",
            tool_calls=[{"name": "look", "args": {"b": 1, "a": 2}, "id": "call_1"}],
            usage_metadata={"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
            response_metadata={"model_name": "a-model", "when": 1.5},
        ),
        ToolMessage("a cat", tool_call_id="call_1", name="look", id="4"),
        AIMessage("A cat.", id="5"),
    ]


class Line:
    """Puts one checkpoint after the other, as a graph does."""

    def __init__(
        self, saver: BaseCheckpointSaver[Any], config: RunnableConfig, *, version: int = 0
    ) -> None:
        self.saver: BaseCheckpointSaver[Any] = saver
        self.config: RunnableConfig = config
        self._version = version

    async def put(self, metadata: dict[str, Any] | None = None, **values: Any) -> Checkpoint:
        """Put a checkpoint with these values, all of them new."""
        self._version += 1
        checkpoint = empty_checkpoint()
        versions: dict[str, Any] = dict.fromkeys(values, self._version)
        checkpoint["channel_values"], checkpoint["channel_versions"] = values, versions
        about = CheckpointMetadata(source="loop", step=self._version, parents={})
        about.update(metadata or {})  # type: ignore[typeddict-item]
        self.config = await self.saver.aput(self.config, checkpoint, about, versions)
        return checkpoint


async def everything(saver: BaseCheckpointSaver[Any], thread: str) -> list[CheckpointTuple]:
    """Return all checkpoints of a thread."""
    config = RunnableConfig(configurable={"thread_id": thread})
    return [each async for each in saver.alist(config)]


class _Counting(MessagesState):
    steps: Annotated[list[str], operator.add]


def built(saver: BaseCheckpointSaver[Any]) -> Any:
    """Return a graph that answers, and asks a human before it does."""

    async def ask(state: _Counting) -> dict[str, Any]:
        answer = interrupt({"question": state["messages"][-1].content})
        return {"messages": [AIMessage(f"You said {answer}.")], "steps": ["asked"]}

    graph = StateGraph(_Counting)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    return graph.compile(checkpointer=saver)
