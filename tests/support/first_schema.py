"""A database as the first release made it, in SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from tract.history.canonical import canonical_bytes
from tract.history.hashing import commit_hash

__all__ = ["Line", "write"]

_TABLES = """
CREATE TABLE _tract_meta (
    "key" VARCHAR(64) NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key")
) WITHOUT ROWID;
CREATE TABLE blobs (
    content_hash BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (content_hash)
);
CREATE TABLE commits (
    tract_id VARCHAR(255) NOT NULL,
    commit_hash BLOB NOT NULL,
    parent_hash BLOB,
    content_hash BLOB NOT NULL,
    content_type VARCHAR(255) NOT NULL,
    operation VARCHAR(16) NOT NULL,
    edit_target BLOB,
    message TEXT,
    metadata_json JSON,
    generation_config_json JSON,
    token_count BIGINT NOT NULL,
    token_source VARCHAR(255) NOT NULL,
    segment BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tract_id, commit_hash),
    FOREIGN KEY(content_hash) REFERENCES blobs (content_hash)
);
CREATE UNIQUE INDEX ix_commits_created_at ON commits (tract_id, created_at);
CREATE INDEX ix_commits_edit_target ON commits (tract_id, edit_target)
    WHERE edit_target IS NOT NULL;
CREATE TABLE refs (
    tract_id VARCHAR(255) NOT NULL,
    name VARCHAR(255) NOT NULL,
    commit_hash BLOB NOT NULL,
    segment BIGINT NOT NULL,
    PRIMARY KEY (tract_id, name),
    FOREIGN KEY(tract_id, commit_hash) REFERENCES commits (tract_id, commit_hash)
) WITHOUT ROWID;
CREATE TABLE usage (
    tract_id VARCHAR(255) NOT NULL,
    commit_hash BLOB NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    total_tokens BIGINT NOT NULL,
    raw_json JSON NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tract_id, commit_hash),
    FOREIGN KEY(tract_id, commit_hash) REFERENCES commits (tract_id, commit_hash)
) WITHOUT ROWID;
INSERT INTO _tract_meta VALUES ('schema_version', '1');
"""

Line = tuple[str, str, tuple[str, ...]]
"""A branch: its tract, its name, and the texts committed to it."""


def write(path: Path, lines: tuple[Line, ...]) -> dict[tuple[str, str], list[str]]:
    """Create a database with these branches; return the hashes of each, oldest first.

    Every head has a usage report of 5 and 2 tokens.
    """
    made: dict[tuple[str, str], list[str]] = {}
    times: dict[str, int] = {}
    segments: dict[str, int] = {}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(_TABLES)
        for tract_id, branch, texts in lines:
            segment = segments[tract_id] = segments.get(tract_id, -1) + 1
            hashes = made[tract_id, branch] = []
            for text in texts:
                times[tract_id] = times.get(tract_id, 0) + 1_000_000
                parent = hashes[-1] if hashes else None
                place = (tract_id, segment, times[tract_id])
                hashes.append(_commit(connection, place, parent, text))
            ref = (tract_id, f"refs/heads/{branch}", bytes.fromhex(hashes[-1]), segment)
            connection.execute("INSERT INTO refs VALUES (?, ?, ?, ?)", ref)
            report = (tract_id, ref[2], 5, 2, 7, "{}", times[tract_id])
            connection.execute("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?)", report)
    return made


def _commit(
    connection: sqlite3.Connection, place: tuple[str, int, int], parent: str | None, text: str
) -> str:
    tract_id, segment, time = place
    fields = {"content_type": "dialogue", "name": None, "role": "user", "text": text}
    data = canonical_bytes(fields)
    content = sha256(data)
    name = commit_hash(
        parent=parent,
        content_hash=content.hexdigest(),
        content_type="dialogue",
        operation="append",
        timestamp=time,
        target=None,
    )
    connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (content.digest(), data))
    row = (
        *(tract_id, bytes.fromhex(name), parent and bytes.fromhex(parent), content.digest()),
        *("dialogue", "append", None, None, None, None, 0, "null", segment, time),
    )
    connection.execute(f"INSERT INTO commits VALUES ({', '.join('?' * len(row))})", row)
    return name
