from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from support.asking import PostgresConnection, postgres_tables


@pytest_asyncio.fixture
async def asked(postgres_url: str) -> AsyncIterator[PostgresConnection]:
    """A database with every table, and nothing in them."""
    raw = await asyncpg.connect(postgres_url)
    await postgres_tables(raw)
    yield PostgresConnection(raw)
    await raw.close()
