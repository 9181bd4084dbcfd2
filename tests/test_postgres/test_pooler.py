"""The pooler between tests and a server gives its clients a connection for one transaction each."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest


async def test_more_clients_than_connections_are_served(postgres_pooled: str) -> None:
    async def ask() -> int:
        connection = await asyncpg.connect(postgres_pooled, statement_cache_size=0)
        async with connection.transaction():
            pid: int = await connection.fetchval("SELECT pg_backend_pid() FROM pg_sleep(0.01)")
        await connection.close()
        return pid

    pids = await asyncio.gather(*(ask() for _ in range(12)))
    assert len(pids) == 12
    assert len({*pids}) <= 3


async def test_prepared_statements_do_not_last(postgres_pooled: str) -> None:
    """It is the oldest pooler that is supported: newer ones keep them."""
    holders = [await asyncpg.connect(postgres_pooled) for _ in range(2)]
    for holder in holders:
        transaction = holder.transaction()
        await transaction.start()
    statement = await holders[0].prepare("SELECT 1")
    assert await statement.fetchval() == 1
    with pytest.raises(asyncpg.PostgresError):
        await holders[1].fetchval("SELECT * FROM nowhere")
    for holder in holders:
        holder.terminate()


async def test_the_database_is_the_one_behind_it(postgres_pooled: str, postgres_url: str) -> None:
    through = await asyncpg.connect(postgres_pooled, statement_cache_size=0)
    await through.execute("CREATE TABLE t (a int)")
    direct = await asyncpg.connect(postgres_url)

    assert await direct.fetchval("SELECT count(*) FROM t") == 0
    await direct.close()
    await through.close()
