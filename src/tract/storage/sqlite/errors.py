"""SQLite's errors as errors of this library."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tract.exceptions import (
    StorageError,
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
    TractError,
)
from tract.storage.sql.writing.transaction import HalfWrittenError
from tract.storage.sqlite.targets import immutable_uri, lacks_permission

__all__ = ["explained", "translate"]

_FOLDER = "this is a folder. Give the path of a file."
_PRIMARY_CODE = 0xFF  # extended result codes keep the primary one in the lowest byte


def explained(error: BaseException, path: str) -> BaseException:
    """Return an error of a function on a connection's thread as callers get it."""
    if isinstance(error, HalfWrittenError):
        error = error.problem
    if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):
        ours: BaseException = translate(error, path)
    elif isinstance(error, StopIteration):  # no future takes one: its caller would wait for ever
        ours = RuntimeError("a StopIteration was raised on a connection's thread")
    else:
        if isinstance(error, StorageError):
            error.locate(path)
        return error
    ours.__cause__ = error
    return ours


def translate(error: BaseException, path: str) -> TractError:
    """Return this library's error for an *error* of the database at *path*.

    SQLite's result codes: https://www.sqlite.org/rescode.html
    """
    if isinstance(error, TractError):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & _PRIMARY_CODE
    told = str(error)
    if primary == sqlite3.SQLITE_LOCKED:
        return StoreBusyError(
            f"a connection that shares its cache has locked a table ({told}), and SQLite does not "
            "wait for it. Try again, or let the engine's connections share none.",
            path,
        )
    if primary == sqlite3.SQLITE_BUSY:
        return StoreBusyError(
            f"another connection held the database for too long ({told}). Try again, "
            "or raise `TractConfig.busy_timeout`.",
            path,
        )
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError(
            f"there is no space left ({told}). Nothing was written; free some space and try again.",
            path,
        )
    if "fts5" in told and "module" in told:
        return StorageError(
            "this Python's SQLite has no FTS5, which text search needs. Nothing was changed. Use a "
            "build of SQLite that has it, as those of python.org do.",
            path,
        )
    if code == sqlite3.SQLITE_CORRUPT_VTAB or "no such table: search_" in told:
        return StoreCorruptError(
            f"the search index is damaged ({told}). Build it anew with "
            "`await store.enable_search(rebuild=True)`.",
            path,
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or _is_no_text(error):
        return StoreCorruptError(
            f"the file is damaged or is not a SQLite database ({told}). Restore it from a backup, "
            "or open another path.",
            path,
        )
    if code == sqlite3.SQLITE_READONLY_DIRECTORY:
        return StoreReadOnlyError(_needs_its_folder(told, path), path)
    if primary == sqlite3.SQLITE_READONLY:
        return StoreReadOnlyError(
            f"the database is read-only ({told}). Make the file and its folder writable, "
            "or open a copy.",
            path,
        )
    if primary == sqlite3.SQLITE_CANTOPEN:
        return StorageError(_cannot_open(told, path), path)
    if _is_folder(path):  # opened read-only, it fails at the first read
        return StorageError(_FOLDER, path)
    return StorageError(f"the database failed: {told}", path)


def _needs_its_folder(told: str, path: str) -> str:
    return (
        f"the database is read-only, and so is its folder, where SQLite keeps two files while it is "
        f"open ({told}). If nobody writes to it meanwhile, open it as {immutable_uri(path)!r}. "
        "Otherwise make the folder writable, or open a copy."
    )


def _is_no_text(error: BaseException) -> bool:
    """Return True if a text, or one that SQLite quotes in its message, is not valid UTF-8."""
    return isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode to")


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):  # the path cannot be looked at
        return False


def _cannot_open(told: str, path: str) -> str:
    file = Path(path)
    folder = file.parent
    try:
        if _is_folder(path):
            return _FOLDER
        if not folder.is_dir():
            return f"the folder {folder} does not exist. Create it first."
        if not file.exists() and not lacks_permission(folder):
            return f"there is no such file ({told}), and `mode=ro` and `mode=rw` create none."
    except (OSError, ValueError):
        pass  # the path cannot be looked at, so SQLite's message has to do
    return f"the file cannot be opened ({told}). Check the permissions of the file and its folder."
