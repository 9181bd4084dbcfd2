"""A database for one run of the benchmark, and schemas in it, which stand for files."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

__all__ = ["benchmark_database", "connected", "schema_of", "with_schema"]


@contextmanager
def benchmark_database(url: str) -> Iterator[str]:
    """Make an empty database on a server, yield its URL, and remove it at the end."""
    name = f"tract_bench_{secrets.token_hex(6)}"
    asyncio.run(_execute(url, f"CREATE DATABASE {name}"))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        asyncio.run(_execute(url, f"DROP DATABASE {name} WITH (FORCE)"))


def schema_of(path: Path) -> str:
    """Return the schema that stands for a file; the file itself says that the schema is there."""
    path.touch()
    return f"s{sha256(str(path).encode()).hexdigest()[:16]}"


def with_schema(url: str, schema: str) -> str:
    """Return the URL of a store in a schema."""
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


async def connected(url: str, schema: str) -> asyncpg.Connection:
    """Return a connection that finds its tables in a schema, which is made if need be."""
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    await connection.execute(
        f"SELECT pg_advisory_xact_lock(1); CREATE SCHEMA IF NOT EXISTS {schema}"
    )
    return connection


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
