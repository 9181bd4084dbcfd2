"""Databases for tests, each emptied and used again: making one takes longer than most tests."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg

from tract.storage.postgres.migrations import prepare

__all__ = ["Databases"]

_EMPTY = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT nspname FROM pg_namespace
      WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
  END LOOP;
END $$;
CREATE SCHEMA public
"""
_MADE = """
SELECT array_agg(relname || relnatts || '.' || oid ORDER BY oid) || ARRAY(
  SELECT oid::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY oid
) || ARRAY(SELECT nspname || oid FROM pg_namespace ORDER BY oid) || ARRAY(
  SELECT key || value FROM public._tract_meta)
FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
"""Tells whether the tables, indexes and functions are those that were made, and no others."""
_ROWS = """
SELECT array_agg(quote_ident(relname)), coalesce(max(pg_relation_size(oid)), 0)
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> '_tract_meta'
"""
_FEW = 10 * 8192
"""Bytes up to which the server plans for a table as for an empty one: for ten pages."""
_OTHERS = """
SELECT pid, state, left(query, 80) AS query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class _Database(NamedTuple):
    url: str
    connection: asyncpg.Connection
    made: list[str] | None = None
    """What a store's tables are known by, if they stand."""


class Databases:
    """The databases of one process on a server where it may create some.

    Its calls block, and run on an event loop of their own.
    """

    def __init__(self, url: str, *, patience: float = 2.0) -> None:
        """Connect to a server.

        Args:
            url: The URL of one of its databases.
            patience: Seconds in which the server notices that a client has gone.
        """
        self._url = url
        self._patience = patience
        # Not the loop of the thread: that is the one of the test that is running.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._server: asyncpg.Connection = self._do(asyncpg.connect(url))
        self._free: list[_Database] = []
        self._standing: list[_Database] = []
        self._made: list[str] = []

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of an empty database, all of whose connections are closed by the end.

        Raises:
            AssertionError: connections were left open.
        """
        database = self._free.pop() if self._free else self._do(self._create())
        try:
            with self._watched(database):
                yield database.url
        finally:
            self._do(database.connection.execute(_EMPTY))
            self._free.append(database)

    @contextmanager
    def standing(self) -> Iterator[str]:
        """Do what `empty` does with a database where the tables of a store stand, without rows.

        Making them takes as long as most tests.
        """
        database = self._standing.pop() if self._standing else self._do(self._create())
        if database.made is None:
            database = self._do(self._stood(database))
        try:
            with self._watched(database):
                yield database.url
        finally:
            self._standing.append(self._do(self._cleared(database)))

    @contextmanager
    def _watched(self, database: _Database) -> Iterator[None]:
        try:
            yield
        finally:
            left = self._do(self._left(database.connection))
        assert not left, f"connections were left open: {left}"

    def close(self) -> None:
        """Remove all databases that were made."""
        for database in [*self._free, *self._standing]:
            self._do(database.connection.close())
        for name in self._made:
            self._do(self._server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        self._do(self._server.close())
        self._runner.close()

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    async def _create(self) -> _Database:
        name = f"tract_test_{secrets.token_hex(6)}"
        # Without fsync a copy of the files is several times faster than one through the log.
        await self._server.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        self._made.append(name)
        url = urlsplit(self._url)._replace(path=f"/{name}").geturl()
        return _Database(url, await asyncpg.connect(url))

    async def _stood(self, database: _Database) -> _Database:
        await prepare(database.connection, "public", database.url)
        return database._replace(made=await database.connection.fetchval(_MADE))

    async def _cleared(self, database: _Database) -> _Database:
        """Remove the rows, or all there is where a test has changed more than rows."""
        connection = database.connection
        try:
            is_as_made = await connection.fetchval(_MADE) == database.made
        except asyncpg.UndefinedTableError:
            is_as_made = False
        if is_as_made:
            found = await connection.fetchrow(_ROWS)
            assert found is not None
            await connection.execute(_without_rows(*found))
            return database
        await connection.execute(_EMPTY)
        return database._replace(made=None)

    async def _left(self, connection: asyncpg.Connection) -> list[dict[str, object]]:
        """Return the connections that others leave open, after ending them."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while others := await connection.fetch(_OTHERS):
            if asyncio.get_running_loop().time() > deadline:
                pids = [other["pid"] for other in others]
                await connection.execute(
                    "SELECT pg_terminate_backend(p) FROM unnest($1::int[]) p", pids
                )
                return [dict(other) for other in others]
            await asyncio.sleep(0.005)
        return []


def _without_rows(tables: list[str], size: int) -> str:
    """Return what empties tables, the largest of which has *size* bytes.

    To truncate makes new files for every table and index, twenty times the work of deleting the
    rows of a small test. In one statement, as foreign keys are checked at its end.
    """
    if size > _FEW:
        return f"TRUNCATE {', '.join(tables)}"
    deletions = (f"d{at} AS (DELETE FROM {name})" for at, name in enumerate(tables))
    return f"WITH {', '.join(deletions)} SELECT"
