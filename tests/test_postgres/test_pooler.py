"""The pooler between tests and a server gives its clients a connection for one transaction each."""

from __future__ import annotations

import asyncio

import asyncpg


async def test_more_clients_than_connections_are_served(postgres_pooled: str) -> None:
    clients = [await asyncpg.connect(postgres_pooled, statement_cache_size=0) for _ in range(8)]
    asked = "SELECT pg_backend_pid() FROM pg_sleep(0.01)"
    async with asyncio.timeout(20):
        pids = await asyncio.gather(*(client.fetchval(asked) for client in clients))

    assert 1 <= len({*pids}) <= 3
    for client in clients:
        await client.close()


async def test_the_database_is_the_one_behind_it(postgres_pooled: str, postgres_url: str) -> None:
    through = await asyncpg.connect(postgres_pooled, statement_cache_size=0)
    await through.execute("CREATE TABLE t (a int)")
    direct = await asyncpg.connect(postgres_url)

    assert await direct.fetchval("SELECT count(*) FROM t") == 0
    await direct.close()
    await through.close()
