"""What the tables promise by themselves, whoever writes to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from support.tables import create_tables
from tract.storage.schema import METADATA

TABLES: dict[str, Table] = METADATA.tables
HASH, OTHER = b"\x01" * 32, b"\x02" * 32
OF_A_COMMIT = {("tract_id", "commits", "tract_id"), ("commit_hash", "commits", "commit_hash")}
OF_BYTES = ("attachment_hash", "blobs", "content_hash")
REFERENCES: dict[str, set[tuple[str, str, str]]] = {
    "attachments": {OF_BYTES},
    "attachment_uses": {OF_BYTES, ("content_hash", "blobs", "content_hash")},
    "commits": {("content_hash", "blobs", "content_hash")},
    "refs": OF_A_COMMIT,
    "keys": OF_A_COMMIT,
    "origins": OF_A_COMMIT,
    "usage": OF_A_COMMIT,
}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        opened.execute("PRAGMA foreign_keys = ON")
        create_tables(opened)
        yield opened


def insert(connection: sqlite3.Connection, table: str, **values: Any) -> None:
    """Insert a row; what must be there and is not given is a hash, or 1."""
    row = {
        column.name: HASH if "hash" in column.name else 1
        for column in TABLES[table].columns
        if not column.nullable
    } | values
    marks = ", ".join("?" * len(row))
    connection.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
    )


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_row_stands_only_with_what_it_refers_to(
    connection: sqlite3.Connection, table: str
) -> None:
    found = connection.execute(f"PRAGMA foreign_key_list({table})").fetchall()

    assert {(row[3], row[2], row[4]) for row in found} == REFERENCES.get(table, set())


@pytest.mark.parametrize("table", sorted(REFERENCES))
def test_a_row_whose_commit_or_content_is_missing_is_refused(
    connection: sqlite3.Connection, table: str
) -> None:
    insert(connection, "blobs")
    insert(connection, "commits")
    for column, to, _ in sorted(REFERENCES[table]):
        values: dict[str, Any] = {column: OTHER} if to == "blobs" else {"commit_hash": HASH}
        if "tract_id" in TABLES[table].columns:
            values["tract_id"] = "another's"
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            insert(connection, table, **values)


def test_a_tract_has_one_commit_at_a_time(connection: sqlite3.Connection) -> None:
    """Orders by time have no ties, then; other tracts may use the same."""
    insert(connection, "blobs")
    insert(connection, "commits", created_at=5)
    insert(connection, "commits", created_at=5, tract_id="another's")

    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(connection, "commits", created_at=5, commit_hash=OTHER)


def test_tables_of_short_rows_are_one_tree_each(connection: sqlite3.Connection) -> None:
    """Their keys are the tables; long rows would make such a tree deep."""
    without_rowid = {
        name
        for _, name, _, _, without, _ in connection.execute("PRAGMA table_list")
        if without and name in TABLES
    }

    assert without_rowid == {
        *("_tract_meta", "attachments", "attachment_uses", "keys", "refs", "runs", "origins"),
        *("tracts", "usage"),
    }


@pytest.mark.parametrize(
    ("index", "condition"),
    [
        ("ix_commits_edit_target", "edit_target = x'01'"),
        ("ix_commits_merge_parent", "created_at > 0 AND merge_parent IS NOT NULL"),
    ],
)
def test_commits_that_neither_edit_nor_merge_take_no_room_in_the_indexes_of_those(
    connection: sqlite3.Connection, index: str, condition: str
) -> None:
    partial = {row[1] for row in connection.execute("PRAGMA index_list(commits)") if row[4]}
    query = f"SELECT created_at FROM commits WHERE tract_id = 't' AND {condition}"
    (plan,) = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()

    assert partial == {
        f"ix_commits_{name}" for name in ("compact", "edit_target", "erased_as", "merge_parent")
    }
    assert f"INDEX {index} " in plan[3]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_tables_can_be_declared_in_postgresql(table: str) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

    text = str(CreateTable(TABLES[table]).compile(dialect=dialect))
    indexes = [str(CreateIndex(item).compile(dialect=dialect)) for item in TABLES[table].indexes]

    assert ("BYTEA" in text) is (
        table not in {"_tract_meta", "spool", "tracts"}
    )  # who has no hashes
    assert not any(" WHERE " in index for index in indexes)  # that was said for SQLite alone
