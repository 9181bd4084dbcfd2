"""The options of a connection, which SQLite takes as PRAGMAs."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

__all__ = ["options_of", "set_options"]


def options_of(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the current values of the options that we set."""
    return {
        name: connection.execute(f"PRAGMA {name}").fetchall()[0][0]
        for name in ("busy_timeout", "foreign_keys", "secure_delete", "synchronous")
    }


def set_options(connection: sqlite3.Connection, options: Mapping[str, int]) -> None:
    """Set options by name; the names must be constants of ours."""
    for name, value in options.items():
        # PRAGMA takes no bound parameters; the names are ours and the values integers.
        connection.execute(f"PRAGMA {name} = {int(value)}").fetchall()
