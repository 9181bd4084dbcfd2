"""The schema version, and the steps from one version to the next.

Each step runs in the transaction that also writes its number, so a database has either taken a step
or not. Steps are only added at the end, and hold their SQL as text: a step that read today's tables
would change with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tract.exceptions import SchemaVersionError, StorageError, StoreCorruptError
from tract.storage.schema import METADATA
from tract.storage.sql.statements import commits as sql
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.options import options_of, set_options

__all__ = ["MIGRATIONS", "Migration", "migrate", "version"]

Migration = Callable[[sqlite3.Connection], None]

_VERSION = "schema_version"


_TABLES = (
    'CREATE TABLE _tract_meta ("key" VARCHAR(64) NOT NULL, value TEXT NOT NULL, '
    'PRIMARY KEY ("key")) WITHOUT ROWID',
    "CREATE TABLE blobs (content_hash BLOB NOT NULL, data BLOB NOT NULL, "
    "PRIMARY KEY (content_hash))",
    "CREATE TABLE commits (tract_id VARCHAR(255) NOT NULL, commit_hash BLOB NOT NULL, "
    "parent_hash BLOB, content_hash BLOB NOT NULL, content_type VARCHAR(255) NOT NULL, "
    "operation VARCHAR(16) NOT NULL, edit_target BLOB, message TEXT, metadata_json JSON, "
    "generation_config_json JSON, token_count BIGINT NOT NULL, "
    "token_source VARCHAR(255) NOT NULL, segment BIGINT NOT NULL, created_at BIGINT NOT NULL, "
    "PRIMARY KEY (tract_id, commit_hash), "
    "FOREIGN KEY(content_hash) REFERENCES blobs (content_hash))",
    "CREATE UNIQUE INDEX ix_commits_created_at ON commits (tract_id, created_at)",
    "CREATE INDEX ix_commits_edit_target ON commits (tract_id, edit_target) "
    "WHERE edit_target IS NOT NULL",
    "CREATE TABLE refs (tract_id VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL, "
    "commit_hash BLOB NOT NULL, segment BIGINT NOT NULL, PRIMARY KEY (tract_id, name), "
    "FOREIGN KEY(tract_id, commit_hash) REFERENCES commits (tract_id, commit_hash)) WITHOUT ROWID",
    'CREATE TABLE "usage" (tract_id VARCHAR(255) NOT NULL, commit_hash BLOB NOT NULL, '
    "prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL, "
    "total_tokens BIGINT NOT NULL, raw_json JSON NOT NULL, created_at BIGINT NOT NULL, "
    "PRIMARY KEY (tract_id, commit_hash), "
    "FOREIGN KEY(tract_id, commit_hash) REFERENCES commits (tract_id, commit_hash)) WITHOUT ROWID",
)
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
    "UPDATE refs SET updated_at = coalesce((SELECT created_at FROM commits WHERE "
    "commits.tract_id = refs.tract_id AND commits.commit_hash = refs.commit_hash), 0)",
    "UPDATE refs SET started_at = coalesce((SELECT min(created_at) FROM commits WHERE "
    "commits.tract_id = refs.tract_id AND commits.segment = refs.segment), updated_at)",
    "UPDATE refs SET created_at = started_at",
    "CREATE TABLE runs (tract_id VARCHAR(255) NOT NULL, segment BIGINT NOT NULL, "
    "name VARCHAR(255) NOT NULL, start_hash BLOB, started_at BIGINT NOT NULL, "
    "action VARCHAR(16) NOT NULL, note TEXT, end_hash BLOB NOT NULL, ended_at BIGINT NOT NULL, "
    "ended_by VARCHAR(16) NOT NULL, PRIMARY KEY (tract_id, segment)) WITHOUT ROWID",
    "CREATE TABLE origins (tract_id VARCHAR(255) NOT NULL, commit_hash BLOB NOT NULL, "
    "source_hash BLOB NOT NULL, kind VARCHAR(16) NOT NULL, "
    "PRIMARY KEY (tract_id, commit_hash, source_hash), "
    "FOREIGN KEY(tract_id, commit_hash) REFERENCES commits (tract_id, commit_hash)) WITHOUT ROWID",
    "CREATE TABLE spool (tract_id VARCHAR(255) NOT NULL, stream_id VARCHAR(64) NOT NULL, "
    "number BIGINT NOT NULL, branch VARCHAR(255) NOT NULL, owner TEXT NOT NULL, "
    "data JSON NOT NULL, updated_at BIGINT NOT NULL, "
    "PRIMARY KEY (tract_id, stream_id, number))",
)
# SQLite cannot make a column nullable. Renaming the tables would fail if a view names one, so the
# rows are copied twice.
_EMPTY_BRANCHES = (
    "CREATE TABLE _tract_refs AS SELECT * FROM refs",
    "DROP TABLE refs",
    "CREATE TABLE refs (tract_id VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL, "
    "commit_hash BLOB, segment BIGINT NOT NULL, created_at BIGINT NOT NULL, "
    "updated_at BIGINT NOT NULL, started_at BIGINT NOT NULL, start_hash BLOB, "
    "action VARCHAR(16) NOT NULL, note TEXT, PRIMARY KEY (tract_id, name), "
    "FOREIGN KEY(tract_id, commit_hash) REFERENCES commits (tract_id, commit_hash)) WITHOUT ROWID",
    "INSERT INTO refs (tract_id, name, commit_hash, segment, created_at, updated_at, started_at, "
    "start_hash, action, note) SELECT tract_id, name, commit_hash, segment, created_at, "
    "updated_at, started_at, start_hash, action, note FROM _tract_refs",
    "DROP TABLE _tract_refs",
    "CREATE TABLE _tract_runs AS SELECT * FROM runs",
    "DROP TABLE runs",
    "CREATE TABLE runs (tract_id VARCHAR(255) NOT NULL, segment BIGINT NOT NULL, "
    "name VARCHAR(255) NOT NULL, start_hash BLOB, started_at BIGINT NOT NULL, "
    "action VARCHAR(16) NOT NULL, note TEXT, end_hash BLOB, ended_at BIGINT NOT NULL, "
    "ended_by VARCHAR(16) NOT NULL, PRIMARY KEY (tract_id, segment)) WITHOUT ROWID",
    "INSERT INTO runs (tract_id, segment, name, start_hash, started_at, action, note, end_hash, "
    "ended_at, ended_by) SELECT tract_id, segment, name, start_hash, started_at, action, note, "
    "end_hash, ended_at, ended_by FROM _tract_runs",
    "DROP TABLE _tract_runs",
)

_ATTACHMENTS = (
    "CREATE TABLE attachments (tract_id VARCHAR(255) NOT NULL, attachment_hash BLOB NOT NULL, "
    "media_type TEXT, size BIGINT NOT NULL, created_at BIGINT NOT NULL, "
    "PRIMARY KEY (tract_id, attachment_hash), "
    "FOREIGN KEY(attachment_hash) REFERENCES blobs (content_hash)) WITHOUT ROWID",
    "CREATE TABLE attachment_uses (content_hash BLOB NOT NULL, attachment_hash BLOB NOT NULL, "
    "PRIMARY KEY (content_hash, attachment_hash), "
    "FOREIGN KEY(content_hash) REFERENCES blobs (content_hash), "
    "FOREIGN KEY(attachment_hash) REFERENCES blobs (content_hash)) WITHOUT ROWID",
    "CREATE INDEX ix_attachment_uses_attachment_hash ON attachment_uses (attachment_hash)",
)

_NAMES_AND_ERASURE = (
    'ALTER TABLE commits ADD COLUMN "key" TEXT',
    "ALTER TABLE commits ADD COLUMN erased_as BLOB",
    "CREATE INDEX ix_commits_erased_as ON commits (erased_as) WHERE erased_as IS NOT NULL",
    "CREATE INDEX ix_attachments_attachment_hash ON attachments (attachment_hash)",
    'CREATE TABLE keys (tract_id VARCHAR(255) NOT NULL, "key" TEXT NOT NULL, '
    "commit_hash BLOB NOT NULL, created_at BIGINT NOT NULL, "
    'PRIMARY KEY (tract_id, "key"), '
    "FOREIGN KEY(tract_id, commit_hash) REFERENCES commits (tract_id, commit_hash)) WITHOUT ROWID",
    "CREATE INDEX ix_keys_created_at ON keys (tract_id, created_at)",
    "CREATE TABLE tracts (tract_id VARCHAR(255) NOT NULL, title TEXT, metadata_json JSON, "
    "created_at BIGINT DEFAULT '0' NOT NULL, updated_at BIGINT DEFAULT '0' NOT NULL, "
    "commits BIGINT DEFAULT '0' NOT NULL, erasures BIGINT DEFAULT '0' NOT NULL, "
    "PRIMARY KEY (tract_id)) WITHOUT ROWID",
    "CREATE INDEX ix_tracts_updated_at ON tracts (updated_at)",
    "INSERT INTO tracts (tract_id, created_at, updated_at, commits) "
    "SELECT tract_id, min(created_at), max(created_at), count(*) FROM commits GROUP BY tract_id",
)

# A release that does not know compactions would show what they hide: it must not open the file.
_COMPACTIONS = (
    "CREATE INDEX ix_commits_compact ON commits (tract_id) WHERE operation = 'compact'",
)


def _running(statements: Sequence[str]) -> Migration:
    def step(connection: sqlite3.Connection) -> None:
        for text in statements:
            connection.execute(text)

    return step


MIGRATIONS: tuple[Migration, ...] = (
    _running(_TABLES),
    _running(_BRANCHES),
    _running(_EMPTY_BRANCHES),
    _running(_ATTACHMENTS),
    _running(_NAMES_AND_ERASURE),
    _running(_COMPACTIONS),
)
"""Step n leads from version n to n + 1; an empty database has version 0 and takes them all."""


def migrate(
    connection: sqlite3.Connection, path: str, steps: Sequence[Migration] = MIGRATIONS
) -> None:
    """Bring the database up to the newest version.

    Raises:
        SchemaVersionError: *steps* do not know its version.
        StorageError: another program made tables of these names in it.
    """
    if version(connection, path, steps) == len(steps):
        return  # takes no write lock, so that many processes can open at once
    with _foreign_keys_off(connection):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for step in steps[version(connection, path, steps) :]:
                step(connection)
            SqliteConnection(connection).run(sql.SET_META, key=_VERSION, value=str(len(steps)))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def _foreign_keys_off(connection: sqlite3.Connection) -> Iterator[None]:
    """Allow migrating a damaged database as it is, including rows that have lost their commit.

    SQLite accepts this option only outside transactions.
    """
    found = options_of(connection)
    set_options(connection, {"foreign_keys": 0})
    try:
        yield
    finally:
        set_options(connection, found)


def version(
    connection: sqlite3.Connection, path: str, steps: Sequence[Migration] = MIGRATIONS
) -> int:
    """Return how many of *steps* the database has taken; only reads.

    Raises:
        SchemaVersionError: *steps* do not know its version.
        StorageError: another program made tables of these names in it.
    """
    names = {
        row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    }
    ours = set(METADATA.tables)
    if "_tract_meta" not in names:
        if names & ours:
            raise StorageError(
                f"it holds tables named {sorted(names & ours)} that this library did not make. "
                "Give another path.",
                path,
            )
        return 0
    row = SqliteConnection(connection).one(sql.META, key=_VERSION)
    if row is None or not isinstance(row[0], str) or not row[0].isdecimal():
        raise StoreCorruptError(
            "its schema version is missing. Restore the file from a backup, or open another path.",
            path,
        )
    found = int(row[0])
    if found > len(steps):
        raise SchemaVersionError(found, len(steps), path)
    if found == len(MIGRATIONS) and not ours <= names:
        raise StoreCorruptError(
            f"it has no tables {sorted(ours - names)}. Restore the file from a backup.", path
        )
    return found
