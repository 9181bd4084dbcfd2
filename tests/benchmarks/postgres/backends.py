"""AsyncTract and its peers on a server; a file that they are asked to open stands for a schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agents.extensions.memory import SQLAlchemySession
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.model import OURS, POSTGRES_SAVER, SQLALCHEMY_SESSION
from benchmarks.ours import OursOpened
from benchmarks.peers_langgraph import SaverOpened
from benchmarks.peers_openai import AlchemyOpened
from benchmarks.postgres.servers import connected, schema_of, with_schema
from tract import TractStore

__all__ = ["AlchemyOnServer", "OursOnServer", "SaverOnServer"]


class OursOnServer:
    """AsyncTract with its own defaults."""

    name = OURS
    module = "tract"

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[OursOpened]:
        async with TractStore.open(with_schema(self.url, schema_of(path))) as store:
            yield OursOpened(store)


class AlchemyOnServer:
    """`SQLAlchemySession` on asyncpg: one engine for all sessions, tables made beforehand."""

    name = SQLALCHEMY_SESSION
    module = "agents.extensions.memory.sqlalchemy_session"

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[AlchemyOpened]:
        schema = await _made(self._url, path)
        engine = create_async_engine(
            self._url.replace("postgresql://", "postgresql+asyncpg://", 1),
            connect_args={"server_settings": {"search_path": schema}},
        )
        await SQLAlchemySession("tables", engine=engine, create_tables=True).get_items()
        try:
            yield AlchemyOpened(engine)
        finally:
            await engine.dispose()


class SaverOnServer:
    """`AsyncPostgresSaver`: one connection for all threads of conversation."""

    name = POSTGRES_SAVER
    module = "langgraph.checkpoint.postgres.aio"

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[SaverOpened]:
        schema = await _made(self._url, path)
        url = f"{self._url}{'&' if '?' in self._url else '?'}options=-csearch_path%3D{schema}"
        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
            yield SaverOpened(saver)


async def _made(url: str, path: Path) -> str:
    schema = schema_of(path)
    await (await connected(url, schema)).close()
    return schema
