"""A copy of a SQLite database as it is at one moment, while others write."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote

__all__ = ["back_up", "back_up_file"]

_PAGES = 256
"""Pages that are copied at once: a megabyte, after which the copy can be ended."""


def back_up_file(
    path: str,
    to: str | os.PathLike[str],
    step: Callable[[int, int], None],
    check: Callable[[], None],
    *,
    may_be_fixed: bool,
) -> None:
    """Copy the database at *path* over a connection of its own, on any thread; see `back_up`.

    *check* raises an error if it is not the database that the store has open. If it *may_be_fixed*, a file without a log is taken for one that nobody writes to.
    """
    is_fixed = may_be_fixed and not os.path.exists(f"{path}-wal")
    uri = f"file:{quote(path)}?{'immutable=1' if is_fixed else 'mode=ro'}"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        check()
        back_up(connection, to, step)


def back_up(
    connection: sqlite3.Connection,
    to: str | os.PathLike[str],
    step: Callable[[int, int], None],
) -> None:
    """Copy a connection's database to a new file, and call *step* with the bytes done and of all.

    A transaction that the connection is in says of which moment. Without one, the copy would begin
    anew whenever another connection has written. What *step* raises ends it.
    """
    [[size]] = connection.execute("PRAGMA page_size").fetchall()
    with closing(sqlite3.connect(os.fspath(to))) as target:
        target.execute("PRAGMA journal_mode = OFF").fetchall()  # a copy that fails is deleted
        target.execute("PRAGMA synchronous = OFF")  # and one that does not is synced at its end

        def progress(status: int, remaining: int, total: int) -> None:
            step((total - remaining) * size, total * size)

        connection.backup(target, pages=_PAGES, progress=progress)
