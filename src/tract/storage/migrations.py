"""The schema's version, and the steps from one to the next.

Each step runs in the transaction that also writes its number, so that a database has either
taken a step or not. Steps are only ever added at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from tract.exceptions import SchemaVersionError, StorageError, StoreCorruptError
from tract.storage import statements as sql

__all__ = ["MIGRATIONS", "Migration", "migrate", "version"]

Migration = Callable[[sqlite3.Connection], None]

_VERSION = "schema_version"


_BRANCHES = (
    "ALTER TABLE commits ADD COLUMN merge_parent BLOB",
    "CREATE INDEX ix_commits_merge_parent ON commits (tract_id, created_at, merge_parent) "
    "WHERE merge_parent IS NOT NULL",
    "ALTER TABLE refs ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE refs ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE refs ADD COLUMN started_at BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE refs ADD COLUMN start_hash BLOB",
    "ALTER TABLE refs ADD COLUMN action VARCHAR(16) NOT NULL DEFAULT 'create'",
    "ALTER TABLE refs ADD COLUMN note TEXT",
    "UPDATE refs SET updated_at = (SELECT created_at FROM commits WHERE "
    "commits.tract_id = refs.tract_id AND commits.commit_hash = refs.commit_hash)",
    "UPDATE refs SET started_at = coalesce((SELECT min(created_at) FROM commits WHERE "
    "commits.tract_id = refs.tract_id AND commits.segment = refs.segment), updated_at)",
    "UPDATE refs SET created_at = started_at",
)


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in sql.create_all():
        statement.run(connection)


def _add_branches(connection: sqlite3.Connection) -> None:
    for text in _BRANCHES:
        connection.execute(text)
    for statement in sql.create_tables("runs", "origins", "spool"):
        statement.run(connection)


MIGRATIONS: tuple[Migration, ...] = (_create_tables, _add_branches)
"""Step n leads from version n to version n + 1. The first makes the newest tables at once: an
empty database, of version 0, takes no other."""


def migrate(
    connection: sqlite3.Connection, path: str, steps: Sequence[Migration] = MIGRATIONS
) -> None:
    """Bring the database up to the newest version.

    Raises:
        SchemaVersionError: it is of a version that *steps* do not know.
        StorageError: it holds tables of these names that another program made.
    """
    if version(connection, path, steps) == len(steps):
        return  # no write lock for the common case, so that many processes can open at once
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = version(connection, path, steps)
        for step in steps[found:] if found else steps[:1]:
            step(connection)
        sql.SET_META.run(connection, key=_VERSION, value=str(len(steps)))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version(
    connection: sqlite3.Connection, path: str, steps: Sequence[Migration] = MIGRATIONS
) -> int:
    """Return how many of *steps* the database has taken; it only reads.

    Raises:
        SchemaVersionError: it is of a version that *steps* do not know.
        StorageError: it holds tables of these names that another program made.
    """
    names = {
        row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    }
    ours = set(sql.TABLES)
    if "_tract_meta" not in names:
        if names & ours:
            raise StorageError(
                f"it holds tables named {sorted(names & ours)} that this library did not make. "
                "Give another path.",
                path,
            )
        return 0
    row = sql.META.one(connection, key=_VERSION)
    if row is None or not row[0].isdecimal():
        raise StoreCorruptError(
            "its schema version is lost. Restore the file from a backup, or open another path.",
            path,
        )
    found = int(row[0])
    if found > len(steps):
        raise SchemaVersionError(found, len(steps), path)
    return found
