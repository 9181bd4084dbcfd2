"""What a SQLite database is, and giving its free pages back; runs on the connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from tract.storage.repositories import Residue, StoreFacts
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.file import DatabaseFile

__all__ = ["facts", "vacuum"]

_OFTEN = 20_000
"""Steps of SQLite's machine, some milliseconds, between looks whether to stop."""
_FULL = 2


def facts(connection: SqliteConnection, file: DatabaseFile, *, read_only: bool) -> StoreFacts:
    """See `StoreRepository.facts`."""

    def told(name: str) -> int:
        [[value]] = connection.raw.execute(f"PRAGMA {name}").fetchall()  # the names are ours
        return int(value)

    page = told("page_size")
    return StoreFacts(
        "sqlite",
        sqlite3.sqlite_version,
        "full" if told("synchronous") >= _FULL else "normal",
        read_only,
        page * told("page_count"),
        page * told("freelist_count"),
        file.log.size(),
    )


def vacuum(
    connection: sqlite3.Connection, file: DatabaseFile, stopped: Callable[[], bool]
) -> Residue | None:
    """Write the database anew, without what is in free pages and in unused parts of others.

    Readers go on meanwhile; writers of this store and of others wait. It changes nothing if
    *stopped* returns True before the end, or if the file or its log is not that which was opened.

    Returns:
        Where erased bytes may still be.
    """
    _check(connection, file)
    connection.set_progress_handler(stopped, _OFTEN)
    try:
        connection.execute("VACUUM")
    finally:
        connection.set_progress_handler(None, 0)
    file.resized()
    return None if file.log.shorten() else "log"


def _check(connection: sqlite3.Connection, file: DatabaseFile) -> None:
    """Raise what is wrong with the file, looked at while nobody writes: the log grows meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        fault = file.fault()
    finally:
        connection.execute("ROLLBACK")
    if fault is not None:
        raise fault
