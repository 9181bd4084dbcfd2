from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import ColumnElement, bindparam, literal_column, select

from tract.storage.sql.compiled import Statement
from tract.storage.sqlite.connection import SQLITE, SqliteConnection

BY_NAME = pytest.mark.parametrize("by_name", [False, True])


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    with closing(sqlite3.connect(":memory:")) as raw:
        yield SqliteConnection(raw)


@BY_NAME
def test_each_parameter_gets_the_value_of_its_name(
    connection: SqliteConnection, by_name: bool
) -> None:
    wanted = ("b", "a", "b", "c")
    statement = Statement(
        lambda: select(*(bindparam(name).label(f"{at}") for at, name in enumerate(wanted))),
        by_name=by_name,
    )

    assert connection.one(statement, a=1, b=2, c=3) == (2, 1, 2, 3)


@BY_NAME
@pytest.mark.parametrize("number", [0, 1])
def test_none_or_one_parameter_will_do(
    connection: SqliteConnection, number: int, by_name: bool
) -> None:
    chosen: ColumnElement[int] = bindparam("n") if number else literal_column("7")
    statement = Statement(lambda: select(chosen), by_name=by_name)

    assert connection.one(statement, n=7) == (7,)


@BY_NAME
def test_values_of_its_own_and_given_ones_find_their_places(
    connection: SqliteConnection, by_name: bool
) -> None:
    own: ColumnElement[int] = bindparam("own", 5)
    given: ColumnElement[int] = bindparam("given")
    statement = Statement(
        lambda: select(own.label("a"), given, own.label("b")),
        by_name=by_name,
    )

    assert statement.form(SQLITE).bound == {"own": 5}
    assert connection.one(statement, given=6) == (5, 6, 5)


def test_a_parameter_without_a_value_is_told(connection: SqliteConnection) -> None:
    statement = Statement(lambda: select(bindparam("a"), bindparam("b")))

    with pytest.raises(KeyError, match="b"):
        connection.one(statement, a=1)
