"""LangGraph's savers, holding what a graph over `MessagesState` gives it to store.

A graph saves two or three checkpoints and the writes of its nodes in every invocation, each
checkpoint with the whole list of messages. Here one checkpoint is saved for each message and
nothing else: the least that keeps a conversation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage, convert_to_messages, convert_to_openai_messages
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointMetadata, empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks.workload import ChatMessage

__all__ = ["SaverBackend", "SaverOpened"]


class _Thread:
    """A conversation; its list of messages stays in memory between turns, as in a running graph."""

    def __init__(self, saver: BaseCheckpointSaver[str], name: str) -> None:
        self._saver = saver
        self._config = RunnableConfig(configurable={"thread_id": name, "checkpoint_ns": ""})
        self._latest = self._config
        self._messages: list[BaseMessage] = []
        self._version: str | None = None

    async def append(self, message: ChatMessage) -> None:
        await self.extend([message])

    async def extend(self, messages: Sequence[ChatMessage]) -> None:
        new = convert_to_messages(messages)
        for message in new:
            message.id = str(uuid4())  # as the state's reducer does
        self._messages = [*self._messages, *new]
        await self._save()

    async def _save(self) -> None:
        self._version = self._saver.get_next_version(self._version, None)
        versions: dict[str, str | int | float] = {"messages": self._version}
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": self._messages}
        checkpoint["channel_versions"] = versions
        metadata = CheckpointMetadata(source="loop", step=len(self._messages), parents={})
        self._latest = await self._saver.aput(self._latest, checkpoint, metadata, versions)

    async def load(self) -> list[BaseMessage]:
        found = await self._saver.aget_tuple(self._config)
        if found is not None:
            self._messages = found.checkpoint["channel_values"]["messages"]
            self._latest = found.config
        return self._messages

    async def read(self) -> list[Any]:
        messages = convert_to_openai_messages(await self.load())
        return messages if isinstance(messages, list) else [messages]


class SaverOpened:
    """A saver that is open."""

    def __init__(self, saver: BaseCheckpointSaver[str]) -> None:
        self._saver = saver
        self._threads: dict[str, _Thread] = {}

    def conversation(self, name: str) -> _Thread:
        if name not in self._threads:
            self._threads[name] = _Thread(self._saver, name)
        return self._threads[name]


class SaverBackend:
    """`AsyncSqliteSaver`: one connection for all threads of conversation."""

    name = "AsyncSqliteSaver"
    module = "langgraph.checkpoint.sqlite.aio"

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[SaverOpened]:
        async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
            await saver.setup()
            yield SaverOpened(saver)
