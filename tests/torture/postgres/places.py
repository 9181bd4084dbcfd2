"""Where the faults of PostgreSQL take place: a database of their own on a server, or a server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import asyncpg

from support.postgres.server import Server, serving
from support.postgres.shared import Run as Servers
from torture.model import Report

__all__ = ["database", "server"]

_LEFT = """
SELECT state, left(query, 80) AS query FROM pg_stat_activity
WHERE datname = $1 AND backend_type = 'client backend'
"""
_PATIENCE = 5.0  # seconds in which the server notices that a client has gone


@asynccontextmanager
async def database(report: Report) -> AsyncIterator[str]:
    """Have the stores of a report in an empty database; check that no connection is left to it."""
    with _servers(report) as servers:
        url = await asyncio.to_thread(servers.url)
        admin = await asyncpg.connect(url)
        name = f"tract_torture_{secrets.token_hex(6)}"
        await admin.execute(f"CREATE DATABASE {name}")
        report.url = urlsplit(url)._replace(path=f"/{name}").geturl()
        try:
            yield report.url
            report.check(not (left := await _left(admin, name)), f"connections were left: {left}")
        finally:
            report.url = None
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await admin.close()


async def _left(admin: asyncpg.Connection, name: str) -> list[dict[str, object]]:
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while others := await admin.fetch(_LEFT, name):
        if asyncio.get_running_loop().time() > deadline:
            return [dict(other) for other in others]
        await asyncio.sleep(0.01)
    return []


@asynccontextmanager
async def server(report: Report, options: Mapping[str, str] | None = None) -> AsyncIterator[Server]:
    """Have the stores of a report on a server of their own, to which anything may be done."""
    with _servers(report) as servers:
        cluster = await asyncio.to_thread(servers.cluster)
        with serving(servers.binaries, cluster, options=options) as started:
            report.url = started.url()
            try:
                yield started
            finally:
                report.url = None


@contextmanager
def _servers(report: Report) -> Iterator[Servers]:
    if report.servers is not None:
        yield report.servers
        return
    servers = Servers.begin()
    try:
        yield servers
    finally:
        servers.end()
