"""SQLite's errors as callers of the library meet them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tract import (
    StorageError,
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
)
from tract.storage.sqlite.errors import translate


def sqlite_error(code: int, text: str = "as SQLite tells it") -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, StoreBusyError),
        (sqlite3.SQLITE_BUSY_RECOVERY, StoreBusyError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusyError),
        (sqlite3.SQLITE_BUSY_TIMEOUT, StoreBusyError),
        (sqlite3.SQLITE_LOCKED, StoreBusyError),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, StoreBusyError),
        (sqlite3.SQLITE_FULL, StoreFullError),
        (sqlite3.SQLITE_CORRUPT, StoreCorruptError),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreCorruptError),
        (sqlite3.SQLITE_CORRUPT_VTAB, StoreCorruptError),
        (sqlite3.SQLITE_NOTADB, StoreCorruptError),
        (sqlite3.SQLITE_READONLY, StoreReadOnlyError),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreReadOnlyError),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StoreReadOnlyError),
        (sqlite3.SQLITE_CANTOPEN, StorageError),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, StorageError),
        (sqlite3.SQLITE_IOERR, StorageError),
        (sqlite3.SQLITE_IOERR_WRITE, StorageError),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, StorageError),
        (sqlite3.SQLITE_ERROR, StorageError),
    ],
)
def test_every_result_code_becomes_the_error_of_its_kind(
    code: int, kind: type[StorageError]
) -> None:
    error = translate(sqlite_error(code), "agents.db")

    assert type(error) is kind
    assert isinstance(error, StorageError)
    assert error.path == "agents.db"
    assert str(error).startswith("agents.db: ")
    assert "as SQLite tells it" in str(error)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_READONLY, sqlite3.SQLITE_READONLY_DIRECTORY])
def test_a_read_only_database_is_called_so(code: int) -> None:
    assert "read-only" in str(translate(sqlite_error(code), "x.db"))


@pytest.mark.parametrize(
    ("code", "remedy", "other"),
    [
        (sqlite3.SQLITE_BUSY, "busy_timeout", "share none"),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, "share none", "busy_timeout"),
    ],
)
def test_the_remedy_is_that_of_the_lock(code: int, remedy: str, other: str) -> None:
    """A busy timeout is for locks on the file; nothing waits for one within a shared cache."""
    told = str(translate(sqlite_error(code), "x.db"))

    assert remedy in told
    assert other not in told


def test_an_error_without_a_code_is_a_storage_error() -> None:
    error = translate(sqlite3.ProgrammingError("closed"), "x.db")

    assert type(error) is StorageError
    assert "closed" in str(error)


def test_an_error_of_ours_passes_as_it_is() -> None:
    ours = StoreClosedError("x.db")

    assert translate(ours, "y.db") is ours


def test_what_cannot_be_opened_is_told_by_its_cause(tmp_path: Path) -> None:
    def told(path: str) -> str:
        return str(translate(sqlite_error(sqlite3.SQLITE_CANTOPEN), path))

    assert "this is a folder" in told(str(tmp_path))
    assert f"the folder {tmp_path / 'none'} does not exist" in told(str(tmp_path / "none" / "x.db"))
    assert "there is no such file" in told(str(tmp_path / "x.db"))
    (tmp_path / "x.db").touch()
    assert "permissions" in told(str(tmp_path / "x.db"))
    assert "as SQLite tells it" in told("null\0character")
