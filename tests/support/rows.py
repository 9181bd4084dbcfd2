"""What lies in a database, looked at past the library."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["TABLES", "row_counts"]

TABLES = ("blobs", "commits", "refs", "runs", "origins", "spool", "usage")


def row_counts(path: Path) -> dict[str, int]:
    """Return the number of rows by table."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in TABLES
        }
