"""SQLite's connection for the portable functions of `storage.sql`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, bindparam
from sqlalchemy.dialects import sqlite

from tract.storage.sql.port import Row
from tract.storage.sql.rows import lenient_text
from tract.storage.sql.statements.compiled import MOST_TRACTS, Lookup, Statement, Styles

__all__ = ["SQLITE", "SqliteConnection"]

_AT_ONCE = 64
_HASHES = [f"hash_{number}" for number in range(_AT_ONCE)]
_TRACTS = [f"tract_{number}" for number in range(MOST_TRACTS)]


def _any_of(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return a condition of a fixed number of hashes, so that a lookup has one text."""
    return column.in_([bindparam(name) for name in _HASHES])


def _of_tracts(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return column.in_([bindparam(name) for name in _TRACTS])


SQLITE = Styles(
    sqlite.dialect(paramstyle="qmark"),
    sqlite.dialect(paramstyle="named"),
    sqlite.insert,
    _any_of,
    _of_tracts,
)


class SqliteConnection:
    """A `Connection` over one of the driver's; use it on that connection's thread."""

    __slots__ = ("raw",)

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw: sqlite3.Connection = raw

    def one(self, statement: Statement, **parameters: Any) -> Row | None:
        form = statement.forms[SQLITE]
        rows = self.raw.execute(form.sql, form.values(parameters)).fetchall()
        return rows[0] if rows else None

    def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        form = statement.forms[SQLITE]
        # read to the end, so that no statement stays open
        return self.raw.execute(form.sql, form.values(parameters)).fetchall()

    def find(
        self, lookup: Lookup, keys: Iterable[bytes | str | int], **parameters: Any
    ) -> list[Row]:
        distinct = [*dict.fromkeys(keys)]
        tracts = parameters.pop("tracts", None)
        if tracts:
            tracts = [*tracts, *tracts[:1] * (MOST_TRACTS - len(tracts))]
            parameters.update(zip(_TRACTS, tracts, strict=True))
        rows: list[Row] = []
        for start in range(0, len(distinct), _AT_ONCE):
            some = distinct[start : start + _AT_ONCE]
            some += some[:1] * (_AT_ONCE - len(some))
            rows += self.all(lookup, **parameters, **dict(zip(_HASHES, some, strict=True)))
        return rows

    def run(self, statement: Statement, **parameters: Any) -> None:
        form = statement.forms[SQLITE]
        self.raw.execute(form.sql, form.values(parameters))

    def change(self, statement: Statement, **parameters: Any) -> int:
        form = statement.forms[SQLITE]
        return self.raw.execute(form.sql, form.values(parameters)).rowcount

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Hold a transaction: only that keeps the state when a backup replaces the database."""
        raw = self.raw
        if raw.in_transaction:
            yield
            return
        raw.execute("BEGIN")
        try:
            yield
        finally:
            if raw.in_transaction:  # some errors end it
                raw.execute("COMMIT")

    @contextmanager
    def lenient_text(self) -> Iterator[None]:
        """Decode text here: the driver raises an error for the first that is not valid."""
        usual, self.raw.text_factory = self.raw.text_factory, lenient_text
        try:
            yield
        finally:
            self.raw.text_factory = usual
