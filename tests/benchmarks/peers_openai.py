"""The sessions of the OpenAI Agents SDK, as its documentation says to use them.

Their items are Responses input items; `{"role", "content"}` is one, and the sessions store any
dict as its JSON. https://openai.github.io/openai-agents-python/sessions/
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from agents import SQLiteSession
from agents.extensions.memory import SQLAlchemySession
from agents.items import TResponseInputItem
from agents.memory import SessionABC
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.workload import ChatMessage

__all__ = ["AlchemyBackend", "AlchemyOpened", "SqliteBackend"]


class _Session:
    def __init__(self, session: SessionABC) -> None:
        self._session = session

    async def append(self, message: ChatMessage) -> None:
        await self._session.add_items([cast("TResponseInputItem", message)])

    async def extend(self, messages: Sequence[ChatMessage]) -> None:
        await self._session.add_items([cast("TResponseInputItem", item) for item in messages])

    async def load(self) -> list[Any]:
        return list(await self._session.get_items())

    async def read(self) -> list[Any]:
        return await self.load()


class _SqliteOpened:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._sessions: dict[str, SQLiteSession] = {}

    def conversation(self, name: str) -> _Session:
        if name not in self._sessions:
            self._sessions[name] = SQLiteSession(name, self._path)
        return _Session(self._sessions[name])

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


class SqliteBackend:
    """`SQLiteSession`: a connection for each thread of the event loop's pool and session."""

    name = "SQLiteSession"
    module = "agents"

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[_SqliteOpened]:
        opened = _SqliteOpened(path)
        try:
            yield opened
        finally:
            opened.close()


class AlchemyOpened:
    """An engine that is open."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def conversation(self, name: str) -> _Session:
        return _Session(SQLAlchemySession(name, engine=self._engine))


class AlchemyBackend:
    """`SQLAlchemySession`: one engine for all sessions, tables made beforehand."""

    name = "SQLAlchemySession"
    module = "agents.extensions.memory.sqlalchemy_session"

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[AlchemyOpened]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        await SQLAlchemySession("tables", engine=engine, create_tables=True).get_items()
        try:
            yield AlchemyOpened(engine)
        finally:
            await engine.dispose()
