"""Plain asyncpg doing the least that the same work needs, in one task.

A commit is one statement: insert the blob, insert the commit, set the ref. Hashes and JSON are made
beforehand, and the head is known: what is timed is the trip and the server.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from benchmarks.limit import PlainRow
from benchmarks.postgres.servers import connected

__all__ = ["PlainServer", "plain_server", "read_steps", "scan"]

_TABLES = """
    SELECT pg_advisory_xact_lock(1);  -- processes that start at once
    CREATE TABLE IF NOT EXISTS blobs (hash bytea PRIMARY KEY, data bytea NOT NULL);
    CREATE TABLE IF NOT EXISTS commits (
        hash bytea PRIMARY KEY, tract text NOT NULL, parent bytea, content bytea NOT NULL,
        config json, created_at bigint NOT NULL
    );
    CREATE TABLE IF NOT EXISTS refs (
        tract text NOT NULL, name text NOT NULL, hash bytea NOT NULL, PRIMARY KEY (tract, name)
    );
"""
_CLASH = "ON CONFLICT (tract, name) DO UPDATE SET hash = excluded.hash"
_ONE = f"""
    WITH blob AS (INSERT INTO blobs VALUES ($3, $4) ON CONFLICT DO NOTHING),
    made AS (INSERT INTO commits VALUES ($2, $1, $7, $3, $5::text::json, $6))
    INSERT INTO refs VALUES ($1, 'main', $2) {_CLASH}
"""
_MANY = f"""
    WITH given AS (
        SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::text[],
            $6::bigint[], $7::bytea[])
        AS item(tract, hash, content, data, config, created_at, parent)
    ),
    blob AS (INSERT INTO blobs SELECT content, data FROM given ON CONFLICT DO NOTHING),
    made AS (
        INSERT INTO commits SELECT hash, tract, parent, content, config::json, created_at FROM given
    )
    INSERT INTO refs SELECT DISTINCT ON (tract) tract, 'main', hash FROM given
    ORDER BY tract, created_at DESC {_CLASH}
"""
_HEAD = "SELECT hash FROM refs WHERE tract = $1 AND name = 'main'"


class PlainServer:
    """The same tables, without what makes them safe to use."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._heads: dict[str, bytes] = {}

    async def commit(self, rows: Sequence[PlainRow]) -> None:
        """Store *rows* in one trip."""
        given = []
        for row in rows:
            given.append((*row, self._heads.get(row.tract)))
            self._heads[row.tract] = row.commit_hash
        if len(given) == 1:
            await self._connection.execute(_ONE, *given[0])
        else:
            columns = zip(*given, strict=True)
            await self._connection.execute(_MANY, *map(list, columns))

    async def commit_locked(self, row: PlainRow) -> None:
        """Lock the branch, read its head, and store *row* on it."""
        async with self._connection.transaction():
            head = await self.head(row.tract, locked=True)
            await self._connection.execute(_ONE, *row, head)

    async def head(self, tract: str, *, locked: bool = False) -> bytes | None:
        """Read one row."""
        found: bytes | None = await self._connection.fetchval(
            f"{_HEAD}{' FOR UPDATE' if locked else ''}", tract
        )
        return found


@asynccontextmanager
async def plain_server(url: str, schema: str) -> AsyncIterator[PlainServer]:
    """Make the tables in a schema, where they are not there yet."""
    connection = await connected(url, schema)
    try:
        await connection.execute(_TABLES)
        yield PlainServer(connection)
    finally:
        await connection.close()


async def read_steps(connection: asyncpg.Connection, tract_id: str) -> list[Any]:
    """Fetch from AsyncTract's own tables what a compile needs, and parse the contents."""
    rows = await connection.fetch(
        "SELECT commit_hash, operation, edit_target, content_type, data, token_count,"
        " generation_config_json FROM commits JOIN blobs USING (content_hash)"
        " WHERE tract_id = $1 ORDER BY created_at",
        tract_id,
    )
    return [(row, json.loads(row["data"])) for row in rows]


async def scan(connection: asyncpg.Connection, tract_id: str, model: str) -> list[Any]:
    """Return AsyncTract's own rows of the commits whose config names *model*."""
    found: list[Any] = await connection.fetch(
        "SELECT commit_hash, parent_hash, content_hash, content_type, operation, token_count,"
        " generation_config_json, created_at FROM commits"
        " WHERE tract_id = $1 AND generation_config_json->>'model' = $2 ORDER BY created_at",
        *(tract_id, model),
    )
    return found
