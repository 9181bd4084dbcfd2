from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    MetaData,
    Table,
    bindparam,
    literal_column,
    select,
)

from tract.storage.postgres.connections.connection import POSTGRES
from tract.storage.sql.statements import commits as statements
from tract.storage.sql.statements import refs as ref_statements
from tract.storage.sql.statements.compiled import Insertion, Statement
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

    assert statement.forms[SQLITE].bound == {"own": 5}
    assert connection.one(statement, given=6) == (5, 6, 5)


def test_a_parameter_without_a_value_is_told(connection: SqliteConnection) -> None:
    statement = Statement(lambda: select(bindparam("a"), bindparam("b")))

    with pytest.raises(KeyError, match="b"):
        connection.one(statement, a=1)


# Insertions -------------------------------------------------------------------------------------

PAIRS = Table(
    "pairs",
    MetaData(),
    Column("a", BigInteger, primary_key=True),
    Column("b", BigInteger),
    Column("c", BigInteger),
)
EVERY = {
    name: value
    for module in (statements, ref_statements)
    for name, value in vars(module).items()
    if isinstance(value, Statement)
}


@pytest.fixture
def pairs(connection: SqliteConnection) -> SqliteConnection:
    connection.raw.execute("CREATE TABLE pairs (a INTEGER PRIMARY KEY, b, c)")
    connection.run(Insertion(PAIRS), a=1, b=2, c=3)
    return connection


def test_an_insertion_of_a_key_that_is_there_is_an_error(pairs: SqliteConnection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        pairs.run(Insertion(PAIRS), a=1, b=0, c=0)


@pytest.mark.parametrize(
    ("instead", "row"), [([], (1, 2, 3)), (["b"], (1, 5, 3)), (["b", "c"], (1, 5, 6))]
)
def test_an_insertion_of_a_key_that_is_there_sets_what_it_names_instead(
    pairs: SqliteConnection, instead: list[str], row: tuple[int, ...]
) -> None:
    pairs.run(Insertion(PAIRS, instead=instead), a=1, b=5, c=6)

    assert pairs.all(Statement(lambda: select(PAIRS))) == [row]


@pytest.mark.parametrize("name", EVERY)
def test_every_portable_statement_can_be_told_to_another_engine(name: str) -> None:
    statement = EVERY[name]
    text = statement.forms[POSTGRES].sql

    assert ("ON CONFLICT" in text) == ("ON CONFLICT" in statement.forms[SQLITE].sql)
    assert "sqlite" not in text
