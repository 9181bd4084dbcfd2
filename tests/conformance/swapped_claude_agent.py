"""A plugin of pytest: tests that name the SDK's `InMemorySessionStore` get a `TractSessionStore`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import claude_agent_sdk
from claude_agent_sdk import SessionKey, SessionStoreListEntry
from claude_agent_sdk._internal import session_store

from tract import TractStore
from tract.integrations.claude_agent import TractSessionStore

T = TypeVar("T")

_FOLDER = Path(mkdtemp(prefix="conformance-"))


class InMemorySessionStore(TractSessionStore):
    """Has what the store that it stands for has for tests alone."""

    def __init__(self) -> None:
        self._mtimes: dict[str, int] = {}
        self.clear()

    def clear(self) -> None:
        """Begin with an empty file."""
        super().__init__(Path(mkdtemp(dir=_FOLDER)) / "sessions.db")

    def get_entries(self, key: SessionKey) -> list[Any]:
        """Return all entries of a transcript."""
        found: list[Any] | None = _now(self.load(key))
        return found or []

    @property
    def size(self) -> int:
        """How many sessions there are."""
        ids = _now(self._store.run(TractStore.tract_ids))
        return sum(each.startswith("claude/") for each in ids)

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        listed = await super().list_sessions(project_key)
        for each in listed:
            key = f"{project_key}/{each['session_id']}"
            each["mtime"] = self._mtimes.get(key, each["mtime"])
        return listed


def _now(call: Coroutine[Any, Any, T]) -> T:
    """Return what a call does, on a thread with a loop of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, call).result()


vars(claude_agent_sdk)["InMemorySessionStore"] = InMemorySessionStore
vars(session_store)["InMemorySessionStore"] = InMemorySessionStore
