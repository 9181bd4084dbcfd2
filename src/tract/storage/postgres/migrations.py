"""The tables of a store, made and brought up to date by whoever opens it first.

A row of `_tract_meta` is the lock: of several processes that open a store at once, one makes the
tables, and the others wait for it and find them. Steps are only added at the end, and hold their
SQL as text: a step that read today's tables would change with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from tract.exceptions import SchemaVersionError, StorageError, StoreReadOnlyError
from tract.storage.postgres.connections.links import Raw
from tract.storage.postgres.json import FUNCTIONS
from tract.storage.postgres.targets import quoted

__all__ = ["STEPS", "prepare"]

_OLDEST = 15

_META = (
    'CREATE TABLE IF NOT EXISTS _tract_meta (key text COLLATE "C" PRIMARY KEY, value text NOT NULL)'
)
_FIND = "SELECT value FROM _tract_meta WHERE key = 'schema_version'"
_FIND_LOCKED = "SELECT value FROM _tract_meta WHERE key = 'schema_version' FOR UPDATE"
_BEGIN = (
    "INSERT INTO _tract_meta (key, value) VALUES ('schema_version', '0') ON CONFLICT DO NOTHING"
)
_NOTE = "UPDATE _tract_meta SET value = $1 WHERE key = 'schema_version'"

_TABLES = (
    'CREATE TABLE tracts (tract_id text COLLATE "C" PRIMARY KEY, version bigint NOT NULL) '
    "WITH (fillfactor = 50)",
    "CREATE TABLE blobs (content_hash bytea PRIMARY KEY, data bytea NOT NULL)",
    'CREATE TABLE attachments (tract_id text COLLATE "C", attachment_hash bytea, '
    "media_type text, size bigint NOT NULL, created_at bigint NOT NULL, "
    "PRIMARY KEY (tract_id, attachment_hash))",
    "CREATE TABLE attachment_uses (content_hash bytea, attachment_hash bytea, "
    "PRIMARY KEY (content_hash, attachment_hash))",
    "CREATE INDEX ix_attachment_uses_attachment_hash ON attachment_uses (attachment_hash)",
    'CREATE TABLE commits (tract_id text COLLATE "C", commit_hash bytea, parent_hash bytea, '
    'content_hash bytea NOT NULL, content_type text COLLATE "C" NOT NULL, '
    'operation text COLLATE "C" NOT NULL, edit_target bytea, message text, metadata_json json, '
    "generation_config_json json, token_count bigint NOT NULL, token_source text NOT NULL, "
    "segment bigint NOT NULL, created_at bigint NOT NULL, merge_parent bytea, "
    "PRIMARY KEY (tract_id, commit_hash))",
    "CREATE UNIQUE INDEX ix_commits_created_at ON commits (tract_id, created_at)",
    "CREATE INDEX ix_commits_edit_target ON commits (tract_id, edit_target) "
    "WHERE edit_target IS NOT NULL",
    "CREATE INDEX ix_commits_merge_parent ON commits (tract_id, created_at, merge_parent) "
    "WHERE merge_parent IS NOT NULL",
    'CREATE TABLE refs (tract_id text COLLATE "C", name text COLLATE "C", commit_hash bytea, '
    "segment bigint NOT NULL, created_at bigint NOT NULL, updated_at bigint NOT NULL, "
    "started_at bigint NOT NULL, start_hash bytea, action text NOT NULL, note text, "
    "PRIMARY KEY (tract_id, name)) WITH (fillfactor = 50)",
    'CREATE TABLE runs (tract_id text COLLATE "C", segment bigint, '
    'name text COLLATE "C" NOT NULL, start_hash bytea, started_at bigint NOT NULL, '
    "action text NOT NULL, note text, end_hash bytea, ended_at bigint NOT NULL, "
    "ended_by text NOT NULL, PRIMARY KEY (tract_id, segment))",
    'CREATE TABLE origins (tract_id text COLLATE "C", commit_hash bytea, source_hash bytea, '
    'kind text COLLATE "C" NOT NULL, PRIMARY KEY (tract_id, commit_hash, source_hash))',
    'CREATE TABLE usage (tract_id text COLLATE "C", commit_hash bytea, '
    "prompt_tokens bigint NOT NULL, completion_tokens bigint NOT NULL, "
    "total_tokens bigint NOT NULL, raw_json json NOT NULL, created_at bigint NOT NULL, "
    "PRIMARY KEY (tract_id, commit_hash))",
    'CREATE TABLE spool (tract_id text COLLATE "C", stream_id text COLLATE "C", '
    'number bigint, branch text COLLATE "C" NOT NULL, owner text NOT NULL, data json NOT NULL, '
    "updated_at bigint NOT NULL, PRIMARY KEY (tract_id, stream_id, number))",
)
_NAMES_AND_ERASURE = (
    "ALTER TABLE commits ADD COLUMN key text, ADD COLUMN erased_as bytea",
    "CREATE INDEX ix_commits_content_hash ON commits (content_hash)",
    "CREATE INDEX ix_commits_erased_as ON commits (erased_as) WHERE erased_as IS NOT NULL",
    "CREATE INDEX ix_attachments_attachment_hash ON attachments (attachment_hash)",
    'CREATE TABLE keys (tract_id text COLLATE "C", key text COLLATE "C", '
    "commit_hash bytea NOT NULL, created_at bigint NOT NULL, PRIMARY KEY (tract_id, key))",
    "CREATE INDEX ix_keys_created_at ON keys (tract_id, created_at)",
    "ALTER TABLE tracts ADD COLUMN title text, ADD COLUMN metadata_json json, "
    "ADD COLUMN created_at bigint NOT NULL DEFAULT 0, "
    "ADD COLUMN updated_at bigint NOT NULL DEFAULT 0, "
    "ADD COLUMN commits bigint NOT NULL DEFAULT 0, "
    "ADD COLUMN erasures bigint NOT NULL DEFAULT 0",
    "CREATE INDEX ix_tracts_updated_at ON tracts (updated_at)",
    "UPDATE tracts SET created_at = found.first_time, updated_at = found.last_time, "
    "commits = found.number FROM (SELECT tract_id, min(created_at) AS first_time, "
    "max(created_at) AS last_time, count(*) AS number FROM commits GROUP BY tract_id) AS found "
    "WHERE tracts.tract_id = found.tract_id",
)
_COMPACTIONS = (
    "CREATE INDEX ix_commits_compact ON commits (tract_id) WHERE operation = 'compact'",
)
STEPS: Sequence[Sequence[str]] = ((*_TABLES, *FUNCTIONS), _NAMES_AND_ERASURE, _COMPACTIONS)
"""The statements of each step, from an empty schema on."""


async def prepare(raw: Raw, schema: str, path: str, *, read_only: bool = False) -> str | None:
    """Make the tables, or bring them up to date, if that is allowed.

    Returns:
        Why nothing can be written, as callers are told; None if it can.

    Raises:
        SchemaVersionError: a newer release has made them, or an older one and they are read-only.
        StoreReadOnlyError: there is no store yet, and none can be made.
        StorageError: the server is too old.
    """
    if raw.get_server_version().major < _OLDEST:
        raise StorageError(f"the server is older than PostgreSQL {_OLDEST}.", path)
    problem = await _read_only(raw, asked=read_only)
    found = await _version(raw)
    if problem is not None and found is None:
        raise StoreReadOnlyError(f"there is no store yet, and none can be made: {problem}", path)
    if problem is None and (found is None or found < len(STEPS)):
        found = await _migrate(raw, schema)
    if found != len(STEPS):
        raise SchemaVersionError(found or 0, len(STEPS), path)
    return problem


async def _read_only(raw: Raw, *, asked: bool) -> str | None:
    if asked:
        return (
            "the store was opened read-only, by `mode=ro`. Nothing was written. Open it without "
            "that to write."
        )
    if await raw.fetchval(
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
    ):
        return (
            "the server is read-only, as a standby is. Nothing was written. Connect to the primary."
        )
    return None


async def _version(raw: Raw) -> int | None:
    try:
        value = await raw.fetchval(_FIND)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    return None if value is None else int(value)


async def _migrate(raw: Raw, schema: str) -> int:
    await _make_lock(raw, schema)
    async with raw.transaction():
        found = int(await raw.fetchval(_FIND_LOCKED))
        for statements in STEPS[found:]:
            for statement in statements:
                await raw.execute(statement)
        if found < len(STEPS):
            await raw.execute(_NOTE, str(len(STEPS)))
        return max(found, len(STEPS))


_MADE_MEANWHILE = (
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateObjectError,
    asyncpg.DuplicateSchemaError,
    asyncpg.DuplicateTableError,
)
"""What making something raises that another process makes at the same moment."""


async def _make_lock(raw: Raw, schema: str) -> None:
    """Make the row that is the lock. Two that create one table at once may fail, and try again."""
    name = quoted(schema)
    for again in (True, True, False):
        try:
            exists = await raw.fetchval("SELECT to_regnamespace($1) IS NOT NULL", name)
            if not exists:
                await raw.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")
            await raw.execute(_META)
            break
        except _MADE_MEANWHILE:
            if not again:
                raise
    await raw.execute(_BEGIN)
