"""The rows that queries look at, in each engine's database, without the store around them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import count
from typing import Any, TypeVar

from support.tables import create_tables
from tract.models.queries.query import Condition
from tract.storage.postgres.connections import connection
from tract.storage.postgres.connections.links import Raw
from tract.storage.postgres.json import PostgresConfigLanguage
from tract.storage.postgres.migrations import prepare
from tract.storage.sql.configs.querying import ConfigQueries
from tract.storage.sql.port import Connection
from tract.storage.sql.statements.commits import ADD_BLOB, ADD_COMMIT
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.json import SqliteConfigLanguage

__all__ = [
    "POSTGRES_QUERIES",
    "SQLITE_QUERIES",
    "PostgresConnection",
    "add_configs",
    "found",
    "fresh_tract",
    "postgres_tables",
    "sqlite_tables",
]

T = TypeVar("T")
POSTGRES_QUERIES = ConfigQueries(PostgresConfigLanguage())
SQLITE_QUERIES = ConfigQueries(SqliteConfigLanguage())
_BLOB = sha256(b"").digest()
_TRACTS = count()


class PostgresConnection(connection.PostgresConnection):
    """A `Connection` of its own, outside any store; use it within `run_in`."""

    def __init__(self, raw: Raw) -> None:
        super().__init__(raw, connection.Trips())

    async def run_in(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a synchronous *function* of this connection, and write what it has written."""

        def run(_: Connection) -> T:
            result = function(self, *arguments)
            self.flush()
            return result

        return await connection.running(run, self)


async def postgres_tables(raw: Raw) -> None:
    """Create every table, index and function in an empty database."""
    await prepare(raw, "public", "")


def sqlite_tables() -> SqliteConnection:
    """Return a database in memory with every table."""
    raw = sqlite3.connect(":memory:", isolation_level=None)
    create_tables(raw)
    return SqliteConnection(raw)


def add_configs(
    connection: Connection, tract_id: str, configs: Sequence[str | None], *, first: int = 0
) -> None:
    """Commit a row per config, given as JSON text, with times from *first* on."""
    connection.run(ADD_BLOB, content_hash=_BLOB, data=b"")
    for number, config in enumerate(configs, first):
        connection.run(
            ADD_COMMIT,
            tract_id=tract_id,
            commit_hash=sha256(f"{tract_id} {number}".encode()).digest(),
            parent_hash=None,
            content_hash=_BLOB,
            content_type="dialogue",
            operation="append",
            edit_target=None,
            message=None,
            metadata_json=None,
            generation_config_json=config,
            token_count=0,
            token_source="",
            segment=0,
            created_at=number,
            merge_parent=None,
            key=None,
        )


def fresh_tract() -> str:
    """Return a name that no tract has had."""
    return f"tract {next(_TRACTS)}"


def found(
    connection: Connection,
    queries: ConfigQueries,
    tract_id: str,
    conditions: Sequence[Condition],
    limit: int | None = None,
) -> list[int]:
    """Return the numbers of the configs that a query finds."""
    return [row.created_at for row in queries.matches(connection, tract_id, conditions, limit)]
