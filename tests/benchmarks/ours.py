"""AsyncTract as its documentation says to use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.workload import CONFIG, ChatMessage
from tract import AsyncTract, CompiledContext, TractConfig, TractStore, from_openai

__all__ = ["Ours", "OursBackend", "OursOpened", "Tract"]

_BATCH = 1_000


class Tract:
    """A tract of a store."""

    def __init__(self, tract: AsyncTract) -> None:
        self.tract = tract

    async def append(self, message: ChatMessage) -> None:
        if message.keys() != {"role", "content"} or message["content"] is None:
            await self._append_all(message)
        elif message["role"] == "user":
            await self.tract.user(message["content"], generation_config=CONFIG)
        elif message["role"] == "assistant":
            await self.tract.assistant(message["content"], generation_config=CONFIG)
        else:
            await self.tract.system(message["content"], generation_config=CONFIG)

    async def _append_all(self, message: ChatMessage) -> None:
        """Commit what one provider message consists of, such as a text and its tool calls."""
        async with self.tract.batch() as batch:
            for content in from_openai([message]):
                batch.commit(content, generation_config=CONFIG)

    async def extend(self, messages: Sequence[ChatMessage]) -> None:
        await self.extend_with([(message, CONFIG) for message in messages])

    async def extend_with(self, given: Sequence[tuple[ChatMessage, dict[str, Any]]]) -> None:
        """Commit dialogue with a config for each."""
        for start in range(0, len(given), _BATCH):
            async with self.tract.batch() as batch:
                for message, config in given[start : start + _BATCH]:
                    content = {
                        "content_type": "dialogue",
                        "role": message["role"],
                        "text": message["content"],
                    }
                    batch.commit(content, generation_config=config)

    async def load(self) -> CompiledContext:
        return await self.tract.compile()

    async def read(self) -> list[Any]:
        return (await self.tract.compile()).to_openai()


class OursOpened:
    """An open store."""

    def __init__(self, store: TractStore) -> None:
        self.store = store

    def conversation(self, name: str) -> Tract:
        return Tract(self.store.tract(name))


class OursBackend(Protocol):
    """AsyncTract, whatever it keeps its stores in."""

    def open(self, path: Path) -> AbstractAsyncContextManager[OursOpened]:
        """Open the store that a file is, or stands for."""


class Ours:
    """AsyncTract, with its own defaults unless a config is given."""

    name = "AsyncTract"
    module = "tract"

    def __init__(self, config: TractConfig | None = None) -> None:
        self._config = config

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[OursOpened]:
        async with TractStore.open(path, config=self._config) as store:
            yield OursOpened(store)
