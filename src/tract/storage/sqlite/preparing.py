"""Preparing a connection: its options and, on a store's first one, the schema version."""

from __future__ import annotations

import os
import sqlite3
import time

from tract.exceptions import SchemaVersionError, StorageError, StoreReadOnlyError
from tract.models.config import TractConfig
from tract.running.forking import PROCESS
from tract.storage.sqlite.file import main_file
from tract.storage.sqlite.migrations import MIGRATIONS, migrate, version
from tract.storage.sqlite.options import set_options
from tract.storage.sqlite.targets import Target, lacks_permission

__all__ = ["prepare", "prepare_first"]


def prepare(connection: sqlite3.Connection, config: TractConfig, path: str) -> None:
    """Set a connection's options.

    Raises:
        ForkedProcessError: the file was open when this process was forked.
    """
    PROCESS.check_file(main_file(connection), path)  # whatever file the URL or creator named
    set_options(
        connection,
        {
            "busy_timeout": round(config.busy_timeout * 1000),
            "foreign_keys": 1,
            "secure_delete": 1,
            "synchronous": 2 if config.durability == "full" else 1,
        },
    )


def prepare_first(
    connection: sqlite3.Connection, config: TractConfig, target: Target
) -> str | None:
    """Do what `prepare` does, and bring the schema up to date if the file can be written.

    Returns:
        Why nothing can be written, as callers are told; None if it can.

    Raises:
        StoreReadOnlyError: the file holds no store yet, and none can be made.
        SchemaVersionError: the schema is newer, or older and the file read-only.
        StorageError: reading only the file would miss commits in its log.
    """
    prepare(connection, config, target.path)
    file = main_file(connection)
    problem = _read_only(target, file)
    if problem is None:
        version(connection, target.path)  # a file that is refused is left unchanged
        _use_wal(connection, config.busy_timeout)
        migrate(connection, target.path)
        return None
    if target.is_immutable:
        _check_log(file, target.path)
    found = version(connection, target.path)
    if found == 0:
        raise StoreReadOnlyError(
            "there is no store in it yet, and none can be made: it was opened read-only. Open it "
            "for writing first.",
            target.path,
        )
    if found < len(MIGRATIONS):
        raise SchemaVersionError(found, len(MIGRATIONS), target.path)
    return problem


def _read_only(target: Target, file: str) -> str | None:
    """Return why nothing can be written, or None."""
    if target.why_read_only is not None:
        return (
            f"the store was opened read-only, by `{target.why_read_only}`. Nothing was written. "
            "Open it without that to write."
        )
    if file and lacks_permission(file):
        return (
            "the store was opened read-only, as this process may not write to the file. Nothing was "
            "written. Make the file and its folder writable, and open it again."
        )
    return None


def _check_log(file: str, path: str) -> None:
    """Raise if a log would be skipped, as SQLite does for a file that it is told never changes.

    Raises:
        StorageError: there is a log, and it may hold commits.
    """
    try:
        size = os.stat(f"{file}-wal").st_size
    except OSError:
        return
    if size:
        raise StorageError(
            f"commits may be in the log beside it, {file}-wal, and `immutable=1` would skip "
            "them. Another process has the file open, or was killed. Open it without "
            "`immutable=1`; closing it then moves them into the file.",
            path,
        )


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Switch to the write-ahead log; the busy timeout does not cover that, so wait here."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return
