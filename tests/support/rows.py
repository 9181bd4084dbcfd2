"""What a database holds, read without the library."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["TABLES", "add_twin", "row_counts"]

TABLES = ("blobs", "commits", "refs", "runs", "origins", "spool", "usage")


def row_counts(path: Path) -> dict[str, int]:
    """Return the number of rows by table."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in TABLES
        }


def add_twin(path: Path, commit_hash: str, *, digits: int = 60) -> str:
    """Add a copy of a commit whose hash shares the first *digits* with it; return that hash."""
    twin = commit_hash[:digits] + "".join("f" if d == "0" else "0" for d in commit_hash[digits:])
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.row_factory = sqlite3.Row
        key = bytes.fromhex(commit_hash)
        [found] = connection.execute("SELECT * FROM commits WHERE commit_hash = ?", [key])
        [last] = connection.execute("SELECT max(created_at) FROM commits").fetchone()
        row = {**found, "commit_hash": bytes.fromhex(twin), "created_at": last + 1}
        places = ", ".join(f":{column}" for column in row)
        connection.execute(f"INSERT INTO commits ({', '.join(row)}) VALUES ({places})", row)
    return twin
