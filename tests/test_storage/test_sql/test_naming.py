"""What a name stands for, and what it costs to look it up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from support.drafts import MAIN, draft, ticking
from tract.storage.sql.naming import key_of
from tract.storage.sql.writing.transaction import WriteTransaction
from tract.storage.sqlite.connection import SqliteConnection
from tract.storage.sqlite.migrations import migrate


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    with closing(sqlite3.connect(":memory:")) as raw:
        migrate(raw, ":memory:")
        yield SqliteConnection(raw)


@pytest.fixture
def commit_hash(connection: SqliteConnection) -> str:
    transaction = WriteTransaction(connection, ticking())
    [record] = transaction.commit(MAIN, [draft()])
    transaction.finish()
    return record.commit_hash


def statements_for(connection: SqliteConnection, named: str) -> list[str]:
    """Return the statements that looking up *named* runs."""
    ran: list[str] = []
    connection.raw.set_trace_callback(ran.append)
    key_of(connection, MAIN.tract_id, named)
    connection.raw.set_trace_callback(None)
    return ran


@pytest.mark.parametrize("named", ["0" * 64, "AB" * 32])
def test_a_full_hash_costs_no_statement(connection: SqliteConnection, named: str) -> None:
    assert statements_for(connection, named) == []
    assert key_of(connection, MAIN.tract_id, named) == bytes.fromhex(named)


def test_a_name_that_is_no_hash_is_looked_for_among_refs_alone(
    connection: SqliteConnection, commit_hash: str
) -> None:
    assert len(statements_for(connection, "main")) == 1
    assert len(statements_for(connection, "nothing")) == 1
    assert len(statements_for(connection, commit_hash[:3])) == 1


def test_a_short_hash_costs_one_search_of_the_key(
    connection: SqliteConnection, commit_hash: str
) -> None:
    *refs, search = statements_for(connection, commit_hash[:8])
    plan = connection.raw.execute(f"EXPLAIN QUERY PLAN {search}").fetchall()

    assert len(refs) == 1
    assert [row[3].split("(")[1] for row in plan] == [
        "tract_id=? AND commit_hash>? AND commit_hash<?)"
    ]
    assert key_of(connection, MAIN.tract_id, commit_hash[:8]) == bytes.fromhex(commit_hash)


@pytest.mark.parametrize("digits", range(4, 64))
def test_the_whole_range_of_a_short_hash_is_searched(
    connection: SqliteConnection, digits: int
) -> None:
    """Its first and its last hash are found, and those beside them are not."""
    transaction = WriteTransaction(connection, ticking())
    for digit in "0f":
        name = bytes.fromhex(f"{'7' * digits}{digit * (64 - digits)}")
        transaction.commit(MAIN, [draft()])
        transaction.finish()
        connection.raw.execute("UPDATE commits SET commit_hash = ?", [name])

        assert key_of(connection, MAIN.tract_id, "7" * digits) == name
        assert key_of(connection, MAIN.tract_id, f"{'7' * (digits - 1)}8") is None
        assert key_of(connection, MAIN.tract_id, f"{'7' * (digits - 1)}6") is None
        connection.raw.execute("DELETE FROM commits")
        connection.raw.execute("DELETE FROM refs")
        transaction = WriteTransaction(connection, ticking())
