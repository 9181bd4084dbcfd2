"""A plugin of pytest: tests that name the Agents SDK's `SQLiteSession` get a `TractSession`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import agents
from agents.memory import sqlite_session

from tract.integrations.openai_agents import TractSession


class SQLiteSession(TractSession):
    """Takes the arguments of the session that it stands for, and closes without being awaited.

    That session has no way to replace all items at once, and tests wait for the calls in its place.
    """

    _atomic_replace_items = None  # type: ignore[assignment]

    def __init__(
        self,
        session_id: str,
        db_path: str | Path = ":memory:",
        sessions_table: str = "",
        messages_table: str = "",
        session_settings: Any = None,
    ) -> None:
        super().__init__(session_id, db_path, session_settings=session_settings)
        self.db_path = db_path
        self._closing: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self.aclose())
        else:
            self._closing.add(loop.create_task(self.aclose()))


for module in (agents, agents.memory, sqlite_session):
    vars(module)["SQLiteSession"] = SQLiteSession
