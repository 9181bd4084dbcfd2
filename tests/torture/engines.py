"""Engines of SQLAlchemy over the places where stores are."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from sqlalchemy import func, select, text, true
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from torture.model import Place
from tract.storage.schema import METADATA, meta, tracts

__all__ = ["blobs_of_nobody", "blobs_with", "connected_engine", "rows_left"]

_CONNECTIONS = 16
_ORPHANS = """SELECT count(*) FROM blobs
    WHERE content_hash NOT IN (SELECT content_hash FROM commits)
    AND content_hash NOT IN (SELECT erased_as FROM commits WHERE erased_as IS NOT NULL)
    AND content_hash NOT IN (SELECT attachment_hash FROM attachments)"""


def _engine(place: Place) -> AsyncEngine:
    if isinstance(place, Path):
        return create_async_engine(f"sqlite+aiosqlite:///{place}", pool_size=_CONNECTIONS)
    url, _, schema = place.rpartition("schema=")
    return create_async_engine(
        url.rstrip("?&").replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=_CONNECTIONS,
        connect_args={"server_settings": {"search_path": schema}},
    )


async def connected_engine(place: Place) -> AsyncEngine:
    """Return an engine that has made all its connections, so that their threads are there."""
    engine = _engine(place)
    async with AsyncExitStack() as stack:
        for _ in range(_CONNECTIONS):
            await stack.enter_async_context(engine.connect())
    return engine


async def blobs_of_nobody(place: Place) -> int:
    """Return how many blobs of a store no commit names."""
    engine = _engine(place)
    try:
        async with engine.connect() as connection:
            found: int = (await connection.execute(text(_ORPHANS))).scalar_one()
    finally:
        await engine.dispose()
    return found


async def blobs_with(place: Place, marks: Iterable[str]) -> list[str]:
    """Return those of some texts that a blob of a store has."""
    engine = _engine(place)
    try:
        async with engine.connect() as connection:
            rows = (await connection.execute(text("SELECT data FROM blobs"))).scalars()
            data = b"\n".join(map(bytes, rows))
    finally:
        await engine.dispose()
    return [mark for mark in marks if mark.encode() in data]


async def rows_left(place: Place) -> dict[str, int]:
    """Return how many rows each table of a store has that say something of a tract."""
    holding = {meta: meta.c.key.startswith("erasing/"), tracts: tracts.c.updated_at > 0}
    engine = _engine(place)
    try:
        async with engine.connect() as connection:
            found = {
                table.name: (
                    await connection.execute(
                        select(func.count()).select_from(table).where(holding.get(table, true()))
                    )
                ).scalar_one()
                for table in METADATA.tables.values()
            }
    finally:
        await engine.dispose()
    return {name: count for name, count in found.items() if count}
