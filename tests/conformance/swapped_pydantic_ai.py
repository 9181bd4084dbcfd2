"""A plugin of pytest: tests that name pydantic-ai's `InMemoryConversationStore` get one of ours."""

from __future__ import annotations

import asyncio

from pydantic_ai import conversation_store

from tract.integrations.pydantic_ai import TractConversationStore

_OPENED: list[TractConversationStore] = []


class InMemoryConversationStore(TractConversationStore):
    """Takes the arguments of the store that it stands for, and is closed with the session."""

    def __init__(self) -> None:
        super().__init__()
        _OPENED.append(self)


def pytest_sessionfinish() -> None:
    for store in _OPENED:
        asyncio.run(store.aclose())


vars(conversation_store)["InMemoryConversationStore"] = InMemoryConversationStore
