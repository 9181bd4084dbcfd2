"""Plain `sqlite3` doing the least that the same work needs, on the calling thread.

For a commit that is BEGIN IMMEDIATE, read the head, insert the blob, insert the commit, set
the ref, COMMIT. Hashes and JSON are made beforehand: what is timed is SQLite.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.workload import CONFIG, ChatMessage

__all__ = ["PlainRow", "PlainStore", "plain_rows", "read_steps", "scan"]

_TABLES = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS blobs (hash BLOB PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS commits (
        hash BLOB PRIMARY KEY, tract TEXT NOT NULL, parent BLOB, content BLOB NOT NULL,
        config TEXT, created_at INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS refs (
        tract TEXT NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (tract, name)
    );
"""
_ORDER = "CREATE INDEX IF NOT EXISTS by_time ON commits (tract, created_at)"


class PlainRow(NamedTuple):
    """A commit that is ready to be stored."""

    tract: str
    commit_hash: bytes
    content_hash: bytes
    data: bytes
    config: str
    created_at: int


def plain_rows(messages: Iterable[ChatMessage], tract: str = "main") -> list[PlainRow]:
    """Return messages as commits of a tract."""
    config = json.dumps(CONFIG)
    rows: list[PlainRow] = []
    for number, message in enumerate(messages):
        data = json.dumps(message).encode()
        content_hash = hashlib.sha256(data).digest()
        commit_hash = hashlib.sha256(f"{tract}/{number}".encode() + content_hash).digest()
        rows.append(PlainRow(tract, commit_hash, content_hash, data, config, number))
    return rows


class PlainStore:
    """The same tables, without what makes them safe to use.

    They have an index for reading histories only where that is part of the work.
    """

    def __init__(self, path: Path, *, histories: bool = False) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(_TABLES)
        if histories:
            self._connection.execute(_ORDER)

    def commit(self, rows: Sequence[PlainRow]) -> None:
        """Store *rows* in one transaction."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for row in rows:
            head = execute(
                "SELECT hash FROM refs WHERE tract = ? AND name = 'main'", (row.tract,)
            ).fetchone()
            execute(
                "INSERT INTO blobs VALUES (?, ?) ON CONFLICT DO NOTHING",
                (row.content_hash, row.data),
            )
            execute(
                "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?)",
                (
                    row.commit_hash,
                    row.tract,
                    head and head[0],
                    row.content_hash,
                    row.config,
                    row.created_at,
                ),
            )
            execute(
                "INSERT INTO refs VALUES (?, 'main', ?)"
                " ON CONFLICT (tract, name) DO UPDATE SET hash = excluded.hash",
                (row.tract, row.commit_hash),
            )
        execute("COMMIT")

    def newest(self, tract: str = "main") -> Any:
        """Read the newest message back."""
        row = self._connection.execute(
            "SELECT data FROM refs JOIN commits ON commits.hash = refs.hash"
            " JOIN blobs ON blobs.hash = content WHERE refs.tract = ? AND name = 'main'",
            (tract,),
        ).fetchone()
        return json.loads(row[0])

    def read(self, tract: str = "main") -> list[Any]:
        """Read all messages of a tract back."""
        rows = self._connection.execute(
            "SELECT data FROM commits JOIN blobs ON blobs.hash = content"
            " WHERE tract = ? ORDER BY created_at",
            (tract,),
        ).fetchall()
        return [json.loads(data) for (data,) in rows]

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def read_steps(path: Path, tract_id: str) -> list[Any]:
    """Fetch from AsyncTract's own file the rows that a compile needs, and parse the contents.

    Their configs stay JSON: a compile does not need them parsed either.
    """
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(
            "SELECT commit_hash, operation, edit_target, content_type, data, token_count,"
            " generation_config_json FROM commits JOIN blobs USING (content_hash)"
            " WHERE tract_id = ? ORDER BY created_at",
            (tract_id,),
        ).fetchall()
    finally:
        connection.close()
    return [(row, json.loads(row[4])) for row in rows]


def scan(connection: sqlite3.Connection, tract_id: str, model: str) -> list[Any]:
    """Return AsyncTract's own rows of the commits whose config names *model*."""
    return connection.execute(
        "SELECT commit_hash, parent_hash, content_hash, content_type, operation, token_count,"
        " generation_config_json, created_at FROM commits"
        " WHERE tract_id = ? AND json_extract(generation_config_json, '$.model') = ?"
        " ORDER BY created_at",
        (tract_id, model),
    ).fetchall()
