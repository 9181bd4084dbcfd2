"""The heads of watched branches are read once for each time that something was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.drafts import MAIN, OTHER_BRANCH, draft, ticking
from tract.storage.sql.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.freshness.watched import WatchedHeads
from tract.storage.sqlite.migrations import migrate


@pytest.fixture
def pair(db_path: Path) -> Iterator[tuple[SqliteConnection, SqliteConnection]]:
    """Two connections to one database."""
    with closing(sqlite3.connect(db_path)) as one, closing(sqlite3.connect(db_path)) as other:
        for raw in (one, other):
            raw.isolation_level = None
        migrate(one, str(db_path))
        yield SqliteConnection(one), SqliteConnection(other)


def commit(connection: SqliteConnection, text: str, clock: Callable[[], int]) -> str:
    transaction = WriteTransaction(connection, clock)
    [record] = transaction.commit(MAIN, [draft(text)])
    transaction.finish()
    return record.commit_hash


def statements(connection: SqliteConnection, call: Callable[[], object]) -> int:
    """Return how many statements a call runs."""
    ran: list[str] = []
    connection.raw.set_trace_callback(ran.append)
    call()
    connection.raw.set_trace_callback(None)
    return len(ran)


@pytest.mark.parametrize("writer", [0, 1])
def test_branches_are_read_where_something_was_written_and_only_then(
    pair: tuple[SqliteConnection, SqliteConnection], writer: int
) -> None:
    watched, clock, reader = WatchedHeads(), ticking(), pair[0]
    both = [MAIN, OTHER_BRANCH]
    for number in range(3):
        head = commit(pair[writer], str(number), clock)

        assert statements(reader, lambda: watched.look(reader, branches=both)) == 3
        assert statements(reader, lambda: watched.look(reader, branches=both)) == 1
        assert [*watched.look(reader, branches=both)] == [head, None]


def test_another_choice_of_branches_is_read_anew(
    pair: tuple[SqliteConnection, SqliteConnection],
) -> None:
    watched, reader = WatchedHeads(), pair[0]
    head = commit(reader, "a", ticking())

    assert [*watched.look(reader, branches=[MAIN])] == [head]
    assert [*watched.look(reader, branches=[OTHER_BRANCH])] == [None]
    assert [*watched.look(reader, branches=[OTHER_BRANCH, MAIN])] == [None, head]
