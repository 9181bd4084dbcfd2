"""Errors of PostgreSQL and its driver as the tree's own, without secrets."""

from __future__ import annotations

import ssl

import asyncpg

from tract.exceptions import (
    StorageError,
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
    TractError,
)
from tract.storage.sql.writing.transaction import HalfWrittenError

__all__ = ["DRIVER_ERRORS", "LOSSES", "explained", "is_lost", "is_passing", "loses_answer"]

DRIVER_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What a call of the driver may raise; its own state can be upset by a connection that is cut."""
LOSSES: tuple[type[Exception], ...] = (*DRIVER_ERRORS, StorageError)
"""The same, and what `Links.connect` makes of it."""

_KINDS: dict[str, tuple[type[StorageError], str]] = {
    "53100": (StoreFullError, "the server's disk is full. Nothing was written. Make room there."),
    "53300": (
        StoreBusyError,
        "the server has no connection left. Lower `TractConfig.readers`, raise the server's "
        "`max_connections`, or use a pooler.",
    ),
    "25006": (
        StoreReadOnlyError,
        "the server is read-only, as a standby is. Nothing was written. Connect to the primary, "
        "for example with `target_session_attrs=read-write` in the URL.",
    ),
    "40P01": (
        StoreBusyError,
        "other transactions stood in the way. Nothing was written. Try again.",
    ),
    "40001": (
        StoreBusyError,
        "other transactions stood in the way. Nothing was written. Try again.",
    ),
    "55P03": (
        StoreBusyError,
        "another process held the rows for longer than `TractConfig.busy_timeout`. Nothing was "
        "written. Try again.",
    ),
    "22021": (StorageError, "a text has a NUL character, which PostgreSQL cannot store."),
    "28P01": (StorageError, "the server refused the password, or there was none."),
    "28000": (
        StorageError,
        "the server refused this user. Its `pg_hba.conf` says who may connect.",
    ),
    "3D000": (StorageError, "the server has no such database. Create it with `createdb`."),
    "42501": (
        StorageError,
        "this user may not do that. It needs USAGE and CREATE on the schema the first time, and "
        "SELECT, INSERT, UPDATE and DELETE on its tables.",
    ),
    "XX001": (StoreCorruptError, "the server reports damaged data. Restore it from a backup."),
    "XX002": (StoreCorruptError, "the server reports a damaged index. `REINDEX` may repair it."),
    "42P01": (StoreCorruptError, "a table of the store is missing. Restore it from a backup."),
}
_READ_ONLY = "25006"
_GONE = ("08", "57P", "25P03", "25P04", _READ_ONLY)
"""Classes of errors after which the connection cannot be used.

Read-only is one: a store that was opened to write then talks to what was the primary, or is to be.
"""
_PASSING = ("40001", "40P01", "53300")
"""What may be over in a moment, on the same connection or another."""


def is_lost(error: BaseException) -> bool:
    """Return True if the connection was lost, so that another may succeed."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_GONE)
    if _is_about_tls(error):
        return False
    closed = isinstance(error, asyncpg.InterfaceError) and "clos" in str(error)
    return closed or isinstance(error, (OSError, asyncpg.InternalClientError))


def loses_answer(error: BaseException) -> bool:
    """Return True if the connection was lost before the server said what became of a statement."""
    return is_lost(error) and getattr(error, "sqlstate", None) != _READ_ONLY


def _is_about_tls(error: BaseException) -> bool:
    """Return True if the server and we do not agree about encryption, or about its certificate."""
    refused = type(error) is ConnectionError and "SSL" in str(error)
    return refused or isinstance(error, ssl.SSLCertVerificationError)


def is_passing(error: BaseException) -> bool:
    """Return True if another attempt may succeed."""
    cause = error.__cause__ or error
    return is_lost(cause) or getattr(cause, "sqlstate", None) in _PASSING


def explained(error: BaseException, path: str) -> BaseException:
    """Return *error* as one of the tree's own; other programs' errors stay as they are."""
    if isinstance(error, HalfWrittenError):
        error = error.problem
    if isinstance(error, TractError):
        if isinstance(error, StorageError):
            error.locate(path)
        return error
    made = _made(error, path)
    if made is None:
        return error
    made.__cause__ = error
    return made


def _made(error: BaseException, path: str) -> StorageError | None:
    if isinstance(error, asyncpg.PostgresError):
        if "search_" in str(error.message) and error.sqlstate == "42P01":
            return StoreCorruptError(
                "the search index is missing. Build it anew with "
                "`await store.enable_search(rebuild=True)`.",
                path,
            )
        kind = _KINDS.get(str(error.sqlstate))
        if kind is not None:
            return kind[0](kind[1], path)
    if isinstance(error, OSError) and error.errno is not None and is_lost(error):
        why = error.strerror or type(error).__name__
        return StoreBusyError(
            f"the server cannot be reached: {why}. Is the address right, and does it run?", path
        )
    if is_lost(error):
        return StoreBusyError(
            "the server could not be reached within `TractConfig.busy_timeout`, or the connection "
            f"was lost: {error or type(error).__name__}",
            path,
        )
    if _is_about_tls(error):
        return StorageError(f"there is no encrypted connection, see `sslmode`: {error}", path)
    if isinstance(error, asyncpg.PostgresError):
        return StorageError(f"the server reports {error.sqlstate}: {error.message}", path)
    if isinstance(error, (asyncpg.InterfaceError, ValueError)):
        return StorageError(f"the driver cannot do that: {error}", path)
    return None
