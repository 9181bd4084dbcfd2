"""The schema's version: taken up in one transaction, or refused with nothing changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tract import SchemaVersionError, StorageError
from tract.storage.schema import METADATA
from tract.storage.sqlite.migrations import MIGRATIONS, Migration, migrate, version

PATH = "agents.db"


@pytest.fixture
def connection(db_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(db_path)) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {row[0] for row in rows.fetchall()}


def adds(table: str) -> Migration:
    def step(connection: sqlite3.Connection) -> None:
        connection.execute(f"CREATE TABLE {table} (x)")

    return step


def fails(connection: sqlite3.Connection) -> None:
    raise RuntimeError("this step fails")


def test_a_new_database_gets_every_table_and_its_version(connection: sqlite3.Connection) -> None:
    assert version(connection, PATH) == 0

    migrate(connection, PATH)

    assert tables(connection) == set(METADATA.tables)
    assert tables(connection) == {
        *("_tract_meta", "blobs", "commits", "refs", "usage", "runs", "origins", "spool"),
        *("attachments", "attachment_uses", "keys", "tracts"),
    }
    assert version(connection, PATH) == len(MIGRATIONS)


def test_a_database_of_the_newest_version_is_only_read(connection: sqlite3.Connection) -> None:
    migrate(connection, PATH)
    connection.execute("PRAGMA query_only = ON")

    migrate(connection, PATH)

    assert not connection.in_transaction


def test_an_older_database_takes_the_steps_it_lacks_in_order(
    connection: sqlite3.Connection,
) -> None:
    taken: list[int] = []
    steps = [*MIGRATIONS, lambda _: taken.append(2), lambda _: taken.append(3)]
    migrate(connection, PATH)

    migrate(connection, PATH, steps)

    assert taken == [2, 3]
    assert version(connection, PATH, steps) == len(steps)


def test_a_failing_step_leaves_the_old_version_with_nothing_of_the_others(
    connection: sqlite3.Connection,
) -> None:
    migrate(connection, PATH)
    before = tables(connection)

    with pytest.raises(RuntimeError, match="this step fails"):
        migrate(connection, PATH, [*MIGRATIONS, adds("extra"), fails])

    assert not connection.in_transaction
    assert tables(connection) == before
    assert version(connection, PATH) == len(MIGRATIONS)
    migrate(connection, PATH, [*MIGRATIONS, adds("extra")])
    assert tables(connection) == {*before, "extra"}


def test_a_step_that_fails_in_sql_is_rolled_back_too(connection: sqlite3.Connection) -> None:
    migrate(connection, PATH)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, PATH, [*MIGRATIONS, adds("extra"), adds("commits")])

    assert tables(connection) == set(METADATA.tables)
    assert version(connection, PATH) == len(MIGRATIONS)


@pytest.mark.parametrize("taken", range(len(MIGRATIONS) + 1))
def test_a_new_database_that_cannot_be_made_stays_empty(
    connection: sqlite3.Connection, taken: int
) -> None:
    with pytest.raises(RuntimeError, match="this step fails"):
        migrate(connection, PATH, [*MIGRATIONS[:taken], fails])

    assert tables(connection) == set()


def test_a_newer_database_is_refused_by_its_version(connection: sqlite3.Connection) -> None:
    steps = [*MIGRATIONS, adds("later"), adds("latest")]
    migrate(connection, PATH, steps)

    with pytest.raises(SchemaVersionError) as refusal:
        migrate(connection, PATH)

    error = refusal.value
    assert (error.found, error.supported) == (len(steps), len(MIGRATIONS))
    assert error.path == PATH
    assert PATH in str(error)


@pytest.mark.parametrize("name", sorted(METADATA.tables.keys() - {"_tract_meta"}))
def test_another_programs_tables_of_our_names_are_left_alone(
    connection: sqlite3.Connection, name: str
) -> None:
    connection.execute(f"CREATE TABLE {name} (theirs)")

    with pytest.raises(StorageError, match=name):
        migrate(connection, PATH)

    assert tables(connection) == {name}


def test_tables_of_other_names_are_good_neighbours(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE theirs (x)")

    migrate(connection, PATH)

    assert tables(connection) == {"theirs", *METADATA.tables}


@pytest.mark.parametrize("value", ["", "new", "-1", "\u00b2"])
def test_a_version_that_is_no_number_is_not_taken_for_ours(
    connection: sqlite3.Connection, value: str
) -> None:
    migrate(connection, PATH)
    connection.execute("UPDATE _tract_meta SET value = ?", [value])
    connection.commit()

    with pytest.raises((StorageError, sqlite3.Error)):
        migrate(connection, PATH)
